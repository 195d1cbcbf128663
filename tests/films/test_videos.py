"""Videos: what goes in comes out, but for the pixels that were to change."""

import subprocess
import sys

import numpy as np
import pytest

from made_films import moved, video
from untaught.errors import InputError, PictureError

av = pytest.importorskip("av")

from untaught.films.video import Video, encode, find_encoder


def facts(path):
    """The times, formats and colours of all frames, and the other streams with their packets."""
    with av.open(str(path)) as file:
        frames = [
            (frame.pts * frame.time_base, frame.format.name, frame.colorspace, frame.color_range, frame.color_trc)
            for frame in file.decode(video=0)
        ]
    with av.open(str(path)) as file:
        kinds = [stream.type for stream in file.streams]
        sound = [bytes(packet) for packet in file.demux() if packet.stream.type == "audio" and packet.size]
    return frames, kinds, sound


BT709 = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}


@pytest.mark.parametrize(
    ("suffix", "codec", "fmt", "tags"),
    [
        (".mp4", "libx264", "yuv420p", BT709),
        (".mkv", "libx265", "yuv420p10le", {**BT709, "colorspace": 9, "color_primaries": 9}),
        (".mkv", "ffv1", "yuv422p10le", {"color_range": 2}),
        (".mov", "prores_ks", "yuv422p10le", BT709),
        (".avi", "mjpeg", "yuvj420p", {}),
        (".mkv", "ffv1", "gray", {}),
    ],
)
def test_codec_times_colours_and_sound_stay(tmp_path, suffix, codec, fmt, tags):
    frames = moved(5)
    frames = [frame[..., 0] for frame in frames] if fmt == "gray" else frames
    stamps = [0, 1, 2, 4, 5] if suffix in (".mp4", ".mkv") else None
    path = video(tmp_path / f"in{suffix}", frames, codec, fmt, tags=tags, sound=True, stamps=stamps)
    out = tmp_path / f"out{suffix}"
    given = list(Video(path))
    assert given[0].dtype == (np.uint16 if "10" in fmt else np.uint8)
    assert encode(path, out, given.__getitem__, encoder=find_encoder(path, out, None)) == ()
    assert facts(out) == facts(path)
    # No more than encoding again costs.
    scale = 257 if "10" in fmt else 1
    assert max(np.abs(one.astype(float) - two).mean() for one, two in zip(Video(out), given, strict=True)) < 1.5 * scale


@pytest.mark.parametrize("fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp16le", "yuva420p"])
def test_what_does_not_change_is_kept_to_the_bit(tmp_path, fmt):
    path = video(tmp_path / "in.mkv", moved(2), "ffv1", fmt)
    changed = [frame.copy() for frame in Video(path)]
    for frame in changed:
        frame[10:20, 12:30] = 0
    encode(path, tmp_path / "out.mkv", changed.__getitem__, encoder="ffv1")
    with av.open(str(path)) as one, av.open(str(tmp_path / "out.mkv")) as two:
        for before, after in zip(one.decode(video=0), two.decode(video=0), strict=True):
            assert after.format.name == fmt
            for old, new in zip(before.planes, after.planes, strict=True):
                old, new = (np.frombuffer(each, np.uint8).reshape(each.height, -1) for each in (old, new))
                assert (old[len(old) // 2 :] == new[len(new) // 2 :]).all()
    assert all(frame[12:18, 16:26].mean() < 3 * (257 if "le" in fmt else 1) for frame in Video(tmp_path / "out.mkv"))


def test_a_turned_video_stays_turned(tmp_path):
    path = video(tmp_path / "in.mp4", moved(2), "libx264", "yuv420p", rotation=90)
    encode(path, tmp_path / "out.mp4", list(Video(path)).__getitem__, encoder="libx264")
    turns = []
    for name in ("in.mp4", "out.mp4"):
        with av.open(str(tmp_path / name)) as file:
            turns.append(next(file.decode(video=0)).rotation)
    assert turns[0] == turns[1] != 0


def test_another_codec_and_another_size(tmp_path):
    path = video(tmp_path / "in.mkv", moved(3))
    encode(path, tmp_path / "out.mp4", [frame[:32, :40] for frame in moved(3)].__getitem__, encoder="libx264")
    assert next(iter(Video(tmp_path / "out.mp4"))).shape == (32, 40, 3)
    assert find_encoder(path, tmp_path / "out.mp4", "hevc") == "libx265"


@pytest.mark.parametrize(
    ("output", "codec", "match"),
    [
        ("out.mp4", "nonsense", "no encoder nonsense"),
        ("out.webm", "h264", "does not hold"),
        ("out", None, "no suffix of a video"),
        ("out.txt", None, "no suffix of a video"),
    ],
)
def test_what_cannot_be_written_is_told_first(tmp_path, output, codec, match):
    path = video(tmp_path / "in.mkv", moved(2))
    with pytest.raises(InputError, match=match):
        find_encoder(path, tmp_path / output, codec)


def test_a_file_that_is_no_video_is_told(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(PictureError, match="damaged or no video"):
        Video(path)
    with pytest.raises(PictureError, match="there is no file"):
        Video(tmp_path / "missing.mp4")


def test_without_av_there_is_one_sentence(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"")
    code = "import sys; sys.modules['av'] = None; from untaught.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "film", "denoise", str(path), "-o", str(tmp_path / "out.mp4")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "untaught[film]"' in done.stderr
