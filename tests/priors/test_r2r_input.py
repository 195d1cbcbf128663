import pytest
import torch

from untaught.errors import SettingError
from untaught.priors.inputs import mirror
from untaught.priors.r2r_input import R2RInput, R2RSampler

OBSERVED = torch.rand(1, 2, 64, 48, generator=torch.Generator().manual_seed(0))


def source(strength=2.0, seed=1):
    settings = R2RInput(strength=strength)
    return R2RSampler(OBSERVED, OBSERVED > -1, 0.1, settings, torch.Generator().manual_seed(seed))


def test_input_and_target_share_no_noise():
    """Of y = x + n, a single n: over many draws of n and z, the noise of both is uncorrelated."""
    generator = torch.Generator().manual_seed(3)
    clean = torch.full((1, 1, 200, 200), 0.5)
    seen = clean + 0.1 * torch.randn(clean.shape, generator=generator)
    drawn = R2RSampler(seen, seen > -9, 0.1, R2RInput(strength=0.7), generator).draw()
    shown = mirror(drawn.input[:, :1], drawn.mirrored) - clean
    shown, target = shown.flatten(), (drawn.target - clean).flatten()
    assert abs(torch.corrcoef(torch.stack([shown, target]))[0, 1]) < 0.02
    assert abs(shown.std() / 0.1 - (1 + 0.7**2) ** 0.5) < 0.02
    assert abs(target.std() / 0.1 - (1 + 1 / 0.7**2) ** 0.5) < 0.03


def test_channels_and_guess():
    drawn = source().draw()
    assert drawn.input.shape == (1, R2RInput().channels(2), 64, 48)
    seen = mirror(drawn.input, drawn.mirrored)
    assert torch.equal(drawn.guess, seen[:, 2:4])
    torch.testing.assert_close((seen[:, :2] + 4 * drawn.target) / 5, OBSERVED)


def test_a_window_is_of_that_window_and_its_noise_is_its_own():
    settings = R2RInput(window=32)
    drawn = R2RSampler(OBSERVED, OBSERVED > 0.1, 0.1, settings, torch.Generator().manual_seed(1)).draw()
    rows, columns = (one[0] for one in drawn.patch)
    own = OBSERVED[..., rows[:, None], columns]
    assert own.shape == (1, 2, 32, 32)
    assert torch.equal(drawn.compared, own > 0.1)
    torch.testing.assert_close((mirror(drawn.input, drawn.mirrored)[:, :2] + drawn.target) / 2, own)


def test_all_mirrorings_are_drawn():
    drawing = source()
    drawn = {tuple(drawing.draw().mirrored[0].tolist()) for _ in range(40)}
    assert len(drawn) == 4


def test_draws_differ_and_go_on_after_a_restore():
    first = source()
    moment = first.state()
    drawn = first.draw()
    assert not torch.equal(first.draw().input, drawn.input)
    other = source(seed=9)
    other.restore(moment)
    assert torch.equal(other.draw().input, drawn.input)
    other.restore(moment, randomness=False)
    assert not torch.equal(other.draw().input, drawn.input)


@pytest.mark.parametrize("bad", [{"strength": 0.0}, {"guess": 0.0}, {"widths": (1.0, -1.0)}])
def test_bad_settings(bad):
    with pytest.raises(SettingError):
        R2RInput(**bad)
