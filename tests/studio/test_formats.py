"""What the studio reads: all that the command line reads, BMP and GIF; a page of several; the range that is shown."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

pytest.importorskip("fastapi", reason="the studio is an extra: pip install 'untaught[studio]'")

from made_pictures import mosaic_with_a_preview
from untaught.errors import InputError
from untaught.imaging import reading, writing
from untaught.imaging.formats.registry import FORMATS
from untaught.imaging.picture import Picture
from untaught.studio import file_reader
from untaught.studio.previews import as_shown, shown_range
from untaught.studio.task_schema import describe, find_offer

RAMP = np.add.outer(np.arange(20), np.arange(24)) * 5


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """Reads a file as the studio reads an upload, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def read(content, action=file_reader.read_picture, *words):
        (tmp_path / "file").write_bytes(content)
        return action(*words)

    return read


@pytest.mark.parametrize("one", [one for one in FORMATS if one.types and not one.derived], ids=lambda one: one.name)
def test_what_the_command_line_reads_is_read(upload, tmp_path, one):
    if one.library:
        pytest.importorskip(one.library)
    kind = "uint8" if "uint8" in one.types else one.types[-1]
    made = tmp_path / f"made{one.suffixes[0]}"
    writing.write(made, Picture(RAMP.astype(kind)))
    facts = upload(made.read_bytes())
    assert (facts["width"], facts["height"], facts["depth"], facts["format"]) == (24, 20, kind, one.name)
    assert np.asarray(Image.open("view.png")).shape[:2] == (20, 24)


def test_a_decoder_that_wants_a_file_writes_it_in_the_folder_of_the_upload(tmp_path):
    pytest.importorskip("OpenEXR")
    for name in ("upload", "elsewhere"):
        (tmp_path / name).mkdir()
    writing.write(tmp_path / "made.exr", Picture(RAMP.astype(np.float32)))
    (tmp_path / "made.exr").rename(tmp_path / "upload/file")
    untouched = (tmp_path / "elsewhere").stat().st_mtime_ns
    question = {"folder": str(tmp_path / "upload"), "action": "picture", "words": []}
    done = subprocess.run(
        [sys.executable, "-m", "untaught.studio.file_reader"],
        input=json.dumps(question) + "\n",
        env={**os.environ, "TMPDIR": str(tmp_path / "elsewhere")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["format"]
    assert (tmp_path / "elsewhere").stat().st_mtime_ns == untouched


@pytest.mark.parametrize("one", [one for one in FORMATS if one.library], ids=lambda one: one.name)
def test_a_missing_library_is_told(upload, monkeypatch, one):
    monkeypatch.setitem(__import__("sys").modules, one.library, None)
    place, start = one.starts[0]
    with pytest.raises(InputError, match="is not installed: pip install"):
        upload(bytes(place) + start + bytes(400))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("form", ["BMP", "GIF"])
def test_bmp_and_gif_become_png_to_the_bit(upload, form, mode):
    picture = Image.fromarray(np.stack([RAMP, RAMP[::-1], RAMP], -1).astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    picture.save(file, form)
    upload(file.getvalue())
    shown = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(Image.open("original.png").convert("RGB")), shown)
    upload(file.getvalue(), file_reader.read_second, "guide", "guide", "24", "20")
    np.testing.assert_array_equal(reading.read("guide.png").pixels.reshape(20, 24, -1)[..., 0], shown[..., 0])


def test_an_animation_and_a_damaged_bmp_are_told(upload):
    file = io.BytesIO()
    frames = [Image.new("L", (20, 20), value) for value in (0, 200)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="animation of 2 pictures"):
        upload(file.getvalue())
    with pytest.raises(InputError, match="damaged or cut off"):
        upload(b"BM" + bytes(30))


def test_the_mosaic_of_a_camera_is_to_be_demosaiced(upload, tmp_path):
    pytest.importorskip("rawpy")
    mosaic_with_a_preview(tmp_path / "made.dng")
    facts = upload((tmp_path / "made.dng").read_bytes())
    assert (facts["channels"], facts["depth"], facts["shown"]) == (1, "uint16", (64, 4095))
    found = file_reader.inspect_picture(str(next(tmp_path.glob("original.*"))), "")
    assert (found["task"], found["settings"]) == ("demosaic", {"pattern": "GRBG"})
    pattern = next(option for option in describe(find_offer("demosaic"))["settings"] if option["name"] == "pattern")
    assert "GRBG" in pattern["choices"]


def pages(*values):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for value in values:
            writer.write(np.full((20, 24), value, np.uint16))
    return file.getvalue()


def test_a_page_of_several_is_chosen(upload):
    facts = upload(pages(100, 200, 300))
    assert (facts["page"], facts["pages"]) == (1, 3)
    facts = upload(pages(100, 200, 300), file_reader.read_picture, "3")
    assert (facts["page"], facts["depth"], facts["result"]) == (3, "uint16", ".tif")
    with pytest.raises(InputError, match="has 3 pages"):
        upload(pages(100, 200, 300), file_reader.read_picture, "4")
    assert upload(pages(100))["pages"] is None


@pytest.mark.parametrize(
    ("values", "levels", "expected"),
    [
        (RAMP.astype(np.uint8), None, (0, 255)),
        (RAMP.astype(np.uint16) * 200, None, (0, 65535)),
        (RAMP.astype(np.uint16) * 16, None, (16 * 5, 16 * 205)),
        (RAMP.astype(np.uint16) * 16, (0.0, 4095.0), (0, 4095)),
        (RAMP / 210, None, (0, 1)),
        (RAMP * 10.0 - 300, None, (-290, 1750)),
        (RAMP.astype(np.int16) - 300, None, (-295, -95)),
        (np.where(RAMP > 100, np.nan, RAMP), None, (0, 100)),
    ],
)
def test_the_range_that_is_shown(values, levels, expected):
    ends = shown_range(Picture(values, levels=levels))
    np.testing.assert_allclose(ends, expected, atol=60 if values.dtype.kind != "u" else 90)
    shown = as_shown(Picture(values, levels=levels)).pixels
    finite = np.isfinite(values)
    assert shown[finite].max() - shown[finite].min() > 150, "it would be too dark to see"
