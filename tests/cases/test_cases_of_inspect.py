"""`inspect` names the treatment of what was done to a picture."""

import pytest

from untaught import cli

pytestmark = pytest.mark.usefixtures("case")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("g_cam_15", "untaught denoise"),
        ("g_cam_25", "untaught denoise"),
        ("g_astro_25", "untaught denoise"),
        ("i_poisson", "untaught denoise"),
        ("i_band", ""),
        ("i_periodic", ""),
    ],
)
def test_18_the_treatment_of_noise(capsys, name, wanted):
    assert cli.main(["inspect", f"{name}.png"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert wanted in last
    assert not any(word in last for word in ("untaught restore", "impulse", "deblur"))
