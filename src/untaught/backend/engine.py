"""How a fit's iterations run on this machine: device, arithmetic, threads, kernels, and the reason for each choice.

The choices change the result by rounding only. With bfloat16 arithmetic, weights, statistics and loss stay float32.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from untaught.backend.assembly import Assembly, has_kernels
from untaught.backend.cuda_graphs import Graphs
from untaught.errors import SettingError
from untaught.kernels import Kernels, load, switched_off
from untaught.settings import from_environment

__all__ = ["DeviceName", "Engine", "Precision", "choose_engine", "usable_devices"]

DeviceName = Literal["auto", "cpu", "cuda", "xpu", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]


_SLOWER = "5 to 11 times longer"

_log = logging.getLogger("untaught")


@dataclass(frozen=True)
class Engine:
    """How a fit's iterations run.

    Attributes:
        device: device of all tensors.
        arithmetic: type of the tensors between the layers.
        threads: processor threads that torch uses.
        kernels: compiled kernels for processors, or None for plain torch.
        reasons: one sentence for each choice.
        missing: why there are no compiled kernels although this device could use them; empty otherwise.
    """

    device: torch.device
    arithmetic: torch.dtype
    threads: int
    kernels: Kernels | None = None
    reasons: tuple[str, ...] = ()
    missing: str = ""

    @property
    def guard_interval(self) -> int:
        """Iterations between two checks of the loss: on an accelerator each check makes the host wait."""
        return 1 if self.device.type == "cpu" else 25

    def assemble(self, networks: Sequence[nn.Module], layers: int = 1) -> Assembly:
        """Move networks to the device and join them into one module for a batch.

        Args:
            networks: one for each picture and layer, picture after picture; (1, c, H, W) to (1, C, H, W) each. An
                `EncoderDecoder` runs in the engine's arithmetic and on compiled kernels where they exist, any other
                module in plain torch and in the type of its weights.
            layers: networks per picture, whose outputs are concatenated along the channels.

        Returns:
            A module that maps (N, c, H, W) to (N, C of all layers, H, W), float32.
        """
        if self.missing and any(map(has_kernels, networks)):
            _warn_once(self.missing)
        return Assembly([self._placed(network) for network in networks], layers, self.arithmetic, self.kernels)

    def run(self, network: nn.Module, network_input: Tensor) -> Tensor:
        """Evaluate a module that `assemble` gave."""
        return network(network_input)  # type: ignore[no-any-return]

    def _placed(self, network: nn.Module) -> nn.Module:
        """The network on the device, in the memory layout in which convolutions are fastest."""
        network = network.to(self.device)
        # Convolutions of volumes are no faster with the channels last.
        if any(parameter.ndim == 5 for parameter in network.parameters()):
            return network
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def capture(
        self, functions: Sequence[Callable[[], None]], generators: Sequence[torch.Generator]
    ) -> Sequence[Callable[[], None]]:
        """Return functions to call instead of the given ones; on CUDA they become CUDA graphs after a few calls.

        Args:
            functions: the parts of an iteration, in the order in which they are called. They leave their results in
                attributes or in place; see `untaught.backend.cuda_graphs.Graphs`.
            generators: the generators that they draw random numbers from.
        """
        if self.device.type != "cuda":
            return functions
        graphs = Graphs(functions, self.device, generators)
        return [functools.partial(graphs, index) for index in range(len(functions))]

    @contextlib.contextmanager
    def repeatable(self) -> Iterator[None]:
        """In this context torch uses deterministic algorithms on CUDA; it warns where it has none."""
        if self.device.type != "cuda":
            yield
            return
        settings: Any = torch.utils.deterministic
        filled, enabled = settings.fill_uninitialized_memory, torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        # Filling memory with NaN before it is written would be wasted work.
        settings.fill_uninitialized_memory = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
            settings.fill_uninitialized_memory = filled

    def record(self) -> dict[str, Any]:
        """Return the choices as plain values."""
        return {
            "device": str(self.device),
            "precision": str(self.arithmetic).removeprefix("torch."),
            "threads": self.threads,
            "kernels": None if self.kernels is None else self.kernels.processor,
            "torch": torch.__version__,
        }


def choose_engine(device: str = "auto", precision: str = "auto") -> Engine:
    """Choose how to run, from what this machine has.

    Two environment variables change the defaults: ``UNTAUGHT_KERNELS=off`` runs without compiled kernels, and
    ``UNTAUGHT_PRECISION`` (float32 or bfloat16) is the precision for "auto".

    Args:
        device: "auto", or a device, with an index where there are several ("cuda:1").
        precision: "auto" or the type of the arithmetic.

    Raises:
        SettingError: for a device that is not there, or an unknown name.
    """
    if precision not in get_args(Precision):
        raise SettingError(f"precision must be one of {', '.join(get_args(Precision))}: found {precision!r}")
    chosen, why_device = _choose_device(device)
    arithmetic, why_arithmetic = _choose_arithmetic(chosen, precision)
    threads = torch.get_num_threads()
    why_threads = f"{threads} threads: torch's own choice for {os.cpu_count()} processors"
    kernels, why_kernels, missing = _choose_kernels(chosen, arithmetic)
    reasons = (why_device, why_arithmetic, why_threads, why_kernels)
    return Engine(chosen, arithmetic, threads, kernels, reasons, missing)


@functools.cache
def _warn_once(missing: str) -> None:
    _log.warning("running without compiled kernels, so an iteration takes %s: %s", _SLOWER, missing)


def _choose_kernels(device: torch.device, arithmetic: torch.dtype) -> tuple[Kernels | None, str, str]:
    """The kernels, the reason for the choice, and what `Engine.missing` is."""
    if device.type == "cuda":
        return None, "kernels: torch's own, captured once per stage as CUDA graphs and replayed", ""
    if device.type != "cpu":
        return None, "kernels: torch's own; the compiled ones are for processors", ""
    reason = switched_off()
    if reason:
        return None, f"kernels: torch's own, because {reason}", ""
    kernels, missing = load(arithmetic)
    if kernels is not None:
        return kernels, f"kernels: compiled for {kernels.processor}, between torch's matrix products", ""
    return None, f"kernels: torch's own, so an iteration takes {_SLOWER}: {missing}", missing


def usable_devices() -> list[str]:
    """Names of the devices of this machine, and "auto", which takes the best of them."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        return ["auto", "cpu"]
    count = torch.accelerator.device_count()
    return ["auto", "cpu", *(f"{accelerator.type}:{number}" for number in range(count))]


def _choose_device(device: str) -> tuple[torch.device, str]:
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device == "auto":
        if accelerator is None:
            return torch.device("cpu"), "cpu: torch finds no accelerator"
        return accelerator, f"{accelerator.type}: torch finds this accelerator"
    kind = device.partition(":")[0]
    if kind not in get_args(DeviceName):
        raise SettingError(f"device must be one of {', '.join(get_args(DeviceName))}: found {device!r}")
    if kind == "cpu" and device not in ("cpu", "cpu:0"):
        raise SettingError(f"device {device!r} is not on this machine: all its processors are one device, cpu")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        there = "cpu" if accelerator is None else f"cpu, {accelerator.type}"
        raise SettingError(f"device {device!r} is not on this machine; usable here: {there}") from error
    return torch.device(device), f"{device}: as requested"


def _choose_arithmetic(device: torch.device, precision: str) -> tuple[torch.dtype, str]:
    if precision != "auto":
        return getattr(torch, precision), f"{precision}: as requested"
    chosen = from_environment("UNTAUGHT_PRECISION", get_args(Precision))
    if chosen != "auto":
        return getattr(torch, chosen), f"{chosen}: because UNTAUGHT_PRECISION={chosen}"
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, "bfloat16: this GPU computes with it faster than with float32"
    # torch has no public name for this question yet.
    if device.type == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)():
        return torch.bfloat16, "bfloat16: this processor has instructions for it, faster than float32"
    return torch.float32, "float32: no fast bfloat16 arithmetic known on this device"
