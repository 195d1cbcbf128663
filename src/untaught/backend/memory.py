"""Peak memory of a fit, estimated before it begins, and the memory that is free.

Linux lets a process reserve more memory than there is and kills it later without a message, so a fit that would not fit
has to be recognised beforehand. tests/backend/test_memory.py compares the estimate with measured peaks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from untaught.backend.engine import Engine
from untaught.priors.blocks import strides
from untaught.priors.encoder_decoder import NetworkSettings

__all__ = ["available_memory", "estimated_memory"]

_LIBRARIES = 10e6
"""Bytes for libraries that the first iteration loads, and for the threads' own buffers."""

_COPIES_OF_WEIGHTS = 10.0
"""Weights, gradient, the optimiser's averages and temporaries, and the snapshots that a fit may go back to."""

_PLAIN, _PLAIN_VOLUME, _COMPILED = 1.5, 1.75, 1.1
"""Measured peak per byte of feature maps: in plain torch, with the convolutions' own buffers, and on kernels."""

_CUDA_COPIES = 8.0
"""Times that all feature maps are held at once on CUDA."""

_INPUT, _PICTURE = 5.0, 220.0
"""Copies of a network's input in float32; bytes per pixel of a whole picture: observation, mask, averages, snapshots.
"""

_LANES = 16
_WIDE = 8  # a skip branch of more channels is convolved as Winograd tiles


class _Layer(NamedTuple):
    """One convolution: channels and pixels before and after it, side of its kernel, whether its input is a join."""

    channels_in: int
    pixels_in: int
    channels_out: int
    pixels_out: int
    side: int
    joins: bool = False


def estimated_memory(
    network: NetworkSettings, size: Sequence[int], engine: Engine, *, networks: int = 1, patch: int | None = None
) -> float:
    """Estimate the bytes that a fit takes at its peak, between 0.9 and 2 times the measured value.

    Args:
        network: settings of each network, with the number of input channels that it is used with.
        size: height and width of a picture; depth, height and width of a volume.
        engine: how a step runs.
        networks: networks that are fitted side by side: pictures times layers times runs.
        patch: side of the patches that a larger picture is shown in; None if it is shown whole.
    """
    shown = tuple(size) if patch is None else tuple(min(patch, side) for side in size)
    pixels, whole = math.prod(shown), math.prod(size)
    layers = list(_layers(network, shown))
    if engine.device.type == "cuda":
        maps = _CUDA_COPIES * _published_maps(network, pixels)
    elif engine.kernels is None or network.dimensions == 3:
        maps = (_PLAIN if network.dimensions == 2 else _PLAIN_VOLUME) * _plain_maps(layers)
    else:
        maps = _COMPILED * _compiled_maps(network, layers)
    weights: int = sum(one.channels_out * (one.channels_in * one.side**network.dimensions + 3) for one in layers)
    inputs = _INPUT * 4 * network.input_channels * pixels
    each: float = maps * engine.arithmetic.itemsize + _COPIES_OF_WEIGHTS * 4 * weights + inputs + _PICTURE * whole
    return _LIBRARIES + networks * each


def _layers(network: NetworkSettings, size: Sequence[int]) -> Iterator[_Layer]:
    """All convolutions but the head; with ``skip_tap="output"`` none of many channels is at full resolution."""
    sizes = [list(size)]
    for _ in range(network.scales):
        halved = zip(sizes[-1], strides(sizes[-1]), strict=True)
        sizes.append([-(-side // step) for side, step in halved])
    pixels = [math.prod(one) for one in sizes]
    from_input = network.skip_tap == "input"
    down_sides, up_sides, skip_sides = (network.per_scale(f"{name}_kernel_size") for name in ("down", "up", "skip"))
    for scale in range(network.scales):
        down, up, skip = network.down_channels[scale], network.up_channels[scale], network.skip_channels[scale]
        source = network.down_channels[scale - 1] if scale else network.input_channels
        below = network.channels_from_below()[scale]
        outer, inner = pixels[scale], pixels[scale + 1]
        at = outer if from_input else inner
        yield _Layer(source, outer, down, inner, down_sides[scale])
        yield _Layer(down, inner, down, inner, down_sides[scale])
        if skip:
            yield _Layer(source if from_input else down, at, skip, at, skip_sides[scale])
        yield _Layer(skip + below, at, up, at, up_sides[scale], joins=True)
        if network.extra_convolution:
            yield _Layer(up, at, up, at, 1)


def _plain_maps(layers: Sequence[_Layer]) -> int:
    """Values that plain torch holds: of each layer its padded input, and its output before and after normalisation."""
    kept = 0
    for one in layers:
        before, after = one.channels_in * one.pixels_in, one.channels_out * one.pixels_out
        kept += (before if one.side > 1 else 0) + (before if one.joins else 0) + 2 * after
        kept += after if one.joins or one.side == 1 else 0
    return kept + 2 * max(max(one.channels_in * one.pixels_in, one.channels_out * one.pixels_out) for one in layers)


def _compiled_maps(network: NetworkSettings, layers: Sequence[_Layer]) -> int:
    """Values that the kernels hold: each layer's output, and on the way back two gradients and one gathered matrix."""

    def padded(channels: int) -> int:
        return -(-channels // _LANES) * _LANES

    kept = padded(network.input_channels) * layers[0].pixels_in
    largest = gathered = 0
    for number, one in enumerate(layers):
        after = padded(one.channels_out) * one.pixels_out
        kept, largest = kept + after, max(largest, after)
        if one.joins:
            # A quarter of the pixels come from below. The skip branch is convolved at full size, wide ones as tiles.
            skip = layers[number - 1].channels_out if layers[number - 1].side == 1 else 0
            kept += padded(max(one.channels_in - skip, 0)) * one.pixels_in // 4
            gathered = max(gathered, (4 * padded(skip) if skip > _WIDE else padded(_WIDE * skip + 16)) * one.pixels_in)
        elif one.side > 1 and number:
            taps = 9 if one.pixels_out < one.pixels_in else 4
            gathered = max(gathered, taps * padded(one.channels_in) * one.pixels_out)
    return kept + 2 * largest + gathered


def _published_maps(network: NetworkSettings, pixels: int) -> float:
    """Values of the network's channels at the resolution of each scale."""
    widths = zip(network.down_channels, network.up_channels, network.skip_channels, strict=True)
    maps: float = sum(sum(width) / 2 ** (network.dimensions * scale) for scale, width in enumerate(widths))
    return pixels * (maps + network.input_channels)


def available_memory(device: torch.device, root: Path = Path("/")) -> float | None:
    """Bytes that this process may still take on a device; None where that cannot be told.

    On a processor it is the least of: the machine's free memory, what the process's control group leaves (Linux,
    versions 1 and 2), and what its resource limits leave.

    Args:
        device: where a fit would run.
        root: folder that holds ``proc`` and ``sys``.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    left = [float(psutil.virtual_memory().available), *_left_in_groups(root), *_left_by_limits()]
    return max(0.0, min(left))


def _left_in_groups(root: Path) -> Iterator[float]:
    """What each control group above the process leaves."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            folder, limit, usage, cache = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            folder, limit, usage = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = folder / path.strip("/")
        # A container may see its own group as the root, whatever its path says.
        for place in (group, *group.parents):
            most, used = _read(place / limit).strip(), _read(place / usage).strip()
            if most.isdigit() and used.isdigit():
                # Cached files count as used, but the system drops them when memory is short.
                stat = dict(one.split() for one in _read(place / "memory.stat").splitlines() if " " in one)
                yield float(int(most) - int(used) + int(stat.get(cache, 0)))
            if place == folder:
                break


def _left_by_limits() -> Iterator[float]:
    """What ``ulimit -v`` and ``ulimit -d`` leave."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    used = psutil.Process().memory_info()
    for name, taken in (("RLIMIT_AS", used.vms), ("RLIMIT_DATA", getattr(used, "data", None))):
        limit = resource.getrlimit(getattr(resource, name))[0] if hasattr(resource, name) else resource.RLIM_INFINITY
        if limit != resource.RLIM_INFINITY and taken is not None:
            yield float(limit - taken)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
