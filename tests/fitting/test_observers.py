import numpy as np
import pytest
import torch

from untaught.fitting.observers import Preview, ReferenceMeter
from untaught.fitting.state import State


def states(count: int, channels: int = 3):
    for iteration in range(1, count + 1):
        output = torch.full((1, channels, 8, 6), iteration / count)
        loss = torch.tensor(1 / iteration)
        yield State(
            iteration=iteration,
            iterations=count,
            loss=loss,
            losses=loss[None],
            average=output,
            square=output.square(),
            elapsed=iteration / 10,
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
