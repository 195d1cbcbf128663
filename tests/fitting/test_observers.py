import io

import numpy as np
import pytest
import torch
from rich.console import Console

from untaught.fitting.observers import LiveDisplay, PlainLines, Preview, ReferenceMeter, as_blocks
from untaught.fitting.state import State


def states(count: int, channels: int = 3):
    for iteration in range(1, count + 1):
        output = torch.full((1, channels, 8, 6), iteration / count)
        yield State(
            iteration, count, torch.tensor(1 / iteration), output, output, output.square(), iteration / 10, 0.01, 0
        )


def test_the_meter_measures_now_and_then_and_at_the_end():
    meter = ReferenceMeter(np.ones((8, 6, 3)), lambda state: state.average[0].permute(1, 2, 0).numpy(), every=4)
    assert meter.latest() == ""
    for state in states(10):
        meter(state)
    assert [point["iteration"] for point in meter.points] == [4, 8, 10]
    assert meter.points[0]["psnr"] == pytest.approx(-20 * np.log10(0.6), abs=1e-4)
    assert meter.points[-1]["psnr"] is None  # equal pictures have no finite distance
    assert meter.latest() == ""


def test_previews_leave_the_last_iteration_to_the_result():
    seen = []
    preview = Preview(lambda state: seen.append(state.iteration), every=2)
    for state in states(6):
        preview(state)
    assert seen == [2, 4]


@pytest.mark.parametrize("colours", [None, "truecolor", "256"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_live_display_draws_to_the_end(colours, channels):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=colours, width=80, height=30)
    with LiveDisplay(console, every=2) as display:
        for state in states(6, channels):
            display(state)
    text = stream.getvalue()
    assert "6/6" in text
    assert ("▀" in text) == (colours is not None)


def test_plain_lines_tell_loss_and_time_left():
    stream = io.StringIO()
    with PlainLines(Console(file=stream, width=100), seconds=0.2) as lines:
        for state in states(10):
            lines(state)
    printed = stream.getvalue().splitlines()
    assert 4 <= len(printed) <= 7
    assert printed[-1].startswith("10/10  loss 1.00e-01")
    assert "0 s left" in printed[-1]


def test_blocks_fit_the_space_and_keep_the_shape():
    segments = as_blocks(np.random.default_rng(0).random((300, 200, 3)), rows=10, columns=70)
    lines = "".join(segment.text for segment in segments.segments).splitlines()
    assert len(lines) == 10
    assert {len(line) for line in lines} == {13}
