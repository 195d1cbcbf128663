"""Masked input: what is compared is never shown."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from untaught.errors import InputError, SettingError
from untaught.priors.first_guess import pull_push
from untaught.priors.masked_input import MaskedInput, MaskedSampler, hide, moved
from untaught.priors.sampler import Measurement

PATTERNS = [MaskedInput(), MaskedInput(pattern="shapes", least=0.7, most=0.7)]


def scene(size=(1, 2, 20, 15), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, generator=generator), torch.rand(1, 1, *size[2:], generator=generator).expand(size) > 0.4


def sampler(observed, known, scheme, seed=1) -> MaskedSampler:
    return MaskedSampler(observed, known, scheme, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scheme", PATTERNS, ids=lambda scheme: scheme.pattern)
def test_a_compared_value_is_never_shown(scheme):
    """Whatever the compared values are, input and guess are the same to the bit."""
    observed, known = scene()
    for seed in range(5):
        one = sampler(observed, known, scheme, seed).draw()
        changed = torch.where(one.compared, torch.rand_like(observed), observed)
        other = sampler(changed, known, scheme, seed).draw()
        assert one.compared.any()
        assert not (one.compared & ~known).any()
        assert torch.equal(one.input, other.input)
        assert torch.equal(one.guess, other.guess)


@pytest.mark.parametrize("scheme", PATTERNS, ids=lambda scheme: scheme.pattern)
@pytest.mark.parametrize("hidden", [0.0, 1e30, float("nan")])
def test_an_unknown_value_is_never_shown(scheme, hidden):
    observed, known = scene()
    one = sampler(observed, known, scheme).draw()
    other = sampler(torch.where(known, observed, hidden), known, scheme).draw()
    assert torch.equal(one.input, other.input)
    assert torch.equal(one.guess, other.guess)


def test_draws_differ_and_can_be_restored():
    drawn = sampler(*scene(), PATTERNS[0])
    first = drawn.draw()
    state = drawn.state()
    second = drawn.draw()
    assert not torch.equal(first.input, second.input)
    drawn.restore(state)
    assert torch.equal(drawn.draw().input, second.input)
    drawn.restore(state, randomness=False)
    assert not torch.equal(drawn.draw().input, second.input)


@pytest.mark.parametrize("masks", [1, 3])
def test_one_mask_channel_is_enough_where_all_channels_are_known_alike(masks):
    generator = torch.Generator().manual_seed(0)
    known = (torch.rand(1, masks, 8, 9, generator=generator) > 0.5).expand(1, 3, 8, 9)
    own = sampler(torch.rand(1, 3, 8, 9, generator=generator), known, PATTERNS[0])
    averages = len(PATTERNS[0].widths)
    assert own.draw().input.shape[1] == own.channels == 3 * (2 + averages) + masks


@pytest.mark.parametrize("size", [(1, 1, 1, 2), (1, 3, 2, 1), (1, 1, 1, 31)])
def test_pictures_of_a_few_pixels(size):
    observed = torch.rand(size)
    known = torch.ones(size, dtype=torch.bool)
    known[..., -1, -1] = False
    for scheme in PATTERNS:
        drawn = sampler(observed, known, scheme).draw()
        assert drawn.input.isfinite().all()
        assert drawn.compared.any()


def test_shapes_are_copies_of_what_is_missing():
    known = torch.ones(1, 1, 30, 30, dtype=torch.bool)
    known[..., 4:9, 10:12] = False
    nothing_scattered = MaskedInput(pattern="shapes", least=0.999999, most=0.999999)
    hidden = hide(~known.all(1, keepdim=True), nothing_scattered, torch.Generator().manual_seed(0))
    assert hidden.sum() == (~known).sum()


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
def test_moved_copies_are_flipped_and_shifted(height, width, seed):
    pattern = torch.rand(1, 1, height, width) > 0.5
    copies = list(moved(pattern, 4, torch.Generator().manual_seed(seed)))
    numbers = torch.randint(2**31, (4, 3), generator=torch.Generator().manual_seed(seed)).tolist()
    for copy, (down, right, turn) in zip(copies, numbers, strict=True):
        turned = pattern.flip([side for side, bit in ((-1, 1), (-2, 2)) if turn & bit])
        assert torch.equal(copy, turned.roll((down % height, right % width), (-2, -1)))


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 17), width=st.integers(1, 17), seed=st.integers(0, 99))
def test_pull_push_keeps_values_and_stays_within_them(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(1, 2, height, width, generator=generator)
    weights = (torch.rand(1, 2, height, width, generator=generator) > 0.7).float()
    weights[..., 0, 0] = 1
    filled = pull_push(values * weights, weights)
    there = weights > 0
    torch.testing.assert_close(filled[there], values[there])
    for channel in range(2):
        seen = values[0, channel][there[0, channel]]
        assert filled[0, channel].min() >= seen.min() - 1e-5
        assert filled[0, channel].max() <= seen.max() + 1e-5


@pytest.mark.parametrize(
    "change", [{"pattern": "dots"}, {"least": 0.0}, {"least": 0.9, "most": 0.5}, {"widths": (-1.0,)}, {"copies": 0}]
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(SettingError):
        MaskedInput(**change)


def test_a_patch_is_of_its_place():
    observed, known = scene((1, 2, 40, 25))
    drawn = sampler(observed, known, MaskedInput(patch=16)).draw()
    rows, columns = (one[0] for one in drawn.patch)
    assert (len(rows), len(columns)) == (16, 16)
    own = known[..., rows[:, None], columns]
    assert torch.equal(drawn.target, torch.where(own, observed[..., rows[:, None], columns], 0))
    assert not (drawn.compared & ~own).any()
    assert torch.equal(drawn.input[:, :2], torch.where(drawn.shown, drawn.target, 0))


def test_values_become_known_later():
    observed, known = scene()
    fewer = known & (torch.rand(1, 1, 20, 15, generator=torch.Generator().manual_seed(5)) > 0.2)
    own = sampler(observed, known, PATTERNS[1])
    own.set_known(fewer)
    alike = sampler(observed, fewer, PATTERNS[1])
    assert torch.equal(own.draw().input, alike.draw().input)
    assert torch.equal(own.first_guess()[fewer], observed[fewer])
    assert not torch.equal(own.first_guess()[known], observed[known])
    own.set_known(known)
    assert torch.equal(own.first_guess()[known], observed[known])


@pytest.mark.parametrize(("is_picture", "size"), [(False, (20, 15)), (True, (4, 20, 15))])
def test_it_needs_a_picture(is_picture, size):
    observed = torch.rand(1, 2, *size)
    measurement = Measurement(observed=observed, known=observed > -1, channels=2, size=size, is_picture=is_picture)
    with pytest.raises(InputError, match="shows the network the picture"):
        MaskedInput().build(measurement, torch.Generator())
