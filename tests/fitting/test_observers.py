import numpy as np
import pytest

from made_states import states
from untaught.fitting.observers import Preview, ReferenceMeter


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
