# %% [markdown]
# # Watch the prior work
#
# The network is fitted to a *noisy* picture, with nothing else. It could learn the noise too. It learns the picture
# first: that is the deep image prior (Ulyanov, Vedaldi, Lempitsky, 2018).

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data

import untaught
from untaught.notebook import Live

SIZE = int(os.environ.get("EXAMPLE_SIZE", "128"))
STEPS = SIZE**2 // 12

clean = data.camera()[60 : 60 + SIZE, 180 : 180 + SIZE] / 255
noisy = np.clip(clean + np.random.default_rng(0).normal(0, 0.12, clean.shape), 0, 1)


def psnr(picture, other):
    """In dB."""
    return -10 * np.log10(((picture - other) ** 2).mean())


# %% [markdown]
# A plain noise input that is not perturbed, plain Adam, no average, no stop rule: the method at its barest.

# %%
recipe = untaught.Recipe(
    name="bare",
    network=untaught.NetworkSettings(
        down_channels=(64,) * 4, up_channels=(64,) * 4, skip_channels=(4,) * 4, upsampling="bilinear"
    ),
    input=untaught.NoiseInput(),
    optimiser=untaught.OptimiserSettings(name="adam", learning_rate=0.01),
    averaging=0.0,
    iterations=STEPS,
)
looks = [step for step in (10, 50, 150, 400, STEPS) if step <= STEPS]
steps, to_clean, to_noisy, pictures = [], [], [], []
live = Live()
run = untaught.fit(torch.tensor(noisy, dtype=torch.float32)[None, None], recipe=recipe)
for state in run:
    live(state)
    if state.iteration % 10 == 0 or state.iteration in looks:
        picture = state.output[0, 0].numpy()
        steps.append(state.iteration)
        to_clean.append(psnr(picture, clean))
        to_noisy.append(psnr(picture, noisy))
        if state.iteration in looks:
            pictures.append(picture)

# %% [markdown]
# The output comes nearer to the clean picture, which the network has never seen, and then leaves it again.

# %%
figure, axes = plt.subplots(1, len(looks), figsize=(2.2 * len(looks), 2.6), squeeze=False)
for axis, step, picture in zip(axes[0], looks, pictures, strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"after {step}", fontsize=9)
    axis.set_axis_off()
plt.show()

# %%
plt.figure(figsize=(6, 3))
plt.plot(steps, to_clean, label="to the clean picture")
plt.plot(steps, to_noisy, label="to the noisy picture, which it is fitted to")
plt.xlabel("iteration")
plt.ylabel("PSNR, dB")
plt.legend()
plt.show()
best = int(np.argmax(to_clean))
print(f"best after {steps[best]} iterations: {to_clean[best]:.1f} dB; at the end {to_clean[-1]:.1f} dB")
