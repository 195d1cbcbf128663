"""What happened to the picture, as differentiable callables from the picture to what was observed of it.

They compose: ``Blur(kernel) >> Downsample((64, 48), (32, 24)) >> Mask(known)`` blurs first. To add one, write a class
with ``forward``, ``adjoint`` and, where the size changes, ``output_size``; see `untaught.physics.operator`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untaught.errors import InputError, SettingError

__all__ = [
    "KERNELS",
    "Blur",
    "Downsample",
    "Identity",
    "LinearOperator",
    "Mask",
    "Mixture",
    "Physics",
    "UnknownBlur",
    "blur_kernel",
]

Size = tuple[int, int]


class LinearOperator(nn.Module):
    """A linear map from pictures, (N, C, H, W), to observations, which treats the N pictures alike."""

    known: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("known", None)

    def forward(self, picture: Tensor) -> Tensor:
        """What would have been observed of pictures, (N, C, H, W)."""
        raise NotImplementedError

    def adjoint(self, observation: Tensor) -> Tensor:
        """The transpose of `forward`, from observations to pictures."""
        raise NotImplementedError

    def output_size(self, size: Size) -> Size:
        """Height and width of the observation of a picture of this height and width.

        Raises:
            InputError: for a picture of a size that cannot be observed.
        """
        return size

    def __rshift__(self, other: LinearOperator) -> Composed:
        """First this, then the other."""
        return Composed(self, other)


class Composed(LinearOperator):
    """One operator after another.

    Args:
        first: from the picture.
        second: from what the first made of it.
    """

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.known = second.known

    def forward(self, picture: Tensor) -> Tensor:
        """See `LinearOperator`."""
        observed: Tensor = self.second(self.first(picture))
        return observed

    def adjoint(self, observation: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return self.first.adjoint(self.second.adjoint(observation))

    def output_size(self, size: Size) -> Size:
        """See `LinearOperator`."""
        return self.second.output_size(self.first.output_size(size))


class Identity(LinearOperator):
    """Nothing happened: the picture was observed as it is. Its own adjoint."""

    def forward(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) to the same tensor."""
        return picture

    def adjoint(self, observation: Tensor) -> Tensor:
        """(N, C, H, W) to the same tensor."""
        return observation


class Mask(LinearOperator):
    """Only a part was observed: unknown values are zero. Its own adjoint.

    Args:
        known: bool tensor broadcastable to the picture, (N, C, H, W); True where a value was observed.
    """

    known: Tensor

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        if known.dtype != torch.bool:
            raise InputError(f"a mask is a bool tensor, True where a value is known: found {known.dtype}")
        self.known = known

    def forward(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return torch.where(self.known, picture, 0)

    def adjoint(self, observation: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return torch.where(self.known, observation, 0)


class Blur(LinearOperator):
    """Convolution with a kernel, where all of the kernel lies on the picture: the observation is smaller.

    So nothing has to be assumed of what was beyond the edge; who wants to have all of an observation explained fits a
    picture that is larger by the kernel.

    Args:
        kernel: (height, width), at least one value not 0.
    """

    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        if kernel.ndim != 2 or not kernel.isfinite().all() or not kernel.any():
            raise InputError(
                f"a blur's kernel is (height, width), finite and not all zero: found {tuple(kernel.shape)}"
            )
        self.register_buffer("kernel", kernel.clone())

    def forward(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H - height + 1, W - width + 1)."""
        channels = picture.shape[1]
        # torch's convolution is a correlation.
        turned = self.kernel.flip(0, 1).to(picture)[None, None].expand(channels, 1, -1, -1)
        return F.conv2d(picture, turned, groups=channels)

    def adjoint(self, observation: Tensor) -> Tensor:
        """The other way round."""
        channels = observation.shape[1]
        turned = self.kernel.flip(0, 1).to(observation)[None, None].expand(channels, 1, -1, -1)
        return F.conv_transpose2d(observation, turned, groups=channels)

    def output_size(self, size: Size) -> Size:
        """See `LinearOperator`."""
        height, width = self.kernel.shape
        if height > size[0] or width > size[1]:
            raise InputError(
                f"the blur's kernel, {width} x {height} pixels, is larger than the picture, {size[1]} x {size[0]} "
                "(width x height)"
            )
        return size[0] - height + 1, size[1] - width + 1


_PACE = 10.0
"""How much faster an unknown kernel moves than the network's numbers: else the picture takes up the blur first."""


class UnknownBlur(nn.Module):
    """Convolution with a kernel that is learnt with the picture, where all of the kernel lies on the picture.

    The kernel has no negative value and a sum of 1, by a softmax (as in Ren et al., 2020, "Neural blind deconvolution
    using deep priors", equation 7).

    Args:
        size: height and width of the kernel, odd.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        y, x = torch.meshgrid(*(torch.linspace(-1, 1, length) for length in size), indexing="ij")
        # A soft spot in the middle, so that the picture does not begin to drift sideways.
        self.size = size
        self.logits = nn.Parameter(-4 / _PACE * (x**2 + y**2).flatten())

    @property
    def kernel(self) -> Tensor:
        """(height, width), as it is now."""
        return (_PACE * self.logits).softmax(0).view(self.size)

    def forward(self, picture: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H - height + 1, W - width + 1)."""
        turned = self.kernel.flip(0, 1).to(picture)[None, None].expand(picture.shape[1], 1, -1, -1)
        return F.conv2d(picture, turned, groups=picture.shape[1])


class Mixture(nn.Module):
    """Two layers seen together in two pictures, in shares that are learnt with them.

    The first picture is ``share`` of the first layer and the rest of the second one; of the second picture likewise,
    with another share.

    Args:
        shares: of the first layer in either picture, to begin with, between 0 and 1.
    """

    def __init__(self, shares: tuple[float, float] = (0.65, 0.35)) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.logit(torch.tensor(shares)))

    @property
    def shares(self) -> Tensor:
        """Of the first layer in either picture: (2,), as they are now."""
        return self.logits.sigmoid()

    def forward(self, layers: Tensor) -> Tensor:
        """(N, 2 C, H, W), one layer after the other, to (N, 2 C, H, W), one picture after the other."""
        first, second = layers.chunk(2, dim=1)
        return torch.cat([share * first + (1 - share) * second for share in self.shares.to(layers)], dim=1)


def blur_kernel(name: str, radius: float, angle: float = 0.0) -> Tensor:
    """The kernel of a common blur: (odd, odd), float32, its sum 1.

    Args:
        name: "gaussian", "disk" (out of focus) or "motion" (a straight line).
        radius: in pixels: standard deviation, radius, or half the line's length.
        angle: of the line, degrees from the horizontal, anticlockwise.

    Raises:
        SettingError: for another name, or a radius that is not positive.
    """
    if not 0 < radius < 1000:
        raise SettingError(f"the radius of a blur is a positive number of pixels: found {radius}")
    reach = math.ceil(3 * radius if name == "gaussian" else radius)
    # Eight places a pixel, so that edges are smooth.
    fine = (torch.arange(8 * (2 * reach + 1), dtype=torch.float64) + 0.5) / 8 - reach - 0.5
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
            raise SettingError(f"a blur is gaussian, disk or motion: found {name!r}")
    kernel = F.avg_pool2d(kernel[None, None], 8)[0, 0]
    return (kernel / kernel.sum()).float()


def _lanczos2(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 2, torch.sinc(x) * torch.sinc(x / 2), 0)


def _bicubic(x: Tensor) -> Tensor:
    """Keys, 1981, with a = -1/2."""
    x = x.abs()
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def _area(x: Tensor) -> Tensor:
    return (x.abs() <= 0.5).to(x)


def _gaussian(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 2, torch.exp(-2 * x**2), 0)


KERNELS: Mapping[str, tuple[Callable[[Tensor], Tensor], float]] = MappingProxyType(
    {"lanczos2": (_lanczos2, 2.0), "bicubic": (_bicubic, 2.0), "area": (_area, 0.5), "gaussian": (_gaussian, 2.0)}
)
"""Kernels of `Downsample` over the small picture's pixels, each with its reach; "gaussian" deviates by half a pixel."""


class Downsample(LinearOperator):
    """The picture made smaller, by any factor, with a kernel as wide as that factor asks for.

    Args:
        size: height and width of the picture.
        smaller: height and width of the observation.
        kernel: a name of ``KERNELS``.

    Raises:
        SettingError: for another kernel.
        InputError: for an observation that is larger than the picture.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, size: Size, smaller: Size, kernel: str = "lanczos2") -> None:
        super().__init__()
        if kernel not in KERNELS:
            raise SettingError(f"a kernel for making smaller is {', '.join(KERNELS)}: found {kernel!r}")
        if not all(0 < few <= many for few, many in zip(smaller, size, strict=True)):
            raise InputError(f"a picture of {size} (height, width) cannot be made smaller to {smaller}")
        self.size = size
        self.smaller = smaller
        self.register_buffer("rows", _resampling(size[0], smaller[0], kernel))
        self.register_buffer("columns", _resampling(size[1], smaller[1], kernel))

    def forward(self, picture: Tensor) -> Tensor:
        """(N, C, *size) to (N, C, *smaller)."""
        self.output_size((picture.shape[-2], picture.shape[-1]))
        return self.rows.to(picture) @ picture @ self.columns.to(picture).T

    def adjoint(self, observation: Tensor) -> Tensor:
        """The other way round."""
        return self.rows.to(observation).T @ observation @ self.columns.to(observation)

    def output_size(self, size: Size) -> Size:
        """See `LinearOperator`."""
        if tuple(size) != tuple(self.size):
            raise InputError(f"this operator makes pictures of {self.size} (height, width) smaller: found {size}")
        return self.smaller


def _resampling(many: int, few: int, kernel: str) -> Tensor:
    """The matrix that makes a line of ``many`` values one of ``few``: (few, many), float32; its rows sum to 1."""
    function, reach = KERNELS[kernel]
    factor = many / few
    centres = (torch.arange(few, dtype=torch.float64) + 0.5) * factor - 0.5
    beyond = math.ceil(reach * factor) + 1
    places = torch.arange(-beyond, many + beyond)
    if kernel == "area":
        # The share of each pixel that lies under the box.
        edges = (places - centres[:, None]).abs()
        weights = ((factor + 1) / 2 - edges).clamp(0, min(1.0, factor))
    else:
        weights = function((places - centres[:, None]) / factor)
    # Beyond an edge the line goes on as in a mirror.
    period = 2 * many
    inside = places.remainder(period)
    inside = torch.where(inside < many, inside, period - 1 - inside)
    matrix = torch.zeros(few, many, dtype=torch.float64).index_add_(1, inside, weights)
    return (matrix / matrix.sum(1, keepdim=True)).float()


class Physics:
    """An operator of another library that has ``A`` and ``A_adjoint``, as deepinv's physics do.

    Args:
        physics: any object with these two, callables of tensors of (N, C, H, W).
    """

    def __init__(self, physics: Any) -> None:
        if not (callable(getattr(physics, "A", None)) and callable(getattr(physics, "A_adjoint", None))):
            raise InputError("an object with callable A and A_adjoint is wanted")
        self.physics = physics

    def __call__(self, picture: Tensor) -> Tensor:
        """A of the picture."""
        observed: Tensor = self.physics.A(picture)
        return observed

    def adjoint(self, observation: Tensor) -> Tensor:
        """The adjoint of A, of the observation."""
        picture: Tensor = self.physics.A_adjoint(observation)
        return picture
