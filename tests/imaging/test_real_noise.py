"""The noise model on made noise, and what the filter makes of it."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter, zoom
from skimage import data
from skimage.transform import resize

from untaught.imaging.correlated_filter import Strength, filter_correlated
from untaught.imaging.metrics import psnr
from untaught.imaging.noise_model import estimate_noise_model, jpeg_trace
from untaught.imaging.real_noise import noise_model, remove_noise

PHOTO = resize(data.astronaut()[:256, 100:356], (128, 128), anti_aliasing=True)
Y, X = np.mgrid[:128, :128] / 128
SMOOTH = np.stack([0.25 + 0.5 * X, 0.3 + 0.4 * Y, 0.6 - 0.3 * X * Y], -1)


def white(channels=3, size=128, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (size, size, channels))


def grain(width, channels=3, seed=0, size=128):
    soft = gaussian_filter(white(channels, size, seed), (width, width, 0))
    return soft / soft.std()


def correlation_length(noise):
    """Where the correlation with a pixel to the right or below falls to a half."""
    gray = noise.mean(2)
    curve = [1.0]
    for distance in range(1, 8):
        right = (gray[:, distance:] * gray[:, :-distance]).mean()
        down = (gray[distance:] * gray[:-distance]).mean()
        curve.append((right + down) / 2 / (gray**2).mean())
    end = next((i for i, value in enumerate(curve) if value < 0.5), 7)
    return end - 1 + (curve[end - 1] - 0.5) / (curve[end - 1] - curve[end])


KINDS = {
    "white": 0.05 * white(),
    "gray": 0.05 * np.repeat(white(1), 3, 2),
    "fine grain": 0.05 * grain(0.6),
    "grain": 0.08 * grain(1.0),
    "coarse grain": 0.05 * grain(1.6),
    "enlarged": 0.05 * zoom(white(size=64), (2, 2, 1), order=1),
    "stronger where bright": 0.1 * SMOOTH * grain(0.8),
    "photons": np.sqrt(0.01 * SMOOTH) * white(),
    "strong": 0.15 * grain(0.7),
    "colour": 0.05 * grain(1.0) @ np.array([[1, 0.2, 0.6], [0.2, 0.6, 0.2], [0.6, 0.2, 1]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_knows_level_and_correlation_of_made_noise(kind):
    noise = KINDS[kind]
    model = estimate_noise_model(SMOOTH + noise)
    true = np.sqrt((noise**2).mean((0, 1))).mean()
    assert model.level == pytest.approx(true, rel=0.15)
    assert abs(model.correlation_length - correlation_length(noise)) < 1


def test_the_curve_follows_the_brightness():
    """The shot noise of photons has a variance in proportion to the brightness."""
    model = noise_model(SMOOTH + KINDS["photons"])
    found = model.deviation(0, np.array([0.3, 0.5, 0.7]))
    np.testing.assert_allclose(found, np.sqrt(0.01 * np.array([0.3, 0.5, 0.7])), rtol=0.2)


def test_the_noise_of_few_photons_is_known_where_it_is_dark_and_where_it_is_bright():
    """Its variance is a straight line, also between black and the first bright place, and content is no part of it."""
    rows, columns = np.random.default_rng(1).integers(0, 128, (2, 60))
    dots = np.zeros((128, 128))
    np.add.at(dots, (rows, columns), 1)
    clean = (0.02 + 0.35 * gaussian_filter(dots, 3) / gaussian_filter(dots, 3).max())[..., None]
    noisy = np.random.default_rng(2).poisson(clean * 60) / 60
    model = noise_model(noisy)
    values = np.array([0.06, 0.12, 0.24])
    np.testing.assert_allclose(model.deviation(0, values), np.sqrt(values / 60), rtol=0.2)
    assert model.growth(noisy) > 1.4
    assert psnr(remove_noise(noisy).picture, clean) > psnr(noisy, clean) + 7


@pytest.mark.parametrize("level", [10, 25, 50])
@pytest.mark.parametrize("clipped", [False, True])
def test_even_noise_does_not_seem_to_grow(level, clipped):
    noisy = PHOTO + level / 255 * white()
    noisy = noisy.clip(0, 1) if clipped else noisy
    assert estimate_noise_model(noisy).growth(noisy) < 1.25


def test_grain_is_removed_from_a_photograph():
    noisy = (PHOTO + 0.1 * grain(0.8)).clip(0, 1)
    assert psnr(remove_noise(noisy).picture, PHOTO) > psnr(noisy, PHOTO) + 3.7


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_any_number_of_channels(channels):
    clean = np.repeat(SMOOTH[..., :1], channels, 2)
    found = remove_noise(clean + 0.05 * grain(0.8, channels))
    assert found.picture.shape == clean.shape
    assert psnr(found.picture, clean) > 32


def test_a_clean_picture_stays():
    found = remove_noise(SMOOTH)
    assert found.little
    assert psnr(found.picture, SMOOTH) > 45


def test_a_network_that_has_not_come_far_is_not_trusted():
    noisy = (PHOTO + 0.1 * grain(0.8)).clip(0, 1)
    found = remove_noise(noisy)
    trusted = [found.trust(gaussian_filter(PHOTO, (width, width, 0))) for width in (0, 4, 40)]
    assert trusted[0] > 0.4
    assert trusted == sorted(trusted, reverse=True)
    unfit = np.full_like(PHOTO, 0.5)
    assert psnr(found.mixed(unfit), PHOTO) > psnr(found.picture, PHOTO) - 0.05


def as_jpeg(picture, quality):
    """A picture, (H, W, 3), after JPEG, without its first rows and columns."""
    file = io.BytesIO()
    Image.fromarray((picture * 255).round().clip(0, 255).astype(np.uint8)).save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file))[3:, 2:] / 255


@pytest.mark.parametrize("level", [0, 2, 5])
def test_jpeg_is_seen_by_what_it_took(level):
    noisy = PHOTO + level / 255 * grain(0.8)
    assert jpeg_trace(noisy) < 0.4
    assert jpeg_trace(as_jpeg(noisy, 75)) > 0.8


def test_of_little_there_is_no_trace_of_jpeg():
    assert jpeg_trace(np.zeros((40, 40, 3))) == jpeg_trace(PHOTO[:12, :12]) == 0


def test_noise_that_a_camera_left_on_structure_goes_too():
    """Its compression left no noise where the picture is flat, so the model sees little of it."""
    clean = resize(data.astronaut(), (256, 256), anti_aliasing=True)
    gray = clean.mean(2)
    there = np.sqrt(np.maximum(uniform_filter(gray**2, 8) - uniform_filter(gray, 8) ** 2, 0))
    noisy = as_jpeg(clean + (1 + 10 * there / (there + 0.03))[..., None] / 255 * grain(0.5, size=256), 60)
    model = noise_model(noisy)
    assert model.structure > 0
    even, more = (filter_correlated(noisy, one, Strength(threshold=4)) for one in (replace(model, structure=0), model))
    assert psnr(more, clean[3:, 2:]) > psnr(even, clean[3:, 2:]) + 0.2
    assert noise_model(clean + 0.02 * grain(0.8, size=256)).structure == 0


@pytest.mark.parametrize("width", [1.2, 1.6])
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_coarse_grain_is_removed_and_not_taken_for_texture(name, width):
    clean = getattr(data, name)()[:192, :192] / 255
    soft = gaussian_filter(np.random.default_rng(0).normal(size=clean.shape), (width, width, 0))
    noisy = (clean + 25 / 255 * soft / soft.std()).clip(0, 1)
    assert psnr(remove_noise(noisy).picture, clean) > psnr(noisy, clean) + 4


def test_a_texture_without_fine_detail_stays():
    gravel = data.gravel()[100:300, 100:300, None] / 255
    assert psnr(remove_noise(gravel).picture, gravel) > 40


def test_the_darkening_of_a_tone_curve_is_undone():
    """Noise is added to linear light; the mean of what a camera makes of it is too dark."""
    light = SMOOTH**2.4 + 0.1 * grain(0.6)
    found = remove_noise(light.clip(0, 1) ** (1 / 2.4))
    assert found.brightened
    assert abs((found.picture - SMOOTH).mean()) < 0.5 * abs((light.clip(0, 1) ** (1 / 2.4) - SMOOTH).mean())
    assert not remove_noise(SMOOTH + 0.1 * grain(0.6)).brightened


def test_a_network_counts_where_there_is_structure_and_keeps_points():
    clean = np.full((128, 128, 1), 0.3)
    clean[:, 64:] += 0.3 * (np.arange(64)[:, None] // 4 % 2)
    found = remove_noise(clean + 0.03 * grain(0.7, 1))
    assert found.share[:, :40].max() < 0.25 < 0.45 < found.share[16:112, 72:].mean() < 0.7
    network = found.filtered - 0.05
    expected = found.filtered - 0.05 * found.trust(network) * found.share
    assert np.abs(found.mixed(network) - expected).mean() < 0.002
    # Nothing is hardly any noise: a network has no say in a clean picture.
    clean = remove_noise(SMOOTH)
    np.testing.assert_array_equal(clean.mixed(np.zeros_like(SMOOTH)), clean.picture)


def test_single_bright_points_stay():
    sky = np.full((128, 128, 1), 0.1)
    places = np.random.default_rng(3).integers(8, 120, (2, 20))
    sky[places[0], places[1]] = 0.8
    found = remove_noise(sky + 0.03 * grain(0.7, 1)).picture
    assert found[places[0], places[1]].mean() > 0.72


@pytest.mark.parametrize("level", [10, 20])
def test_weakly_shared_noise_is_no_white_noise(level):
    """Neighbours share a quarter of it, as after a light smoothing; it is not mistaken in texture with white noise."""
    clean = resize(data.rocket(), (213, 320), anti_aliasing=True) * 0.8 + 0.1
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 1, clean.shape), (0.5, 0.5, 0))
    noisy = clean + noise * level / 255 / noise.std()
    assert noise_model(noisy).correlation[1] > 0.2
    assert psnr(remove_noise(noisy).picture, clean) > psnr(noisy, clean) + 6
    texture = resize(data.gravel() / 255, (256, 256), anti_aliasing=True)[..., None]
    seen = texture + np.random.default_rng(0).normal(0, 25 / 255, texture.shape)
    assert noise_model(seen).correlation[1] < 0.1


def test_white_noise_of_a_gray_picture_in_three_channels_is_as_strong_as_in_one():
    noisy = (SMOOTH[..., :1] + np.random.default_rng(0).normal(0, 0.1, (*SMOOTH.shape[:2], 1))).repeat(3, 2).clip(0, 1)
    assert noise_model(noisy).level == pytest.approx(noise_model(noisy[..., :1]).level, rel=0.05)
