# %% [markdown]
# # Your own operator
#
# You have a measurement and not a picture. Write down what the instrument does as a differentiable function, and
# `fit` finds a picture that explains the measurement. Here: a coded aperture of three shifted copies, seen by every
# second row only.

# %%
import os

import matplotlib.pyplot as plt
import torch
from skimage import data

import untaught
from untaught.notebook import Live

SIZE = int(os.environ.get("EXAMPLE_SIZE", "128"))
STEPS = SIZE**2 // 25

picture = torch.tensor(data.coins()[40 : 40 + SIZE, 20 : 20 + SIZE] / 255, dtype=torch.float32)[None, None]


def instrument(picture):
    """Add three shifted copies, and keep every second row."""
    copies = [torch.roll(picture, shift, dims=-1) for shift in (0, 5, 11)]
    return sum(copies)[..., ::2, :] / 3


observed = instrument(picture)

# %% [markdown]
# The observation has another size than the picture, so `fit` is told the picture's.

# %%
run = untaught.fit(observed, instrument, size=(SIZE, SIZE), iterations=STEPS)
result = run.finish([Live()])
result

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
shown = (observed, result.picture, picture)
for axis, tensor, title in zip(axes, shown, ("observed", "found", "the truth"), strict=True):
    axis.imshow(tensor[0, 0].numpy(), cmap="gray", vmin=0, vmax=1)
    axis.set_title(title)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# The laws of an operator can be checked before anything is fitted:

# %%
untaught.check_laws(instrument, (1, 1, 24, 24))
