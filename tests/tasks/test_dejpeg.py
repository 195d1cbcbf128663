"""Removal of JPEG artefacts, by the command line and from Python."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

import untaught
from untaught.cli import main
from untaught.errors import InputError
from untaught.imaging.jpeg_tables import compression_for_quality

PHOTO = data.coffee()[100:137, 200:243]


def test_from_the_command_line(tmp_path, tiny, monkeypatch, capsys):
    from untaught.tasks import jobs

    monkeypatch.setattr(jobs, "find_recipe", lambda *_: tiny)
    source, result = tmp_path / "photo.jpg", tmp_path / "clean.png"
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, "JPEG", quality=20)
    source.write_bytes(file.getvalue())
    assert main(["dejpeg", str(source), "-o", str(result), "--consistent", "--quiet"]) == 0
    assert np.asarray(Image.open(result)).shape == PHOTO.shape
    assert main(["dejpeg", str(result), "-o", str(tmp_path / "again.png"), "--consistent"]) == 2
    assert "--quality" in capsys.readouterr().err
    words = ["dejpeg", str(result), "-o", str(tmp_path / "again.png"), "--quiet"]
    assert main([*words, "--consistent", "--quality", "20"]) == 0
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: untaught.dejpeg(PHOTO, consistent=True), "how the picture was compressed"),
        (lambda: untaught.dejpeg(PHOTO, quality=0), "between 1 and 100"),
        (lambda: untaught.dejpeg(PHOTO, compression_for_quality(20, 1), consistent=True), "of 1 channels"),
        (lambda: untaught.dejpeg(np.zeros((8, 8, 4), np.uint8), quality=20), "1 or 3 channels"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, message):
    with pytest.raises(InputError, match=message):
        make()
