# %% [markdown]
# # What the perturbation does
#
# The published method perturbs the network's input in each iteration. The text and a well-known reproduction read it
# in two ways: *fresh* noise on the first input, or noise *accumulated* on the last one. Here both, beside none at
# all.

# %%
import dataclasses
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data

import untaught

SIZE = int(os.environ.get("EXAMPLE_SIZE", "96"))
STEPS = SIZE**2 // 12

clean = torch.tensor(data.camera()[60 : 60 + SIZE, 180 : 180 + SIZE] / 255, dtype=torch.float32)[None, None]
known = torch.tensor(np.random.default_rng(0).random((SIZE, SIZE)) > 0.5)
base = untaught.Recipe(
    name="bare",
    network=untaught.NetworkSettings(
        down_channels=(64,) * 4, up_channels=(64,) * 4, skip_channels=(4,) * 4, upsampling="bilinear"
    ),
    input=untaught.NoiseInput(),
    optimiser=untaught.OptimiserSettings(name="adam", learning_rate=0.01),
    averaging=0.99,
    iterations=STEPS,
)

# %%
curves = {}
for kind in ("none", "fresh", "accumulated"):
    perturbation = untaught.PerturbationSettings(kind=kind, standard_deviation=1 / 30)
    recipe = dataclasses.replace(base, input=untaught.NoiseInput(perturbation=perturbation))
    own, averaged = [], []
    for state in untaught.fit(clean, mask=known, recipe=recipe):
        if state.iteration % 10 == 0:
            for figures, picture in ((own, state.output), (averaged, state.average)):
                figures.append(-10 * float(((picture - clean)[..., ~known] ** 2).mean().log10()))
    curves[kind] = own, averaged

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
for kind, both in curves.items():
    for axis, values in zip(axes, both, strict=True):
        axis.plot(range(10, 10 * len(values) + 1, 10), values, label=kind)
axes[0].set(title="each output", xlabel="iteration", ylabel="PSNR of the missing pixels, dB")
axes[1].set(title="average of the outputs", xlabel="iteration")
axes[1].legend()
plt.show()
for kind, (own, averaged) in curves.items():
    print(f"{kind:12} best {max(own):.1f} dB, averaged {max(averaged):.1f} dB, at the end {averaged[-1]:.1f} dB")

# %% [markdown]
# The perturbation makes the outputs vary, and their average is better than each. Fits of this size with one seed tell
# no more than that; to the end of training, at full size, the [lab notes](../docs/lab-notes/published.md) have
# figures.
