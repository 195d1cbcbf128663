"""A fit that begins with the weights of another one's."""

import json

import numpy as np
import pytest

import untaught
from untaught.cli import main
from untaught.errors import InputError
from untaught.tasks.preparation import prepare


def damaged(seed):
    generator = np.random.default_rng(seed)
    ramp = np.linspace(0.2, 0.8, 48, dtype=np.float32)
    picture = 0.5 * (ramp[:, None] + ramp) + 0.1 * np.sin(np.arange(48, dtype=np.float32))[:, None]
    return picture.astype(np.float32), generator.random((48, 48)) > 0.4


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """A checkpoint of a finished fit."""
    path = tmp_path_factory.mktemp("earlier") / "earlier.checkpoint"
    run = prepare("restore", *damaged(0), iterations=40).begin()
    run.finish()
    run.save(path)
    return path


def first_error(**options):
    """The loss of the first iteration."""
    return float(next(iter(prepare("restore", *damaged(1), iterations=3, **options).begin())).loss)


def test_it_begins_with_its_weights(earlier):
    assert first_error(start_from=earlier) < 0.9 * first_error()
    assert first_error(start_from=str(earlier)) == first_error(start_from=earlier)


def test_weights_of_another_network_are_refused(earlier):
    with pytest.raises(InputError, match="those of another network"):
        prepare("restore", *damaged(1), recipe="best", start_from=earlier).begin()
    with pytest.raises(InputError, match=r"not a checkpoint|no checkpoint"):
        prepare("restore", *damaged(1), start_from=earlier.with_name("none"))


def test_fit_takes_it_too(tmp_path):
    observed = np.random.default_rng(0).random((1, 1, 16, 16), dtype=np.float32)
    run = untaught.fit(observed, iterations=8)
    run.finish()
    run.save(tmp_path / "one")
    weights = run.network.state_dict()
    again = untaught.fit(observed, iterations=8, start_from=tmp_path / "one").network.state_dict()
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_the_command_line_records_and_repeats_it(earlier, tmp_path):
    from PIL import Image

    picture, mask = damaged(1)
    Image.fromarray((picture * mask * 255).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "m.png")
    words = ["restore", str(tmp_path / "a.png"), "--mask", str(tmp_path / "m.png"), "--iterations", "4"]
    record = tmp_path / "record.json"
    words += ["--start-from", str(earlier), "--record", str(record), "--quiet"]
    assert main([*words, "-o", str(tmp_path / "b.png")]) == 0
    assert json.loads(record.read_text())["files"]["start"]["path"] == str(earlier.resolve())
    assert main(["repeat", str(record), "-o", str(tmp_path / "c.png"), "--quiet"]) == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert main([*words[:-1], "-o", str(earlier)]) != 0
