# %% [markdown]
# # How sure is it?
#
# Some known pixels are hidden from the fit. The error on them tells when to stop, what PSNR to expect, and how to
# scale the spread of the outputs to an interval that holds 90 % of the errors.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import untaught
from untaught.notebook import Live

SIZE = int(os.environ.get("EXAMPLE_SIZE", "128"))

clean = data.camera()[60 : 60 + SIZE, 160 : 160 + SIZE]
known = np.random.default_rng(1).random(clean.shape) > 0.7  # 70 % are missing
result = untaught.restore(clean * known, known, observers=[Live()])
result

# %%
error = np.abs(result.picture.astype(float) - clean)
width = np.zeros(clean.shape) if result.uncertainty is None else result.uncertainty
print(f"{(error <= width)[~known].mean():.0%} of the missing pixels lie within their 90 % interval")
measured = 10 * np.log10(255**2 / (error[~known] ** 2).mean())
print(f"expected {result.expected_psnr or 0:.1f} dB, measured {measured:.1f} dB")

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
top = max(1.0, float(np.quantile(error, 0.99)))
for axis, (name, picture, most) in zip(
    axes, (("restored", result.picture, 255), ("half-width", width, top), ("error", error, top)), strict=True
):
    axis.imshow(picture, cmap="gray" if most == 255 else "magma", vmin=0, vmax=most)
    axis.set_title(name)
    axis.set_axis_off()
plt.show()

# %% [markdown]
# Edges and texture are uncertain, and that is where the errors are. For one large hole the interval says less: held-
# out pixels are easier than a hole.
