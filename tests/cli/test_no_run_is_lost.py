"""Whatever cannot be written, printed or read again: the picture is somewhere, and a sentence says where."""

import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from untaught import cli
from untaught.cli.safety import Interruption, out_of_memory
from untaught.cli.streams import Stream, guarded_streams
from untaught.errors import PictureError
from untaught.fitting.run import Run
from untaught.imaging import files

RESTORE = ["restore", "photo.png", "--mask", "mask.png", "--iterations", "4"]
REASONS = {
    errno.ENOSPC: "there is no space left on its disk",
    errno.EROFS: "its disk is read-only",
    errno.EDQUOT: "your quota of its disk is used up",
    errno.EIO: "its disk reports a failure",
    errno.EACCES: "you have no permission",
}


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch, tiny):
    from untaught.tasks import jobs

    monkeypatch.setattr(jobs, "find_recipe", lambda task, name: tiny)  # noqa: ARG005


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, picture, mask):
    """The current folder, with a picture and a mask; temporary files are in a folder of ours too."""
    Image.fromarray(picture).save(tmp_path / "photo.png")
    Image.fromarray(picture[::-1, ::-1].copy()).save(tmp_path / "other.png")
    Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return cli.main([str(word) for word in words])


def once_fitted(monkeypatch, change):
    """Make a change once the checks have passed and the fit has begun."""
    finish = Run.finish

    def finished(self, observers=()):
        monkeypatch.setattr(Run, "finish", finish)
        change()
        return finish(self, observers)

    monkeypatch.setattr(Run, "finish", finished)


def cannot_be_written(monkeypatch, number, *names, folders=None):
    """From the fit on, files of these names, in these folders or in all, fail with this error of the system."""
    temporary = files._temporary

    def failing(path):
        if path.name in names and (folders is None or path.parent.name in folders):
            raise OSError(number, os.strerror(number))
        return temporary(path)

    once_fitted(monkeypatch, lambda: monkeypatch.setattr(files, "_temporary", failing))


# Safety nets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", REASONS)
@pytest.mark.parametrize(
    ("name", "words", "about"),
    [
        ("out.png.checkpoint", ["--checkpoint-every", "0.000001"], "checkpoints are given up"),
        ("kept", ["--checkpoint", "kept", "--checkpoint-every", "0.000001"], "checkpoints are given up"),
        ("out.preview.png", ["--preview-every", "1"], "the preview is given up"),
    ],
)
def test_a_safety_net_that_fails_is_given_up_and_the_fit_goes_on(monkeypatch, capsys, number, name, words, about):
    cannot_be_written(monkeypatch, number, name)
    assert run(*RESTORE, "-o", "out.png", "--quiet", *words) == 0
    assert Path("out.png").exists()
    error = capsys.readouterr().err
    assert about in error
    assert REASONS[number] in error
    assert error.count(about) == 1
    assert not list(Path().glob(".untaught-*"))


@pytest.mark.parametrize("broken", ["untaught.cli.display.PlainLines", "untaught.fitting.observers.ReferenceMeter"])
def test_a_display_that_fails_is_given_up_and_the_fit_goes_on(monkeypatch, capsys, broken):
    def fail(self, state):  # noqa: ARG001
        raise ValueError("nothing to see")

    monkeypatch.setattr(f"{broken}.__call__", fail)
    assert run(*RESTORE, "-o", "out.png", "--reference", "photo.png") == 0
    assert Path("out.png").exists()
    assert "given up, and the fit goes on: ValueError: nothing to see" in capsys.readouterr().err


@pytest.mark.parametrize("length", [228, 240, 251])
def test_a_name_may_be_as_long_as_the_system_allows(length, capsys):
    name = "y" * (length - 4) + ".png"
    assert run(*RESTORE, "-o", name, "--checkpoint-every", "0.000001", "--preview-every", "1", "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in Path().iterdir()) == ["mask.png", "other.png", "photo.png", "temporary", name]


# Before the fit ------------------------------------------------------------------------------------------------------


def make_socket(name):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(name)


def made_obstacles():
    Path("folder").mkdir()
    Path("dangling.png").symlink_to("nowhere/x.png")
    Path("loop.png").symlink_to("loop.png")
    Path("dangling.json").symlink_to("nowhere/x.json")
    make_socket("socket.png")
    os.mkfifo("fifo")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-o", "nowhere/x.png"], "there is no folder nowhere"),
        (["-o", "dangling.png"], "it is a link to"),
        (["-o", "loop.png"], "leads to itself"),
        (["-o", "photo.png/x.png"], "there is no folder photo.png"),
        (["-o", "x" * 260 + ".png"], "its name is too long"),
        (["-o", "socket.png"], "socket.png is a socket"),
        (["-o", "out.png", "--record", "folder"], "folder is a folder"),
        (["-o", "out.png", "--record", "dangling.json"], "it is a link to"),
        (["-o", "out.png", "--record", "mask.png"], "is an input and would be overwritten"),
        (["-o", "out.png", "--record", "nowhere/run.json"], "there is no folder nowhere"),
        (["-o", "out.png", "--checkpoint", "fifo"], "fifo is a pipe"),
        (["-o", "out.png", "--checkpoint", "folder"], "folder is a folder"),
        (["-o", "out.png", "--checkpoint", "photo.png"], "is an input and would be overwritten"),
        (["-o", "out.tif", "--uncertainty", "nowhere/x.tif"], "there is no folder nowhere"),
        (["-o", "out.png", "--uncertainty", "photo.png"], "photo.png"),
        (["-o", "same.png", "--record", "same.png"], "the output and --record are the same file"),
        (["-o", "same.png", "--checkpoint", "same.png"], "the output and --checkpoint are the same file"),
        (["-o", "same.tif", "--uncertainty", "same.tif"], "the output and --uncertainty are the same file"),
        (["-o", "out.png", "--record", "same", "--checkpoint", "same"], "--record and --checkpoint are the same file"),
        (["-o", "same.png", "--record", "folder/../same.png"], "the output and --record are the same file"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_fit(monkeypatch, capsys, words, expected):
    made_obstacles()
    before = {path.name: path.lstat().st_mtime_ns for path in Path().iterdir()}
    monkeypatch.setattr(Run, "finish", None)
    assert run(*RESTORE, *words) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.startswith("untaught: ")
    assert error.count("\n") == 1
    assert {path.name: path.lstat().st_mtime_ns for path in Path().iterdir()} == before


def test_the_record_that_is_repeated_is_not_overwritten(capsys):
    assert run(*RESTORE, "-o", "out.png", "--record", "run.json", "--quiet") == 0
    record = Path("run.json").read_bytes()
    Path("link.json").symlink_to("run.json")
    for name in ("run.json", "link.json"):
        assert run("repeat", "run.json", "-o", "again.png", "--record", name) == 2
        assert "is read by this run and would be overwritten by --record" in capsys.readouterr().err
    assert Path("run.json").read_bytes() == record


@pytest.mark.parametrize(("name", "why"), [("photo.png", "a file has that name"), ("photo.png/x", "is a file")])
def test_the_demo_needs_a_folder(name, why, capsys):
    assert run("demo", "-o", name, "--iterations", "1") == 2
    assert why in capsys.readouterr().err


# At the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", REASONS)
@pytest.mark.parametrize("rescued", ["current", "temporary"])
def test_a_picture_that_cannot_be_written_is_written_elsewhere(monkeypatch, capsys, number, rescued):
    cannot_be_written(
        monkeypatch, number, "out.png", folders=("results", Path.cwd().name)[: 1 + (rescued != "current")]
    )
    Path("results").mkdir()
    assert run(*RESTORE, "-o", "results/out.png", "--json", "--quiet") == 1
    place = Path("out.png" if rescued == "current" else "temporary/out.png").absolute()
    printed = capsys.readouterr()
    assert printed.err.splitlines()[0] == (
        f"untaught: results/out.png cannot be written: {REASONS[number]}; the picture is in {place}"
    )
    assert json.loads(printed.out)["output"] == str(place)
    assert np.asarray(Image.open(place)).shape == (24, 20, 3)


def test_a_picture_that_can_be_written_nowhere_leaves_a_checkpoint(monkeypatch, capsys):
    cannot_be_written(monkeypatch, errno.ENOSPC, "out.png", folders=(Path.cwd().name, "temporary"))
    assert run(*RESTORE, "-o", "out.png", "--quiet") == 1
    error = capsys.readouterr().err
    assert "the picture is lost" in error
    words = error.strip().rpartition("go on with: untaught ")[2].split()
    assert words == ["resume", "out.png.checkpoint", "--continue-for", "1"]


@pytest.mark.parametrize("words", [[], ["--checkpoint", "results/kept", "--checkpoint-every", "0.000001"]])
def test_a_folder_that_is_removed_meanwhile(monkeypatch, capsys, words):
    Path("results").mkdir()
    once_fitted(monkeypatch, lambda: shutil.rmtree("results"))
    names = ["-o", "results/out.png", "--record", "results/run.json"]
    assert run(*RESTORE, *names, "--preview-every", "1", *words, "--quiet") == 1
    here = Path().absolute()
    error = capsys.readouterr().err
    assert f"results/out.png cannot be written: its folder is not there; the picture is in {here}/out.png" in error
    assert f"the record is in {here}/run.json" in error
    assert np.asarray(Image.open("out.png")).shape == (24, 20, 3)
    assert json.loads(Path("run.json").read_text())["task"] == "restore"


def test_an_uncertainty_that_no_fit_would_tell_is_refused(capsys):
    assert run(*RESTORE, "-o", "out.png", "--uncertainty", "width.tif") == 2
    assert "holds none out" in capsys.readouterr().err
    assert not Path("out.png").exists()


@pytest.mark.parametrize(("iterations", "code"), [(2, 1), (12, 0)])
def test_an_uncertainty_that_is_not_known_yet_is_told(monkeypatch, capsys, masked, iterations, code):
    from untaught.tasks import jobs

    monkeypatch.setattr(jobs, "find_recipe", lambda task, name: masked)  # noqa: ARG005
    words = [*RESTORE[:-1], iterations, "-o", "out.png", "--uncertainty", "width.tif", "--quiet"]
    assert run(*words) == code
    assert Path("out.png").exists()
    assert Path("width.tif").exists() == (code == 0)
    assert ("width.tif is not written" in capsys.readouterr().err) == (code == 1)


def test_a_rescued_picture_replaces_nothing(monkeypatch, capsys):
    Path("results").mkdir()
    Path("out.png").write_text("precious")
    once_fitted(monkeypatch, lambda: shutil.rmtree("results"))
    assert run(*RESTORE, "-o", "results/out.png", "--quiet") == 1
    assert "the picture is in" in capsys.readouterr().err
    assert Path("out.png").read_text() == "precious"
    assert Path("out-2.png").exists()


def test_a_checkpoint_makes_room_for_the_picture(monkeypatch, capsys):
    Path("results").mkdir()
    temporary = files._temporary

    def full(path):
        if path.name == "out.png" and path.parent.name == "results" and Path("results/out.png.checkpoint").exists():
            raise OSError(errno.ENOSPC, "")
        return temporary(path)

    monkeypatch.setattr(files, "_temporary", full)
    assert run(*RESTORE, "-o", "results/out.png", "--checkpoint-every", "0.000001", "--quiet") == 0
    assert capsys.readouterr().err == ""
    assert [path.name for path in Path("results").iterdir()] == ["out.png"]
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_when_memory_runs_out_the_picture_so_far_is_written(monkeypatch, capsys, error):
    finish = Run.finish

    def full(self, observers=()):
        for number, _ in enumerate(self):
            if number == 2:
                raise error
        return finish(self, observers)

    monkeypatch.setattr(Run, "finish", full)
    assert run(*RESTORE, "-o", "out.png", "--quiet") == 1
    assert "the memory ran out after 3 iterations" in capsys.readouterr().err
    assert Path("out.png").exists()


def test_another_failure_is_raised_once_the_picture_is_written(monkeypatch):
    def broken(self, observers=()):  # noqa: ARG001
        next(iter(self))
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(Run, "finish", broken)
    with pytest.raises(KeyError, match="a mistake of ours"):
        run(*RESTORE, "-o", "out.png", "--quiet")
    assert Path("out.png").exists()


def test_metadata_never_cost_the_pixels(monkeypatch, capsys):
    from untaught.imaging import writing

    encode = writing._ENCODERS["PNG"]

    def choking(picture):
        if picture.metadata.resolution is not None:
            raise UnicodeEncodeError("ascii", "é", 0, 1, "no such letter")
        return encode(picture)

    with Image.open("photo.png") as photo:
        photo.save("dotted.png", dpi=(300, 300))
    once_fitted(monkeypatch, lambda: monkeypatch.setitem(writing._ENCODERS, "PNG", choking))
    assert run("restore", "dotted.png", "--mask", "mask.png", "--iterations", "2", "-o", "out.png", "--quiet") == 0
    said = capsys.readouterr().err
    assert said == "untaught: out.png is without some of its metadata: the resolution cannot be written to PNG\n"
    assert Path("out.png").exists()


def test_metadata_whose_loss_was_told_are_no_complaint(capsys):
    with Image.open("photo.png") as photo:
        photo.save("dotted.png", dpi=(300, 300))
    words = ("restore", "dotted.png", "--mask", "mask.png", "--iterations", "2", "-o", "out.webp")
    assert run(*words) == 0
    said = capsys.readouterr().err
    assert said.count("the resolution is not kept in WebP") == 1
    assert "without some" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_for_the_end_of_an_iteration(number):
    with Interruption() as interruption:
        os.kill(os.getpid(), number)
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            interruption(None)
        assert interruption.between
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_the_loss_of_the_terminal_stays_ignored_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption.asked
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_a_picture_and_a_checkpoint(monkeypatch, capsys, number):
    once_fitted(monkeypatch, lambda: os.kill(os.getpid(), number))
    assert run(*RESTORE, "-o", "out.png") == 130
    assert "go on with: untaught resume out.png.checkpoint" in capsys.readouterr().err
    assert Path("out.png").exists()
    assert run("resume", "out.png.checkpoint", "-o", "whole.png", "--quiet") == 0
    assert run(*RESTORE, "-o", "alone.png", "--quiet") == 0
    assert Path("whole.png").read_bytes() == Path("alone.png").read_bytes()


# Files of somebody else ----------------------------------------------------------------------------------------------

OFTEN = ["--checkpoint-every", "0.000001", "--preview-every", "1", "--iterations", "3", "--quiet"]


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (["restore", "photo.png", "--mask", "mask.png"], ["out.png.checkpoint", "out.preview.png"]),
        (["denoise", "photo.png", "--noise", "10"], ["out.png.checkpoint", "out.preview.png"]),
        (["separate", "photo.png", "--other", "other.png"], ["out.layer.png", "out.preview.png"]),
        (["deblur", "photo.png", "--blur", "unknown", "--radius", "2"], ["out.kernel.png", "out.png.checkpoint"]),
    ],
)
def test_files_that_nobody_has_named_are_left_alone(task, names):
    for name in names:
        Path(name).write_text("precious")
    before = set(Path().iterdir())
    assert run(*task, *OFTEN, "-o", "out.png") == 0
    assert [Path(name).read_text() for name in names] == ["precious"] * len(names)
    further = {f"{Path(name).stem}-2.png" for name in names if "layer" in name or "kernel" in name}
    assert {path.name for path in set(Path().iterdir()) - before} == {"out.png", *further}


@pytest.mark.parametrize("name", ["out.preview.png", "out.png.checkpoint", "out.layer.png"])
def test_an_input_with_such_a_name_is_left_alone(name):
    Path("photo.png").rename(name)
    before = Path(name).read_bytes()
    words = ["separate", name, "--other", "other.png"] if "layer" in name else ["restore", name, "--mask", "mask.png"]
    for more in ([], ["--overwrite"]):
        assert run(*words, *OFTEN, *more, "-o", "out.png") == 0
        assert Path(name).read_bytes() == before


def test_a_further_result_is_replaced_if_that_is_allowed():
    Path("out.layer.png").write_text("of the last run")
    words = ["separate", "photo.png", "--other", "other.png", *OFTEN, "-o", "out.png"]
    assert run(*words, "--overwrite") == 0
    assert Path("out.layer.png").read_bytes().startswith(b"\x89PNG")
    assert not Path("out.layer-2.png").exists()


def test_the_checkpoint_of_an_earlier_run_is_kept_and_named(capsys):
    Path("out.png.checkpoint").write_text("of ten hours")
    assert run(*RESTORE, "-o", "out.png") == 0
    assert "out.png.checkpoint is there already and stays as it is" in capsys.readouterr().err
    assert Path("out.png.checkpoint").read_text() == "of ten hours"


# Pipes and devices ---------------------------------------------------------------------------------------------------


def fed(path, content):
    """A thread that writes a content into a pipe."""
    thread = threading.Thread(target=lambda: Path(path).write_bytes(content), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("role", ["picture", "mask", "both"])
@pytest.mark.parametrize("kind", ["fifo", "descriptor"])
def test_an_input_may_be_a_pipe(role, kind, capsys):
    names, threads, ends = {"picture": "photo.png", "mask": "mask.png"}, [], []
    for one in ("picture", "mask") if role == "both" else (role,):
        content = Path(names[one]).read_bytes()
        if kind == "fifo":
            os.mkfifo(f"{one}.fifo")
            threads.append(fed(f"{one}.fifo", content))
            names[one] = f"{one}.fifo"
        else:
            end, other = os.pipe()
            os.write(other, content)
            os.close(other)
            ends.append(end)
            names[one] = f"/dev/fd/{end}"
    words = ["restore", names["picture"], "--mask", names["mask"], "--iterations", "2", "-o", "out.png"]
    assert run(*words, "--record", "run.json") == 0
    for end in ends:
        os.close(end)
    assert "cannot be read again from a pipe" in capsys.readouterr().err
    assert run("restore", "photo.png", "--mask", "mask.png", "--iterations", "2", "-o", "plain.png") == 0
    assert Path("out.png").read_bytes() == Path("plain.png").read_bytes()
    record = json.loads(Path("run.json").read_text())
    assert record["files"]["picture"]["path"] == str(Path(names["picture"]).absolute())
    capsys.readouterr()
    assert run("repeat", "run.json", "-o", "again.png") == 2
    assert "is not there" in capsys.readouterr().err


def test_a_pipe_that_nobody_writes_into_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(files, "_WAIT", 20)
    os.mkfifo("fifo")
    assert run("restore", "fifo", "-o", "out.png") == 2
    assert "fifo is a pipe, and nobody writes into it" in capsys.readouterr().err


def test_a_run_from_a_pipe_has_no_checkpoint_that_could_be_resumed(capsys):
    end, other = os.pipe()
    os.write(other, Path("photo.png").read_bytes())
    os.close(other)
    words = ["restore", f"/dev/fd/{end}", "--mask", "mask.png", "-o", "out.png", "--checkpoint", "kept"]
    assert run(*words) == 2
    os.close(end)
    assert "comes from a pipe cannot be resumed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"), [("/dev/zero", "is a device"), ("/dev/null", "is a device"), ("socket", "is a socket")]
)
def test_other_special_files_are_no_inputs(name, expected, capsys):
    make_socket("socket")
    for words in (["restore", name, "-o", "out.png"], ["inspect", name], ["restore", "photo.png", "--mask", name]):
        assert run(*words, *(["-o", "out.png"] if "--mask" in words else [])) == 2
        assert f"{name} {expected}" in capsys.readouterr().err


def test_a_file_larger_than_the_memory_is_refused(capsys):
    with Path("huge.png").open("wb") as file:
        file.truncate(1 << 42)
    assert run("inspect", "huge.png") == 2
    assert "of memory are free" in capsys.readouterr().err


def test_a_pipe_or_a_terminal_is_written_and_not_replaced():
    os.mkfifo("run.fifo")
    os.mkfifo("out.png")
    found = {}

    def reader(name):
        found[name] = Path(name).read_bytes()

    threads = [threading.Thread(target=reader, args=[name], daemon=True) for name in ("run.fifo", "out.png")]
    for thread in threads:
        thread.start()
    leader, follower = os.openpty()
    terminal = os.ttyname(follower)
    words = ["--record", "run.fifo", "--checkpoint", terminal, "--checkpoint-every", "0"]
    assert run(*RESTORE, *words, "-o", "out.png", "--quiet") == 0
    for thread in threads:
        thread.join(10)
    assert json.loads(found["run.fifo"])["task"] == "restore"
    assert found["out.png"].startswith(b"\x89PNG")
    assert stat.S_ISCHR(Path(terminal).stat().st_mode)
    assert all(Path(name).is_fifo() for name in ("run.fifo", "out.png"))
    os.close(leader)
    os.close(follower)


def test_a_device_is_written_and_not_replaced():
    leader, follower = os.openpty()
    terminal = os.ttyname(follower)
    files.write_bytes(terminal, b"hello")
    assert os.read(leader, 5) == b"hello"
    assert stat.S_ISCHR(Path(terminal).stat().st_mode)
    os.close(leader)
    os.close(follower)


def test_a_pipe_that_nobody_reads_ends_with_a_file_elsewhere(capsys):
    Path("pipes").mkdir()
    os.mkfifo("pipes/run.json")
    assert run(*RESTORE, "-o", "out.png", "--record", "pipes/run.json", "--quiet") == 1
    error = capsys.readouterr().err
    assert "nobody is at the other end of it; the record is in" in error
    assert json.loads(Path("run.json").read_text())["task"] == "restore"


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png"])
def test_an_impossible_name_is_refused(name):
    for check in (files.check_writable, files.read_bytes):
        with pytest.raises(PictureError, match="cannot be the name of a file"):
            check(Path(name))


@pytest.mark.parametrize(
    "name", ["line\nbreak.png", "tab\there.png", "red\x1b[31m.png", "bell\a.png", "left\u202e.png"]
)
def test_a_name_does_not_steer_the_terminal(name, capsys):
    for words in (["inspect", name], ["restore", "photo.png", "-o", f"nowhere/{name}"]):
        assert run(*words) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error[:-1].isprintable()


# Printing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["doctor", "--json"], ["inspect", "photo.png"], ["--help"], ["completion", "bash"]])
def test_a_reader_that_has_seen_enough_is_no_failure(words, monkeypatch, capsys):
    end, other = os.pipe()
    os.close(end)
    with os.fdopen(other, "w", buffering=1) as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert run(*words) == 0
    assert capsys.readouterr().err == ""


def test_a_full_disk_behind_standard_output_is_told(monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run("inspect", "photo.png") == 1
    assert "the result could not be printed: there is no space left on its disk" in capsys.readouterr().err


def test_a_run_outlives_the_reader_of_what_it_prints():
    end, other = os.pipe()
    os.close(end)
    words = [*RESTORE, "--recipe", "fast", "-o", "out.png", "--json", "--record", "run.json"]
    done = subprocess.run([sys.executable, "-m", "untaught", *words], check=False, stdout=other, stderr=other)
    os.close(other)
    assert done.returncode == 0
    assert Path("out.png").exists()
    assert json.loads(Path("run.json").read_text())["task"] == "restore"


def test_a_process_without_standard_streams(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run(*RESTORE, "-o", "out.png", "--json") == 0
    assert run("inspect", "nowhere.png") == 2


def test_a_stream_gives_up_once():
    class Closed:
        calls = 0

        def write(self, text):  # noqa: ARG002
            self.calls += 1
            raise BrokenPipeError

        def fileno(self):
            raise OSError

    stream = Stream(closed := Closed())
    assert [stream.write(text) for text in ("ab", "c")] == [2, 1]
    assert closed.calls == 1
    with guarded_streams() as out:
        assert sys.stdout is out


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:124] data. DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("not enough memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (KeyError("allocate memory"), False),
    ],
)
def test_errors_that_mean_memory(error, expected):
    assert out_of_memory(error) is expected
