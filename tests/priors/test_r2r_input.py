"""R2R input: a noisier picture as input, and a target with independent noise."""

import pytest
import torch

import untaught
from untaught.errors import InputError, SettingError
from untaught.priors.inputs import mirror
from untaught.priors.r2r_input import R2RInput, R2RSampler
from untaught.priors.sampler import Measurement

OBSERVED = torch.rand(1, 2, 64, 48, generator=torch.Generator().manual_seed(0))


def sampler(observed=OBSERVED, known=None, seed=1, **changes):
    known = observed > -9 if known is None else known
    return R2RSampler(observed, known, 0.1, R2RInput(**changes), torch.Generator().manual_seed(seed))


def test_input_and_target_share_no_noise():
    """Of y = x + n, with one n: over many draws of n and z, the noise of both is uncorrelated."""
    clean = torch.full((1, 1, 200, 200), 0.5)
    seen = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    drawn = sampler(seen, strength=0.7).draw()
    shown = (mirror(drawn.input[:, :1], drawn.mirrored) - clean).flatten()
    target = (drawn.target - clean).flatten()
    assert abs(torch.corrcoef(torch.stack([shown, target]))[0, 1]) < 0.02
    assert abs(shown.std() / 0.1 - (1 + 0.7**2) ** 0.5) < 0.02
    assert abs(target.std() / 0.1 - (1 + 1 / 0.7**2) ** 0.5) < 0.03


def test_channels_and_guess():
    own = sampler(strength=2.0)
    drawn = own.draw()
    assert drawn.input.shape == (1, own.channels, 64, 48)
    assert own.channels == 2 * (2 + len(R2RInput().widths))
    seen = mirror(drawn.input, drawn.mirrored)
    assert torch.equal(drawn.guess, seen[:, 2:4])
    torch.testing.assert_close((seen[:, :2] + 4 * drawn.target) / 5, OBSERVED)


def test_a_guide_is_shown_unchanged_and_unnoisy():
    guide = torch.rand(1, 3, 64, 48)
    own = R2RSampler(OBSERVED, OBSERVED > -9, 0.1, R2RInput(), torch.Generator(), guide)
    drawn = own.draw()
    assert drawn.input.shape[1] == own.channels == 2 * (2 + len(R2RInput().widths)) + 3
    assert torch.equal(mirror(drawn.input, drawn.mirrored)[:, -3:], guide)


def test_a_patch_is_of_its_place():
    drawn = sampler(known=OBSERVED > 0.1, patch=32).draw()
    rows, columns = (one[0] for one in drawn.patch)
    own = OBSERVED[..., rows[:, None], columns]
    assert own.shape == (1, 2, 32, 32)
    assert torch.equal(drawn.compared, own > 0.1)
    seen = mirror(drawn.input, drawn.mirrored)[:, :2]
    # Where a value is unknown, what is shown there is interpolated.
    torch.testing.assert_close(((seen + drawn.target) / 2)[own > 0.1], own[own > 0.1])


@pytest.mark.parametrize("value", [0.0, 1e30, float("nan")])
def test_unknown_values_are_not_shown_until_they_are_known(value):
    known = torch.rand(OBSERVED.shape, generator=torch.Generator().manual_seed(2)) > 0.3
    spoilt = torch.where(known, OBSERVED, value)
    one, other = sampler(known=known), sampler(spoilt, known)
    for _ in range(3):
        first, second = one.draw(), other.draw()
        assert torch.equal(first.input, second.input)
        assert torch.equal(first.guess, second.guess)
        assert torch.equal(first.target[known], second.target[known])
    assert torch.equal(one.first_guess(), other.first_guess())
    one.set_known(torch.ones_like(known))
    drawn = one.draw()
    assert drawn.compared.all()
    torch.testing.assert_close((mirror(drawn.input, drawn.mirrored)[:, :2] + drawn.target) / 2, OBSERVED)


def test_all_mirrorings_are_drawn():
    drawing = sampler()
    assert len({tuple(drawing.draw().mirrored[0].tolist()) for _ in range(40)}) == 4


def test_draws_differ_and_continue_after_a_restore():
    first = sampler()
    moment = first.state()
    drawn = first.draw()
    assert not torch.equal(first.draw().input, drawn.input)
    other = sampler(seed=9)
    other.restore(moment)
    assert torch.equal(other.draw().input, drawn.input)
    other.restore(moment, randomness=False)
    assert not torch.equal(other.draw().input, drawn.input)


def test_it_needs_a_picture_and_its_noise():
    known = OBSERVED > -9
    given = {"observed": OBSERVED, "known": known, "channels": 2, "size": (64, 48)}
    with pytest.raises(InputError, match="standard deviation is unknown"):
        R2RInput().build(Measurement(**given), torch.Generator())
    with pytest.raises(InputError, match="an operator's output was observed"):
        R2RInput().build(Measurement(**given, noise=0.1, is_picture=False), torch.Generator())
    assert R2RInput().build(Measurement(**given, noise=0.1), torch.Generator()).noise == 0.1


def test_it_denoises():
    clean = torch.linspace(0, 1, 48).expand(1, 1, 32, 48)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    network = untaught.NetworkSettings(down_channels=(16, 16), up_channels=(16, 16), skip_channels=(8, 8), head="none")
    result = untaught.fit(noisy, network=network, input=R2RInput(), noise=0.1, iterations=60).finish()
    assert (result.picture - clean).square().mean() < 0.2 * 0.1**2


@pytest.mark.parametrize("bad", [{"strength": 0.0}, {"guess": 0.0}, {"widths": (1.0, -1.0)}, {"patch": 4}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(SettingError):
        R2RInput(**bad)
