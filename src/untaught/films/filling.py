"""A film whose gaps are filled in: what is hidden in one frame and seen in another one is taken from there.

Each hidden pixel follows the motion, frame by frame, until it is seen. How well that works is measured where it can be
checked: at known pixels around the gap. What no frame shows is completed in one frame, and goes along with the motion.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from untaught.films.frames import Frame, Values, windows
from untaught.films.motion import at, coarse, sampled, with_motion
from untaught.films.shots import Strengths
from untaught.imaging.group_completion import GroupCompletion
from untaught.tasks.classical import fill

__all__ = ["filled", "reach_of"]

_FARTHEST, _MEMORY = 16, 4e8
"""How many frames before and after are looked at, at most, and bytes of them all."""
_RING = 8
"""Known pixels so near to a gap, in pixels, say how well a frame fits."""
_WINDOW, _REFINED, _STILL = 6.0, 2, 1e-6
"""Places are refined by what is around them: standard deviation of the window in pixels, how often, and how strong a
slope has to be, squared, for it to count."""
_SPREAD = 8.0
"""Standard deviation, in pixels, by which their errors are smoothed."""
_ENOUGH, _MOST = 3, 0.98
"""Once so large a share of the pixels was found in so many frames, no other frames are looked at."""
_SHARE = 0.6
"""A value counts that is interpolated from known values for so large a part."""
_ROUNDING = (0.5 / 255) ** 2
"""Squared errors below this one are alike."""
_FARTHER = 0.3
"""With each frame an error counts for so much more."""
_SURE = 0.25
"""What was found in other frames is taken as it is if its squared error is less than this share of a completion's."""
_COMPLETION = 0.7
"""The squared error of a completion by groups of blocks, as a share of that of a smooth surface."""


def reach_of(frame: Frame) -> int:
    """How many frames before and after help: as many as the memory allows."""
    each = 2 * frame.planes.numel() * 4
    return max(2, min(_FARTHEST, int(_MEMORY / each / 2)))


def filled(
    frames: Iterable[Frame], values: Values, measured: Strengths, finished: Callable[[int], Tensor | None]
) -> Iterator[Frame]:
    """The frames of a film, each with its result in ``kept["result"]``.

    Args:
        frames: in order; those without gaps stay as they are.
        values: of the film.
        measured: what was measured before, to which is added.
        finished: the result of a frame, by its number, that was finished before; None for others.
    """
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        return
    # A finer field would follow what fills the gaps so far.
    moving = with_motion(map(_begun, itertools.chain([first], stream)), lambda frame: frame.planes, coarse)
    result: Tensor | None = None
    for frame, before, after in windows(moving, reach_of(first)):
        if (done := finished(frame.number)) is not None:
            result = done
        elif frame.known is None or bool(frame.known.all()):
            result = frame.planes
        else:
            error = measured.get(str(frame.shot))
            if error is None:
                error = measured[str(frame.shot)] = _surface_error(frame)
            last = result if frame.number > frame.shot else None
            result = _one(frame, before, after, last, _COMPLETION * error)
            # Rounded as it is written, so that a film that goes on from the disk is the same.
            result = torch.where(frame.known, frame.planes, values.planes(values.pixels(result)))
        frame.kept["result"] = result
        yield frame


def _begun(frame: Frame) -> Frame:
    """A frame whose gaps are filled by smooth surfaces."""
    if frame.known is not None and not bool(frame.known.all()):
        there = frame.known.expand_as(frame.planes)
        if not bool(frame.known.any()):
            frame.planes = torch.full_like(frame.planes, 0.5)
        else:
            frame.planes = fill(torch.where(there, frame.planes, 0)[None], there[None])[0]
    return frame


@dataclass
class _Found:
    """What was found for the hidden pixels, and the known ones around them.

    Attributes:
        places: (2, n): rows and columns, the hidden ones first.
        hidden: how many are hidden.
        box: rows and columns of the part of the frame that holds them.
        values: (C, hidden): the sum of the values that were found, each times its weight.
        weights: (hidden,): the sum of the weights.
        least: (hidden,): the least squared error.
        count: (hidden,): how many were found.
    """

    places: Tensor
    hidden: int
    box: tuple[slice, slice]
    values: Tensor
    weights: Tensor
    least: Tensor
    count: Tensor


def _one(frame: Frame, before: Sequence[Frame], after: Sequence[Frame], last: Tensor | None, error: float) -> Tensor:
    """The result of one frame.

    Args:
        frame: with gaps.
        before: the frames before it, the nearest first.
        after: the same of those after it.
        last: (C, H, W): the result of the frame before; None for none.
        error: squared, of a completion.
    """
    assert frame.known is not None
    found = _begin(frame)
    sides = [
        zip(before, [one.back for one in (frame, *before)], strict=False),
        zip(after, [one.ahead for one in (frame, *after)], strict=False),
    ]
    # Where the pixels are, on the way back and on the way ahead.
    ways: list[Tensor] = [found.places, found.places]
    before_errors: Tensor | None = None
    for steps in itertools.count(1):
        ended = True
        for number, side in enumerate(sides):
            other, field = next(side, (None, None))
            if other is None or field is None:
                continue
            ended = False
            ways[number] = _refined(found, frame, other, ways[number] + at(field, ways[number]))
            errors = _look(found, frame, other, ways[number], steps)
            if steps == 1 and number == 0:
                before_errors, beside = errors, ways[0]
        if ended or float((found.count >= _ENOUGH).float().mean()) > _MOST:
            break
    rows, columns = found.places[:, : found.hidden].long()
    result = frame.planes.clone()
    seen = found.weights > 0
    share = torch.where(seen, error / (error + found.least / _SURE), 0)
    share = torch.where(found.least < _SURE * error, 1, share) * seen
    from_others = found.values / found.weights.clamp_min(1e-30)
    if bool((share == 1).all()):
        result[:, rows, columns] = from_others
        return result
    rest = torch.full_like(from_others, torch.nan)
    if last is not None and before_errors is not None:
        # What was made up in the frame before goes along.
        goes_on = before_errors < max(error, 4 * _ROUNDING)
        moved = sampled(last, beside[:, : found.hidden])
        rest = torch.where(goes_on, moved, rest)
    unknown = rest.isnan().any(0) & (share < 1)
    if bool(unknown.any()):
        result[:, rows, columns] = torch.where(seen & (share > 0.5), from_others, rest)
        known = frame.known.clone()
        known[rows, columns] = ~unknown
        rest = torch.where(unknown, _completed(result, known)[:, rows, columns], rest)
    rest = torch.where(share == 1, from_others, rest)
    result[:, rows, columns] = rest + share * (from_others - rest).nan_to_num()
    return result


def _begin(frame: Frame) -> _Found:
    assert frame.known is not None
    near = _dilated(~frame.known, _RING)
    hidden, ring = (~frame.known).nonzero().T, (near & frame.known).nonzero().T
    every = torch.cat([hidden, ring], 1)
    (top, left), (bottom, right) = every.amin(1).tolist(), every.amax(1).tolist()
    count = hidden.shape[1]
    return _Found(
        places=every.float(),
        hidden=count,
        box=(slice(top, bottom + 1), slice(left, right + 1)),
        values=frame.planes.new_zeros(len(frame.planes), count),
        weights=frame.planes.new_zeros(count),
        least=torch.full((count,), torch.inf),
        count=torch.zeros(count),
    )


def _dilated(where: Tensor, pixels: int) -> Tensor:
    return functional.max_pool2d(where.float()[None, None], 2 * pixels + 1, 1, pixels)[0, 0] > 0


def _refined(found: _Found, frame: Frame, other: Frame, places: Tensor) -> Tensor:
    """Places in another frame, shifted so that known pixels around fit better (Lucas and Kanade, 1981)."""
    ring = slice(found.hidden, None)
    rows, columns = found.places[:, ring].long()
    wanted = frame.planes[:, rows, columns]
    for _ in range(_REFINED):
        there = places[:, ring]
        seen = _seen(other, there, frame.planes.shape[-2:]).float()
        values = sampled(other.planes, there)
        # Half of the difference of neighbours on either side.
        down, right = (
            (sampled(other.planes, there + step) - sampled(other.planes, there - step)) / 2
            for step in (torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]]))
        )
        rest = wanted - values
        terms = (down * down, down * right, right * right, down * rest, right * rest)
        maps = _map(found, torch.stack([(one.mean(0) * seen) for one in terms]))
        a, b, c, e, f = _smoothed(maps, _WINDOW)[:, *_in_box(found, found.places)]
        # A little of nothing, where nothing tells.
        a, c = a + _STILL, c + _STILL
        bottom = a * c - b * b
        places = places + torch.stack([c * e - b * f, a * f - b * e]).div_(bottom).clamp_(-1, 1)
    return places


def _seen(other: Frame, places: Tensor, size: tuple[int, ...]) -> Tensor:
    """Whether places of another frame are inside of it and known."""
    height, width = size
    inside = (places[0] > -0.5) & (places[0] < height - 0.5) & (places[1] > -0.5) & (places[1] < width - 0.5)
    if other.known is None:
        return inside
    return inside & (sampled(other.known.float()[None], places, "bilinear")[0] > _SHARE)


def _in_box(found: _Found, places: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns of places of the frame in the part that holds them."""
    rows, columns = places.long()
    return rows - found.box[0].start, columns - found.box[1].start


def _map(found: _Found, values: Tensor) -> Tensor:
    """Values of the known pixels around, (M, n), at their places in the part of the frame, (M, h, w)."""
    maps = torch.zeros(len(values), *(one.stop - one.start for one in found.box))
    maps[:, *_in_box(found, found.places[:, found.hidden :])] = values
    return maps


def _look(found: _Found, frame: Frame, other: Frame, places: Tensor, steps: int) -> Tensor:
    """Look for the pixels in another frame; the squared errors that are expected there, (hidden,)."""
    seen = _seen(other, places, frame.planes.shape[-2:])
    values = sampled(other.planes, places)
    rows, columns = found.places.long()
    ring = slice(found.hidden, None)
    squared = (values[:, ring] - frame.planes[:, rows[ring], columns[ring]]).square().mean(0)
    maps = _map(found, torch.stack([squared * seen[ring], seen[ring].float()]))
    errors, evidence = _smoothed(maps, _SPREAD)[:, *_in_box(found, found.places[:, : found.hidden])]
    expected = torch.where(evidence > 1e-4, errors / evidence.clamp_min(1e-30), torch.inf)
    own = expected + _ROUNDING
    weight = torch.where(seen[: found.hidden], (own * (1 + _FARTHER * steps)) ** -2, 0)
    found.values += torch.where(weight > 0, values[:, : found.hidden] * weight, 0)
    found.weights += weight
    found.least = torch.where(weight > 0, torch.minimum(found.least, expected), found.least)
    found.count += weight > 0
    return expected


def _smoothed(maps: Tensor, deviation: float) -> Tensor:
    """Maps, (M, h, w), smoothed, with zeros beyond their edges."""
    reach = int(3 * deviation)
    line = torch.exp(-((torch.arange(-reach, reach + 1) / deviation) ** 2) / 2)
    line = line / line.sum()
    down = functional.conv2d(maps[:, None], line.view(1, 1, -1, 1), padding=(reach, 0))
    return functional.conv2d(down, line.view(1, 1, 1, -1), padding=(0, reach))[:, 0]


def _completed(picture: Tensor, known: Tensor) -> Tensor:
    """A picture, (C, H, W), whose gaps are completed by groups of similar blocks."""
    there = known.expand_as(picture)
    begun = fill(torch.where(there, picture, 0)[None], there[None])
    completion = GroupCompletion(begun, there[None])
    while not completion.finished:
        completion.step()
    return completion.picture[0]


def _surface_error(frame: Frame) -> float:
    """The squared error of smooth surfaces in a frame: in gaps like its own, but where it is known."""
    assert frame.known is not None
    missing = ~frame.known
    rows, columns = missing.nonzero().T
    high, wide = (int(one.max() - one.min()) + 2 * _RING for one in (rows, columns))
    errors = []
    for down, right in ((high, 0), (-high, 0), (0, wide), (0, -wide), (1, 1), (-2, 3)):
        copy = torch.roll(missing, (down, right), (0, 1)) & frame.known
        if int(copy.sum()) < int(missing.sum()) / 4:
            continue
        there = (frame.known & ~copy).expand_as(frame.planes)
        surface = fill(torch.where(there, frame.planes, 0)[None], there[None])[0]
        errors.append(float((surface - frame.planes)[:, copy].square().mean()))
        if len(errors) == 2:
            break
    return sum(errors) / len(errors) if errors else 1e-3
