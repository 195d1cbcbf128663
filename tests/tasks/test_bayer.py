"""Demosaicing by interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks.tasks import mosaic
from skimage import data
from skimage.transform import resize

import untaught
from untaught.imaging.metrics import psnr
from untaught.tasks.bayer import fill_colours
from untaught.tasks.classical import classical
from untaught.tasks.preparation import prepare

PHOTO = resize(data.astronaut()[:256, 100:356], (96, 96), anti_aliasing=True)


def bayer(height, width):
    known = torch.zeros(1, 3, height, width, dtype=torch.bool)
    known[:, 0, ::2, ::2] = known[:, 2, 1::2, 1::2] = True
    known[:, 1, ::2, 1::2] = known[:, 1, 1::2, ::2] = True
    return known


def grown(photo):
    return torch.from_numpy(photo.transpose(2, 0, 1)[None].copy()).float()


def test_it_is_better_than_interpolation_of_each_channel():
    raw = mosaic(PHOTO)
    simple = classical(prepare("demosaic", raw, device="cpu"))["bilinear"]()
    assert psnr(untaught.demosaic(raw).picture, PHOTO) > psnr(simple, PHOTO) + 3


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (9, 40), (17, 16), (31, 50)])
def test_a_flat_colour_stays_flat(size):
    flat = torch.tensor([0.2, 0.5, 0.9])[None, :, None, None].expand(1, 3, *size)
    assert (fill_colours(flat, bayer(*size)) - flat).abs().max() < 1e-3


def test_channels_without_a_common_detail_are_not_mixed():
    generator = np.random.default_rng(0)
    rows = np.cumsum(generator.normal(0, 0.02, (64, 1, 1)), 0) + np.zeros((64, 64, 1))
    columns = np.cumsum(generator.normal(0, 0.02, (1, 64, 1)), 1) + np.zeros((64, 64, 1))
    photo = np.clip(np.concatenate([rows, columns, rows[:, ::-1] * 0], -1) + 0.5, 0, 1)
    found = fill_colours(grown(photo), bayer(64, 64))[0].permute(1, 2, 0).numpy()
    assert psnr(found, photo) > 38


def test_a_dead_pixel_spreads_no_colour():
    known, picture = bayer(96, 96), grown(PHOTO)
    whole = fill_colours(picture, known)
    known[:, :, 40, 41] = False
    picture[:, :, 40, 41] = float("nan")
    without = fill_colours(picture, known)
    assert without.isfinite().all()
    assert (without - whole).abs().max() < 0.2
    assert (without - whole)[..., 60:, :].abs().max() < 0.02
