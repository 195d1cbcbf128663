# %% [markdown]
# # Six pictures
#
# Half of the pixels are dropped from six pictures, and one recipe restores all of them. Beside it, a classical
# method. Set `PICTURES` to a folder of your own, such as one with the classic six: barbara, man, lena, boat, hill,
# couple.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from skimage import data
from skimage.restoration import inpaint_biharmonic

import untaught

SIZE = int(os.environ.get("EXAMPLE_SIZE", "96"))
FOLDER = os.environ.get("PICTURES")


def middle(picture):
    """Its middle, SIZE x SIZE."""
    top, left = ((length - SIZE) // 2 for length in picture.shape)
    return picture[top : top + SIZE, left : left + SIZE]


if FOLDER:
    files = sorted(Path(FOLDER).glob("*.png"))[:6]
    pictures = {path.stem: np.asarray(Image.open(path).convert("L")) for path in files}
else:
    names = ("camera", "brick", "grass", "coins", "moon", "page")
    pictures = {name: middle(getattr(data, name)()) for name in names}


def psnr(picture, clean):
    """In dB."""
    return 10 * np.log10(255**2 / ((picture.astype(float) - clean) ** 2).mean())


# %%
results = {}
for name, clean in pictures.items():
    known = np.random.default_rng(0).random(clean.shape) > 0.5
    restored = untaught.restore(clean * known, known, recipe="fast").picture
    classical = inpaint_biharmonic(clean * known / 255, ~known) * 255
    results[name] = clean * known, classical, restored, clean
    print(f"{name:8} biharmonic {psnr(classical, clean):.2f} dB, untaught {psnr(restored, clean):.2f} dB")

# %%
figure, axes = plt.subplots(len(results), 4, figsize=(7, 1.8 * len(results)), dpi=60, squeeze=False)
for row, (name, shown) in zip(axes, results.items(), strict=True):
    for axis, picture, title in zip(row, shown, ("given", "biharmonic", "untaught", "clean"), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{name}, {title}", fontsize=8)
        axis.set_axis_off()
plt.tight_layout()
plt.show()
