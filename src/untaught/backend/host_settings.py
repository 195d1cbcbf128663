"""What a host program has switched on in torch does not reach a fit: autocasting, other devices, rougher products."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["undisturbed"]


@contextlib.contextmanager
def undisturbed(device: torch.device | None = None) -> Iterator[None]:
    """In this context torch computes as it does in a fresh program; the default type is left, other threads see it too.

    Args:
        device: where tensors are made that name no device; the processor if None.
    """
    device = device or torch.device("cpu")
    precision = torch.get_float32_matmul_precision()
    with contextlib.ExitStack() as stack:
        # Tensors of that mode, such as those of an operator, could not be used with gradients.
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        for kind in {"cpu", device.type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        # Each call under a default device costs a little, so there is none where nothing would change.
        if torch.get_default_device().type not in ("cpu", device.type):
            stack.enter_context(device)
        if device.type == "cpu" and precision != "highest":
            torch.set_float32_matmul_precision("highest")
            stack.callback(torch.set_float32_matmul_precision, precision)
        yield
