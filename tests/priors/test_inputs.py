import pytest
import torch

from untaught.errors import SettingError
from untaught.priors.inputs import InputSettings, PerturbationSettings, PerturbedSampler, make_input


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_uniform_input_is_the_published_one():
    values = make_input(InputSettings(), (64, 64), generator())
    assert values.shape == (1, 32, 64, 64)
    assert values.min() >= 0
    assert values.max() < 0.1
    assert values.mean() == pytest.approx(0.05, abs=1e-3)


def test_normal_input_has_the_given_deviation():
    values = make_input(InputSettings(kind="normal", scale=0.5), (64, 64), generator())
    assert values.std() == pytest.approx(0.5, rel=0.02)


def test_grid_runs_from_zero_to_one_along_x_then_y():
    x, y = make_input(InputSettings(kind="grid", channels=2), (3, 5), generator())[0]
    torch.testing.assert_close(x[1], torch.linspace(0, 1, 5))
    torch.testing.assert_close(y[:, 2], torch.linspace(0, 1, 3))


def test_fourier_features_are_sines_and_cosines_of_the_grid():
    features = make_input(InputSettings(kind="fourier", channels=8), (6, 7), generator())[0]
    assert features.shape == (8, 6, 7)
    sines, cosines = features[:4], features[4:]
    torch.testing.assert_close(sines**2 + cosines**2, torch.ones(4, 6, 7))


@pytest.mark.parametrize("kind", ["uniform", "normal", "grid", "fourier"])
def test_a_picture_of_one_pixel(kind):
    channels = 2 if kind == "grid" else 4
    assert make_input(InputSettings(kind=kind, channels=channels), (1, 1), generator()).isfinite().all()


def test_a_volume_has_a_channel_for_each_axis():
    x, y, z = make_input(InputSettings(kind="grid", channels=3), (2, 3, 5), generator())[0]
    torch.testing.assert_close(x[1, 1], torch.linspace(0, 1, 5))
    torch.testing.assert_close(y[1, :, 1], torch.linspace(0, 1, 3))
    torch.testing.assert_close(z[:, 1, 1], torch.linspace(0, 1, 2))
    features = make_input(InputSettings(kind="fourier", channels=18), (2, 3, 5), generator())[0]
    torch.testing.assert_close(features[:9] ** 2 + features[9:] ** 2, torch.ones(9, 2, 3, 5))
    with pytest.raises(SettingError, match="3 axes has 3 channels"):
        make_input(InputSettings(kind="grid", channels=2), (2, 3, 5), generator())


def draws(kind: str, count: int) -> list[torch.Tensor]:
    base = torch.zeros(1, 8, 64, 64)
    perturbed = PerturbedSampler(base, PerturbationSettings(kind=kind, standard_deviation=0.1), generator())
    return [perturbed.draw().input for _ in range(count)]


def test_no_perturbation_gives_the_same_input():
    assert all(torch.equal(draw, torch.zeros(1, 8, 64, 64)) for draw in draws("none", 3))


def test_fresh_noise_does_not_add_up_and_accumulated_noise_does():
    fresh, accumulated = draws("fresh", 9), draws("accumulated", 9)
    assert fresh[8].std() == pytest.approx(0.1, rel=0.05)
    assert accumulated[8].std() == pytest.approx(0.3, rel=0.05)
    assert (accumulated[8] - accumulated[7]).std() == pytest.approx(0.1, rel=0.05)
    correlation = torch.corrcoef(torch.stack((fresh[8].flatten(), fresh[7].flatten())))[0, 1]
    assert abs(correlation) < 0.05


def test_a_draw_already_handed_out_is_left_alone():
    perturbed = PerturbedSampler(torch.zeros(1, 1, 4, 4), PerturbationSettings(kind="accumulated"), generator())
    first = perturbed.draw().input
    before = first.clone()
    perturbed.draw()
    assert torch.equal(first, before)


def test_a_walk_in_place_is_the_same_walk():
    walks = []
    for in_place in (False, True):
        perturbed = PerturbedSampler(torch.zeros(1, 1, 4, 4), PerturbationSettings(kind="accumulated"), generator())
        perturbed.in_place, place = in_place, perturbed.current.data_ptr()
        walks.append([perturbed.draw().input for _ in range(3)])
        assert (perturbed.current.data_ptr() == place) == in_place
    assert all(torch.equal(one, other) for one, other in zip(*walks, strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: InputSettings(kind="noise"),
        lambda: InputSettings(kind="grid"),
        lambda: InputSettings(kind="fourier", channels=7),
        lambda: InputSettings(channels=0),
        lambda: InputSettings(scale=0.0),
        lambda: PerturbationSettings(kind="sometimes"),
        lambda: PerturbationSettings(standard_deviation=-1.0),
    ],
)
def test_impossible_settings_are_refused(make):
    with pytest.raises(SettingError):
        make()
