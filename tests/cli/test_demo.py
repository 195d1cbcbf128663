import json

from PIL import Image

from untaught.cli import demo


def test_the_demo_leaves_pictures_and_figures(tmp_path, tiny, monkeypatch, capsys):
    from untaught.tasks import jobs

    monkeypatch.setattr(jobs, "find_recipe", lambda *_: tiny)
    assert demo.run_demo(tmp_path / "demo", iterations=2) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1] == f"pictures and figures: {tmp_path / 'demo'}"
    figures = json.loads((tmp_path / "demo" / "figures.json").read_text())
    assert set(figures) == {"portrait", "coffee"}
    for name, found in figures.items():
        assert found["biharmonic"]["psnr"] > found["damaged"]["psnr"]
        for kind in ("original", "damaged", "biharmonic", "untaught"):
            with Image.open(tmp_path / "demo" / f"{name}-{kind}.png") as picture:
                assert picture.size == (256, 256)
