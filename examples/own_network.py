# %% [markdown]
# # Your own network
#
# The picture's prior is the architecture of the network. Any `torch.nn.Module` from `(N, C, H, W)` to `(N, c, H, W)`
# can take the place of ours.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data
from torch import nn

import untaught
from untaught.notebook import Live

SIZE = int(os.environ.get("EXAMPLE_SIZE", "128"))
STEPS = SIZE**2 // 25

clean = torch.tensor(data.chelsea()[60 : 60 + SIZE, 130 : 130 + SIZE] / 255, dtype=torch.float32).movedim(-1, 0)[None]
known = torch.tensor(np.random.default_rng(0).random((SIZE, SIZE)) > 0.5)


# %% [markdown]
# Two architectures of the same number of layers. One looks at coarser and coarser scales, the other at single pixels
# only.


# %%
def hourglass(width=48):
    """Convolutions at three scales."""

    def block(inputs, stride):
        return nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, padding=1, padding_mode="reflect"),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(),
        )

    up = nn.Upsample(scale_factor=2, mode="bilinear")
    blocks = [block(32, 2), block(width, 2), block(width, 1), up, block(width, 1), up, block(width, 1)]
    return nn.Sequential(*blocks, nn.Conv2d(width, 3, 1), nn.Sigmoid())


def single_pixels(width=48):
    """Convolutions of one pixel: it knows nothing of neighbours."""

    def block(inputs):
        return nn.Sequential(nn.Conv2d(inputs, width, 1), nn.BatchNorm2d(width), nn.LeakyReLU())

    return nn.Sequential(block(32), *[block(width) for _ in range(4)], nn.Conv2d(width, 3, 1), nn.Sigmoid())


torch.manual_seed(0)  # of the weights
results = {}
for name, network in (("three scales", hourglass()), ("single pixels", single_pixels())):
    run = untaught.fit(clean, mask=known, network=network, iterations=STEPS)
    results[name] = run.finish([Live()])

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
shown = {"given": clean * known, **{name: result.picture for name, result in results.items()}}
for axis, (name, picture) in zip(axes, shown.items(), strict=True):
    missing = (picture - clean)[..., ~known]
    axis.imshow(picture[0].movedim(0, -1).numpy())
    axis.set_title(f"{name}: {-10 * float((missing**2).mean().log10()):.1f} dB")
    axis.set_axis_off()
plt.show()

# %% [markdown]
# Both fit the known half. Only the one whose architecture knows of neighbours says something sensible of the other
# half.
