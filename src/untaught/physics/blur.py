"""Blur with a known kernel, blur with a kernel that is fitted, and kernels of common blurs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untaught.errors import InputError, SettingError
from untaught.physics.linear import DifferentiableOperator, Example, LinearOperator, Size

__all__ = ["Blur", "UnknownBlur", "blur_kernel", "kernel_reach"]


def _filters(kernel: Tensor, planes: Tensor) -> Tensor:
    """Return a kernel as grouped filters for planes (N, C, H, W). It is flipped: torch's convolution correlates."""
    return kernel.flip(0, 1).to(planes)[None, None].expand(planes.shape[1], 1, -1, -1)


def _smaller(size: Size, kernel: Size) -> Size:
    if any(side > whole for side, whole in zip(kernel, size, strict=True)):
        raise InputError(
            f"the blur's kernel, {kernel[1]} x {kernel[0]} pixels, is larger than the picture, {size[1]} x {size[0]} "
            "(width x height): crop the kernel"
        )
    return size[0] - kernel[0] + 1, size[1] - kernel[1] + 1


def _larger(size: Size, kernel: Size) -> Size:
    return size[0] + kernel[0] - 1, size[1] + kernel[1] - 1


class Blur(LinearOperator):
    """Convolve with a known kernel, only where the whole kernel lies inside the picture.

    The observation is smaller than the picture by the kernel's size less one, so nothing is assumed about values beyond
    the edge. To explain all of an observation, fit a picture that is larger by as much: `input_size` says how large.

    Args:
        kernel: (height, width), finite, not all zero.

    Raises:
        InputError: for another kernel.
    """

    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        if kernel.ndim != 2 or not kernel.isfinite().all() or not kernel.any():
            raise InputError(
                f"found a blur kernel of shape {tuple(kernel.shape)}: a kernel is (height, width), finite and not all "
                "zero; see blur_kernel for common ones"
            )
        self.register_buffer("kernel", kernel.clone())

    def forward(self, picture: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H - height + 1, W - width + 1)."""
        return F.conv2d(picture, _filters(self.kernel, picture), groups=picture.shape[1])

    def adjoint(self, observation: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h + height - 1, w + width - 1)."""
        return F.conv_transpose2d(observation, _filters(self.kernel, observation), groups=observation.shape[1])

    def output_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        return _smaller(size, self.kernel.shape)

    def input_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        return _larger(size, self.kernel.shape)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        random = torch.Generator().manual_seed(1)
        return [(cls(torch.rand(size, generator=random)), (1, 3, 12, 10)) for size in ((3, 4), (5, 1))]


_PACE = 10.0
"""How much faster the kernel moves than the network's weights; slower, the picture would absorb the blur first."""


class UnknownBlur(DifferentiableOperator):
    """Convolve with a kernel that is fitted together with the picture, where all of it lies inside the picture.

    A softmax keeps the kernel positive with a sum of 1 (as in Ren et al., 2020, "Neural blind deconvolution using deep
    priors", equation 7). It starts as a soft spot in the middle, so that the picture does not drift sideways.

    Args:
        size: height and width of the kernel, odd.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        y, x = torch.meshgrid(*(torch.linspace(-1, 1, length, dtype=torch.float32) for length in size), indexing="ij")
        self.size = size
        self.logits = nn.Parameter(-4 / _PACE * (x**2 + y**2).flatten())

    @property
    def kernel(self) -> Tensor:
        """The current kernel, (height, width)."""
        return (_PACE * self.logits).softmax(0).view(self.size)

    def forward(self, picture: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H - height + 1, W - width + 1)."""
        return F.conv2d(picture, _filters(self.kernel, picture), groups=picture.shape[1])

    def output_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        return _smaller(size, self.size)

    def input_size(self, size: Size) -> Size:
        """See `DifferentiableOperator`."""
        return _larger(size, self.size)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        """See `DifferentiableOperator`."""
        return [(cls((5, 3)), (2, 3, 12, 10))]


def kernel_reach(name: str, radius: float) -> int:
    """Return how far the kernel of a common blur reaches from its middle, in pixels; see `blur_kernel`."""
    return math.ceil(3 * radius if name == "gaussian" else radius)


def blur_kernel(name: str, radius: float, angle: float = 0.0) -> Tensor:
    """Return the kernel of a common blur: (odd, odd), float32, its sum 1.

    Args:
        name: "gaussian", "disk" (out of focus) or "motion" (a straight line).
        radius: pixels, below 1000: the standard deviation, the radius, or half the length of the line.
        angle: of the line, degrees anticlockwise from the horizontal.

    Raises:
        SettingError: for another name or radius.

    >>> blur_kernel("disk", 2.0).shape
    torch.Size([5, 5])
    """
    if not 0 < radius < 1000:
        raise SettingError(f"found a blur radius of {radius}: it is a positive number of pixels below 1000")
    reach = kernel_reach(name, radius)
    # Eight samples per pixel and direction, so that edges are smooth; a kernel of thousands of pixels does with fewer.
    samples = max(1, min(8, 4096 // (2 * reach + 1)))
    fine = (torch.arange(samples * (2 * reach + 1), dtype=torch.float64) + 0.5) / samples - reach - 0.5
    y, x = torch.meshgrid(fine, fine, indexing="ij")
    match name:
        case "gaussian":
            kernel = torch.exp(-(x**2 + y**2) / (2 * radius**2))
        case "disk":
            kernel = (x**2 + y**2 <= radius**2).double()
        case "motion":
            turn = math.radians(angle)
            along, across = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
            kernel = ((along.abs() <= radius) & (across.abs() <= 0.5)).double()
        case _:
            raise SettingError(f"found a blur named {name!r}: choose gaussian, disk or motion")
    kernel = F.avg_pool2d(kernel[None, None], samples)[0, 0]
    return (kernel / kernel.sum()).float()
