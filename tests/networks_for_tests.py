"""Small networks that several test files share, one for each setting of the architecture."""

import torch

from untaught.priors.encoder_decoder import EncoderDecoder, NetworkSettings


def small(**changes) -> NetworkSettings:
    base = {"input_channels": 4, "down_channels": (6, 8), "up_channels": (6, 8), "skip_channels": (2, 2)}
    return NetworkSettings(**{**base, **changes})


def seeded(settings: NetworkSettings, channels: int = 3, seed: int = 0) -> EncoderDecoder:
    return EncoderDecoder(settings, channels, torch.Generator().manual_seed(seed))


VARIANTS = {
    "paper": {},
    "printed": {"skip_tap": "output", "upsampling": "bicubic", "negative_slope": 0.01},
    "printed without skips": {"skip_tap": "output", "skip_channels": (0, 0)},
    "no skips": {"skip_channels": (0, 0)},
    "one skip": {"skip_channels": (0, 3)},
    "added": {"skip_join": "add", "skip_channels": (8, 8)},
    "added, printed": {"skip_join": "add", "skip_tap": "output", "skip_channels": (8, 5)},
    "average": {"downsampling": "average"},
    "max": {"downsampling": "max"},
    "lanczos2": {"downsampling": "lanczos2"},
    "lanczos3": {"downsampling": "lanczos3"},
    "nearest": {"upsampling": "nearest"},
    "one a scale": {"upsampling": ("bicubic", "nearest")},
    "zero padding": {"padding": "zero"},
    "replicate padding": {"padding": "replicate"},
    "large kernels": {"down_kernel_size": (5, 3), "up_kernel_size": 5, "skip_kernel_size": 3},
    "elu": {"activation": "elu"},
    "swish": {"activation": "swish"},
    "relu": {"activation": "relu"},
    "linear": {"activation": "none"},
    "no extra convolution": {"extra_convolution": False},
    "no head": {"head": "none"},
}
