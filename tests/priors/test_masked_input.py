import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from untaught.errors import SettingError
from untaught.priors.masked_input import MaskedInput, MaskedSampler, hide, moved, pull_push

PATTERNS = [MaskedInput(), MaskedInput(pattern="shapes", least=0.7, most=0.7)]


def scene(size=(1, 2, 20, 15), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, generator=generator), torch.rand(1, 1, *size[2:], generator=generator).expand(size) > 0.4


def source(observed, known, thinning, seed=1) -> MaskedSampler:
    return MaskedSampler(observed, known, thinning, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("thinning", PATTERNS, ids=lambda thinning: thinning.pattern)
def test_what_is_asked_for_is_never_shown(thinning):
    """Whatever the compared values are, input and guess are the same to the bit."""
    observed, known = scene()
    for seed in range(5):
        one = source(observed, known, thinning, seed).draw()
        changed = torch.where(one.compared, torch.rand_like(observed), observed)
        other = source(changed, known, thinning, seed).draw()
        assert one.compared.any()
        assert not (one.compared & ~known).any()
        assert torch.equal(one.input, other.input)
        assert torch.equal(one.guess, other.guess)


@pytest.mark.parametrize("thinning", PATTERNS, ids=lambda thinning: thinning.pattern)
@pytest.mark.parametrize("hidden", [0.0, 1e30, float("nan")])
def test_what_is_missing_is_never_shown(thinning, hidden):
    observed, known = scene()
    one = source(observed, known, thinning).draw()
    other = source(torch.where(known, observed, hidden), known, thinning).draw()
    assert torch.equal(one.input, other.input)
    assert torch.equal(one.guess, other.guess)


def test_draws_differ_and_can_be_gone_back_to():
    drawn = source(*scene(), PATTERNS[0])
    first = drawn.draw()
    state = drawn.state()
    second = drawn.draw()
    assert not torch.equal(first.input, second.input)
    drawn.restore(state)
    assert torch.equal(drawn.draw().input, second.input)
    drawn.restore(state, randomness=False)
    assert not torch.equal(drawn.draw().input, second.input)


def test_the_number_of_channels_is_foretold():
    for known in (torch.ones(1, 3, 8, 9, dtype=torch.bool), torch.rand(1, 3, 8, 9) > 0.5):
        drawn = source(torch.rand(1, 3, 8, 9), known, PATTERNS[0])
        assert drawn.draw().input.shape[1] == PATTERNS[0].channels(3, drawn.mask_channels)


@pytest.mark.parametrize("size", [(1, 1, 1, 2), (1, 3, 2, 1), (1, 1, 1, 31)])
def test_pictures_of_a_few_pixels(size):
    observed = torch.rand(size)
    known = torch.ones(size, dtype=torch.bool)
    known[..., -1, -1] = False
    for thinning in PATTERNS:
        drawn = source(observed, known, thinning).draw()
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
def test_to_move_is_to_turn_about_and_to_roll(height, width, seed):
    pattern = torch.rand(1, 1, height, width) > 0.5
    copies = list(moved(pattern, 4, torch.Generator().manual_seed(seed)))
    numbers = torch.randint(2**31, (4, 3), generator=torch.Generator().manual_seed(seed)).tolist()
    for copy, (down, right, turn) in zip(copies, numbers, strict=True):
        turned = pattern.flip([side for side, bit in ((-1, 1), (-2, 2)) if turn & bit])
        assert torch.equal(copy, turned.roll((down % height, right % width), (-2, -1)))


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 17), width=st.integers(1, 17), seed=st.integers(0, 99))
def test_spreading_out_keeps_values_and_stays_within_them(height, width, seed):
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


def test_what_is_drawn_of_a_window_is_of_that_window():
    observed, known = scene((1, 2, 40, 25))
    drawn = source(observed, known, MaskedInput(window=16)).draw()
    rows, columns = (one[0] for one in drawn.patch)
    assert (len(rows), len(columns)) == (16, 16)
    own = known[..., rows[:, None], columns]
    assert torch.equal(drawn.target, torch.where(own, observed[..., rows[:, None], columns], 0))
    assert not (drawn.compared & ~own).any()
    assert torch.equal(drawn.input[:, :2], torch.where(drawn.shown, drawn.target, 0))
