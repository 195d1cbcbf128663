import errno
import os

import numpy as np
import pytest

from made_pictures import values
from untaught.errors import PictureError
from untaught.imaging import writing
from untaught.imaging.picture import Picture


@pytest.mark.parametrize(
    ("name", "picture", "message"),
    [
        (
            "out.jpg",
            Picture(values(np.uint16, 3)),
            r"8 bits per channel .* 16: choose \.png or \.tif",
        ),
        ("out.webp", Picture(values(np.uint16, 3)), "8 bits"),
        ("out.png", Picture(values(np.float32, None)), r"floats: choose \.tif"),
        ("out.png", Picture(values(np.int16, None)), "int16"),
        ("out.png", Picture(values(np.uint8, 7)), "7 channels"),
        ("out.png", Picture(values(np.uint8, 4)), "4 channels"),
        ("out.jpg", Picture(values(np.uint8, 3), values(np.uint8, None)), "no alpha"),
        ("out.webp", Picture(np.zeros((1, 16384), np.uint8)), "16383"),
        ("out.gif", Picture(values(np.uint8, 3)), r"\.gif.*\.png"),
        ("out", Picture(values(np.uint8, 3)), "no suffix"),
        ("nowhere/out.png", Picture(values(np.uint8, 3)), "no folder"),
        ("file/out.png", Picture(values(np.uint8, 3)), "no folder"),
        ("folder.png", Picture(values(np.uint8, 3)), "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_beforehand(tmp_path, name, picture, message):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(PictureError, match=message):
        writing.check_writable(tmp_path / name, picture)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_read_only_folder_is_refused_beforehand(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PictureError, match="Permission denied"):
        writing.check_writable(tmp_path / "out.png", Picture(values(np.uint8, 3)))


def test_an_input_is_not_overwritten_unless_asked(tmp_path):
    picture = Picture(values(np.uint8, 3))
    source = tmp_path / "photo.png"
    writing.write(source, picture)
    (tmp_path / "link.png").symlink_to(source)
    for name in ("photo.png", "link.png", "../" + tmp_path.name + "/photo.png"):
        with pytest.raises(PictureError, match="would be overwritten"):
            writing.check_writable(tmp_path / name, picture, inputs=[source])
    writing.check_writable(source, picture, inputs=[source], overwrite=True)
    writing.check_writable(tmp_path / "other.png", picture, inputs=[source])
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "link.png"}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    writing.write(path, Picture(values(np.uint8, 3)))
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PictureError, match=r"out\.png cannot be written: there is no space left on its disk"):
        writing.write(path, Picture(values(np.uint8, 3)))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]
