"""How a result looks in a notebook: small pictures, the curve of the loss, and what there is to say."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from untaught.errors import SettingError
from untaught.imaging.arrays import Layout

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["curve", "facts", "figure", "page", "thumbnail"]

_SIDE, _WIDTH, _HEIGHT = 320, 300, 120


def thumbnail(values: Any, layout: Layout) -> NDArray[np.uint8] | None:
    """A picture for a screen: (H, W, 3), 320 pixels at most; of a volume its middle slice. None for what is no picture.

    Args:
        values: the picture, in the form that the layout describes.
        layout: of the picture; black and white are its ``low`` and ``high``.
    """
    if layout.is_tensor:
        if not len(values):
            return None
        first = values.detach()[0].cpu()
        array = np.moveaxis((first.float() if first.is_floating_point() else first).numpy(), 0, -1)
    else:
        array = np.asarray(values)
        if layout.channel_axis is not None:
            array = np.moveaxis(array, layout.channel_axis, -1)
    if layout.volume:
        array = array[len(array) // 2]
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.dtype.kind == "c" or not array.size:
        return None
    step = max(1, -(-max(array.shape[:2]) // _SIDE))
    small = array[::step, ::step, : 3 if array.shape[-1] >= 3 else 1].astype(np.float64)
    share = (np.nan_to_num(small, nan=layout.low) - layout.low) / ((layout.high - layout.low) or 1.0)
    eight = (share.clip(0, 1) * 255).round().astype(np.uint8)
    shown: NDArray[np.uint8] = np.repeat(eight, 3, -1) if eight.shape[-1] == 1 else eight
    return shown


def page(thumbnails: Mapping[str, NDArray[np.uint8]], losses: Sequence[float], sentences: Sequence[str]) -> str:
    """HTML of pictures with their names, the curve of the losses, and sentences below."""
    parts = [
        f"<figure style='margin:0'>{_image(one)}<figcaption>{name}</figcaption></figure>"
        for name, one in thumbnails.items()
    ]
    parts.append(f"<figure style='margin:0'>{curve(losses)}<figcaption>loss</figcaption></figure>")
    text = "".join(f"<div>{html.escape(sentence)}</div>" for sentence in sentences)
    return f"<div style='display:flex;flex-wrap:wrap;gap:12px;align-items:flex-end'>{''.join(parts)}</div>{text}"


def _image(picture: NDArray[np.uint8]) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    width = max(192, picture.shape[1])
    return f"<img style='width:{width}px;max-width:100%;image-rendering:pixelated' src='data:image/png;base64,{data}'>"


def curve(losses: Sequence[float]) -> str:
    """The losses as a line on a logarithmic scale, SVG; at most 300 points are drawn."""
    values = np.asarray(losses, float)
    steps = np.flatnonzero(np.isfinite(values) & (values > 0))
    steps = steps[:: max(1, -(-len(steps) // _WIDTH))]
    frame = f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' width='{_WIDTH}' style='border:1px solid #8884'>"
    if not len(steps):
        return f"{frame}</svg>"
    heights = np.log10(values[steps])
    low, span = heights.min(), max(float(np.ptp(heights)), 1e-9)
    across = steps / max(1, steps[-1]) * _WIDTH
    down = (1 - (heights - low) / span) * (_HEIGHT - 8) + 4
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    label = f"<text x='{_WIDTH - 6}' y='14' text-anchor='end' font-size='11' fill='#888'>{values[steps[-1]]:.3g}</text>"
    return f"{frame}<polyline points='{points}' fill='none' stroke='#2f6db0' stroke-width='1.5'/>{label}</svg>"


def facts(result: Any) -> list[str]:
    """What there is to say of a result: how long it took, why it ended, what to expect, its notes."""
    engine = result.engine
    found = [
        f"{result.task}, recipe {result.recipe.get('name', '')}: {result.iterations} iterations in "
        f"{result.seconds:.1f} s ({engine.get('device', '')}, {engine.get('precision', '')})",
        f"it ran until {result.stop_reason}",
    ]
    if result.expected_psnr is not None:
        found.append(f"expected PSNR of the missing values: {result.expected_psnr:.1f} dB")
    return [*found, *result.notes]


def figure(thumbnails: Mapping[str, NDArray[np.uint8]], losses: Sequence[float], title: str) -> Figure:
    """The same as a figure of matplotlib.

    Raises:
        SettingError: where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingError("plot() draws with matplotlib, which is not installed: pip install matplotlib") from error
    drawn = Figure(figsize=(4.0 * (len(thumbnails) + 1), 4.0), layout="constrained")
    axes = drawn.subplots(1, len(thumbnails) + 1, squeeze=False)[0]
    for axis, (name, picture) in zip(axes, thumbnails.items(), strict=False):
        axis.imshow(picture)
        axis.set_title(name)
        axis.set_axis_off()
    axes[-1].semilogy(range(1, len(losses) + 1), losses, linewidth=1)
    axes[-1].set(xlabel="iteration", title="loss")
    drawn.suptitle(title)
    return drawn
