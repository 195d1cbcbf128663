# %% [markdown]
# # First picture
#
# A photograph lost half of its pixels. An untrained network is fitted to the other half, and fills in the rest.

# %%
import os

import numpy as np
from skimage import data

import untaught
from untaught.notebook import Live

SIZE = int(os.environ.get("EXAMPLE_SIZE", "192"))

photo = data.coffee()[72 : 72 + SIZE, 200 : 200 + SIZE]
known = np.random.default_rng(0).random(photo.shape[:2]) > 0.5  # True = known
damaged = photo * known[..., None]

# %% [markdown]
# `Live` shows the picture and the loss while it fits. A result says of itself what came of it.

# %%
result = untaught.restore(damaged, known, observers=[Live()])
result

# %% [markdown]
# Known pixels are unchanged, so only the others can be wrong. The result says what PSNR to expect on them, without
# having seen the clean picture. We have it, and compare:

# %%
error = (result.picture.astype(float) - photo)[~known]
print(f"expected {result.expected_psnr or 0:.1f} dB, measured {10 * np.log10(255**2 / (error**2).mean()):.1f} dB")
