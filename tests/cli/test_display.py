"""The live display and plain lines."""

import io

import numpy as np
import pytest
from rich.console import Console

from made_states import states
from untaught.cli.display import LiveDisplay, PlainLines, as_blocks, make_console


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


def test_a_terminal_without_unicode_gets_no_blocks():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=stream, force_terminal=True, color_system="truecolor", width=80)
    with LiveDisplay(console, every=2) as display:
        for state in states(6):
            display(state)
    stream.flush()
    assert "6/6" in stream.buffer.getvalue().decode("ascii")


def test_names_with_markup_are_printed_as_they_are(capsys):
    make_console().print("wrote scan[red].png :smile: [/]")
    assert capsys.readouterr().err == "wrote scan[red].png :smile: [/]\n"
