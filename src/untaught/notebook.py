"""Watch a fit in a notebook: ``untaught.restore(picture, mask, observers=[Live()])``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from untaught.errors import SettingError
from untaught.fitting.display import page
from untaught.fitting.state import State

__all__ = ["Live"]


class Live:
    """Observer that shows the picture so far and the loss in the output of a notebook's cell, in one place.

    Args:
        seconds: between two updates; the first and the last iteration are shown too.
        longest: pixels of the longest side that is shown.

    Raises:
        SettingError: outside of IPython.
    """

    def __init__(self, seconds: float = 1.0, longest: int = 320) -> None:
        try:
            from IPython.display import HTML, display
        except ImportError as error:
            raise SettingError("Live shows a fit in a notebook, and IPython is not installed") from error
        self.seconds, self.longest = seconds, longest
        self._display: Any = display
        self._html: Any = HTML
        self._handle: Any = None
        self._shown = -float("inf")
        self._losses: list[Tensor] = []

    def __call__(self, state: State, /) -> None:
        """Show the state if it is time to."""
        self._losses.append(state.loss)
        now = time.monotonic()
        if now - self._shown < self.seconds and state.iteration not in (1, state.iterations):
            return
        self._shown = now
        words = f"iteration {state.iteration} of at most {state.iterations}, {state.elapsed:.0f} s"
        shown = self._html(page({"so far": self._picture(state)}, [float(loss) for loss in self._losses], [words]))
        if self._handle is None:
            self._handle = self._display(shown, display_id=True)
        else:
            self._handle.update(shown)

    def _picture(self, state: State) -> NDArray[np.uint8]:
        first = state.picture[0]
        if first.ndim == 4:
            first = first[:, first.shape[1] // 2]
        step = max(1, -(-max(first.shape[-2:]) // self.longest))
        small = first[:3] if len(first) >= 3 else first[:1].expand(3, -1, -1)
        values = small[:, ::step, ::step].clamp(0, 1).mul(255).round().byte().movedim(0, -1)
        shown: NDArray[np.uint8] = values.cpu().numpy()
        return shown
