"""The parts of an iteration as CUDA graphs: captured once and replayed, one launch instead of hundreds."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["Graphs"]

_WARM_UP = 3


class Graphs:
    """Functions that are called in turn, again and again: captured after three rounds, and replayed from then on.

    The functions have no arguments and no results; they leave their results in attributes or write in place. After the
    capture these are always the same tensors, and each replay overwrites them; nothing else of a function runs again.
    So everything that changes from call to call must be in tensors on the device that keep their place in memory, and
    random numbers must come from the given generators.

    If one function cannot be captured because it makes the host wait, all of them run uncaptured, with a warning.

    Args:
        functions: in the order in which they are called.
        device: a CUDA device.
        generators: generators on that device that the functions draw from.
    """

    def __init__(
        self, functions: Sequence[Callable[[], None]], device: torch.device, generators: Sequence[torch.Generator]
    ) -> None:
        self.functions = functions
        self.device = device
        self.generators = generators
        self.replays: Sequence[Callable[[], None]] = ()
        self._rounds = 0
        self._waits = False

    def __call__(self, index: int) -> None:
        """Call the function at this place in the order."""
        if index == 0:
            self._rounds += 1
            if self._rounds == _WARM_UP + 1:
                self.replays = self._capture()
        if self.replays:
            self.replays[index]()
        elif self._rounds == _WARM_UP:
            self._waits |= self._rehearse(self.functions[index])
        else:
            self._run(self.functions[index])

    def _run(self, function: Callable[[], None]) -> None:
        """Run a function on the stream that it will be captured on: gradients stay on the stream of their values."""
        current, stream = torch.cuda.current_stream(self.device), _side_stream(self.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            function()
        current.wait_stream(stream)

    def _rehearse(self, function: Callable[[], None]) -> bool:
        """Run a function and return whether it makes the host wait, which would break off a capture."""
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                self._run(function)
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        return any("called a synchronizing" in str(one.message) for one in told)

    def _capture(self) -> Sequence[Callable[[], None]]:
        """Capture all functions without running them; return their replays, or nothing if that is impossible."""
        if self._waits:
            return self._give_up("a function makes the host wait for the device")
        stream = _side_stream(self.device)
        # An aborted capture leaves its generators unusable, torch's default one too, but not a copy of their state.
        generators = [*self.generators, torch.cuda.default_generators[stream.device_index]]
        states = [generator.clone_state() for generator in generators]
        try:
            # Nor does torch then return to the previous stream; this context does.
            with torch.cuda.stream(stream):
                pool = torch.cuda.graph_pool_handle()
                return [self._record(function, pool) for function in self.functions]
        except RuntimeError as error:
            for generator, state in zip(generators, states, strict=True):
                generator.graphsafe_set_state(state)
            return self._give_up(str(error).partition("\n")[0])

    def _record(self, function: Callable[[], None], pool: Any) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer versions of torch find the generators themselves and warn
            for generator in self.generators:
                graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=pool, stream=_side_stream(self.device)):
            function()
        return graph.replay

    def _give_up(self, reason: str) -> Sequence[Callable[[], None]]:
        warnings.warn(f"the step is not captured as a CUDA graph, and takes longer: {reason}", stacklevel=2)
        return ()


@functools.lru_cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One stream for all captures: a parameter's gradient is accumulated on the stream that first used it."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
