# %% [markdown]
# # A microscopy stack
#
# A z stack of 16 bits with few photons and a lost slice. The stack is fitted as a whole, by a three-dimensional
# network, and comes back in its own units.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter

import untaught
from untaught.notebook import Live

SIZE = int(os.environ.get("EXAMPLE_SIZE", "48"))
STEPS = SIZE**2 // 12

draw = np.random.default_rng(0)
beads = np.zeros((9, SIZE, SIZE))
beads[tuple(draw.integers(0, side, 60) for side in beads.shape)] = draw.uniform(200, 900, 60)
density = 40 + 60 * gaussian_filter(beads, (1.2, 2.0, 2.0))
density = density.clip(0, 4000)
stack = draw.poisson(density / 8).astype(np.uint16) * 8  # few photons, eight units each

# %% [markdown]
# The lost slice is a mask; so would be dead pixels, or the saturated ones.

# %%
known = np.ones(stack.shape, bool)
known[4] = False
result = untaught.restore(
    stack, known, volume=True, keep_known=False, recipe="fast", iterations=STEPS, observers=[Live()]
)
result

# %%
slices = (3, 4, 5)
figure, axes = plt.subplots(3, len(slices), figsize=(7, 7))
for row, (name, volume) in enumerate({"measured": stack * known, "fitted": result.picture, "truth": density}.items()):
    for column, depth in enumerate(slices):
        axes[row, column].imshow(volume[depth], cmap="gray", vmin=0, vmax=density.max() * 0.8)
        axes[row, column].set_title(f"{name}, slice {depth}", fontsize=9)
        axes[row, column].set_axis_off()
plt.show()
print(result.picture.dtype, result.picture.shape, *result.notes, sep="\n")

# %% [markdown]
# The slice in between is plausible, and was not measured. For counting, use what was measured.
