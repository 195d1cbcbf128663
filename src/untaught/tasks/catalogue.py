"""The tasks by name, and every setting of theirs.

A setting is written down here once, with its default and what it means, and reaches Python, the command line, the
record and the studio from here. Nothing heavy is imported, so that ``--help`` is there at once; what a task does with
its settings is in the module of `untaught.tasks` that its entry names.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from untaught.errors import SettingError

if TYPE_CHECKING:
    from untaught.recipes import Recipe

__all__ = [
    "SHORT_MODELS",
    "TASKS",
    "ActivateSettings",
    "DeblurSettings",
    "DejpegSettings",
    "DemosaicSettings",
    "DenoiseSettings",
    "FeatureSettings",
    "FillSettings",
    "GuideSettings",
    "InputFile",
    "Options",
    "SeparateSettings",
    "Setting",
    "Task",
    "UpscaleSettings",
    "check_names",
    "duration",
    "find_task",
    "positive",
    "settings_of",
    "whole",
]


# How a word is read ------------------------------------------------------------------------------------------------


def whole(text: str) -> int:
    """A whole number from 0."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise SettingError(f"a whole number from 0 is wanted: found {text}")
    return value


def positive(text: str) -> int:
    """A whole number from 1."""
    value = whole(text)
    if value < 1:
        raise SettingError(f"a whole number from 1 is wanted: found {text}")
    return value


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SettingError(f"a number is wanted: found {text}")
    return value


def duration(text: str) -> float:
    """Seconds of a text such as 90, 60s, 5m or 1.5h."""
    units = {"s": 1, "m": 60, "h": 3600}
    figure, factor = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    try:
        seconds = float(figure) * factor
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise SettingError(f"a time such as 60s, 5m or 1h is wanted: found {text}")
    return seconds


# What a setting is -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting, as the doors to the program show it.

    Attributes:
        name: in Python and in the record.
        default: its value when nothing is said.
        about: what it means, with unit and default.
        flag: on the command line; a flag alone where the default is a bool, which it turns round.
        read: makes a value of a word.
        metavar: what stands for a value in the help, one word for each that is wanted.
        choices: the only values, if there are so few.
        required: whether it has to be said, its default being none.
    """

    name: str
    default: Any
    about: str
    flag: str
    read: Callable[[str], Any] = str
    metavar: str | tuple[str, ...] | None = None
    choices: tuple[str, ...] | None = None
    required: bool = False


def _setting(default: Any, about: str, **more: Any) -> Any:
    """A field of a class of settings; ``more`` as in `Setting`."""
    return dataclasses.field(default=default, metadata={"about": about, **more})


def settings_of(kind: Any) -> tuple[Setting, ...]:
    """The settings that a class of them has."""
    return tuple(
        Setting(
            name=field.name,
            default=field.default,
            **{"flag": f"--{field.name.replace('_', '-')}", **field.metadata},
        )
        for field in dataclasses.fields(kind)
    )


def check_names(given: Iterable[str], known: Iterable[str], *, kind: str) -> None:
    """Refuse names that are not there.

    Raises:
        SettingError: naming them, those that there are, and the nearest.
    """
    there = list(known)
    for name in sorted(set(given) - set(there)):
        near = difflib.get_close_matches(name, there, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingError(f"unknown {kind} {name}: there are {', '.join(there)}{hint}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every task takes besides the picture.

    Attributes:
        recipe: name of a recipe of the task, or of those for volumes, or a `Recipe`, whose network gets as many
            dimensions as what is fitted.
        iterations: at most so many iterations; the recipe's own number if None.
        time_budget: seconds that the fit may take; as long as it needs if None.
        runs: fits from different seeds that are averaged; the recipe's own number if None.
        seed: what the random numbers start from: the same seed on the same machine gives the same picture.
        value_range: the values that stand for black and white; see `untaught.imaging.arrays.to_tensor`.
        volume: what is given is a volume, with a depth before the height: an array of (D, H, W) or (D, H, W, C), or an
            (N, C, D, H, W) tensor; masks too.
        device: "auto", "cpu", "cuda", "xpu" or "mps".
        precision: "auto", "float32" or "bfloat16": type of the arithmetic between the layers.
    """

    recipe: str | Recipe = _setting(
        "balanced",
        "recipe: balanced is the default, fast gives a usable picture, best takes longer, printed and paper are as "
        "published; there are",
        flag="--preset",
        metavar="NAME",
    )
    iterations: int | None = _setting(
        None, "at most so many iterations (default: the recipe's own number)", read=positive, metavar="N"
    )
    time_budget: float | None = _setting(
        None,
        "the best picture that this time can buy, such as 60s, 5m or 1h (default: as long as it needs)",
        read=duration,
        metavar="TIME",
    )
    runs: int | None = _setting(
        None,
        "fits from different seeds that are averaged (default: the recipe's own number, 1 but for best)",
        read=positive,
        metavar="N",
    )
    seed: int = _setting(
        0,
        "where random numbers start: the same seed on the same machine gives the same picture (default: 0)",
        read=whole,
        metavar="N",
    )
    value_range: tuple[float, float] | None = _setting(
        None,
        "values that stand for black and white, in the picture's own units (default: the whole range of 8 and 16 bits, "
        "0 1 for floats)",
        read=number,
        metavar=("LOW", "HIGH"),
    )
    volume: bool = _setting(
        False, "what is given is a volume, a TIFF whose pages are its slices (presets: balanced, fast, best)"
    )
    device: str = _setting(
        "auto", "auto, cpu, cuda, xpu or mps; cuda:1 for a second one (default: auto)", metavar="NAME"
    )
    precision: str = _setting(
        "auto",
        "type of the arithmetic between layers: auto, float32 or bfloat16 (default: auto, what is fast here)",
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        if self.time_budget is not None and not self.time_budget > 0:
            raise SettingError(f"a time budget is a positive number of seconds: found {self.time_budget}")
        if self.seed < 0:
            raise SettingError(f"a seed is a whole number from 0: found {self.seed}")


# The tasks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FillSettings:
    """Of the tasks that fill in what is missing.

    Attributes:
        mask_marks: "known" if True, or white, marks what is known in a mask; "missing" the other way round.
        keep_known: return known values to the bit; otherwise the network's own output there too.
    """

    mask_marks: str = _setting("known", "what white means in the mask (default: known)", choices=("known", "missing"))
    keep_known: bool = _setting(
        True,
        "write the network's own output everywhere, instead of keeping known pixels to the bit",
        flag="--network-output",
    )

    def __post_init__(self) -> None:
        if self.mask_marks not in ("known", "missing"):
            raise SettingError(f"mask_marks must be known or missing: found {self.mask_marks!r}")


@dataclass(frozen=True, kw_only=True)
class DenoiseSettings:
    """Of denoising.

    Attributes:
        kind: "gaussian"; "poisson", photons counted, with normal noise of the reading besides; or "impulse", some
            pixels of which say nothing and the others all.
        noise: standard deviation in the picture's own units, of the reading's noise alone for "poisson"; estimated
            if None, and 0 for "poisson".
        gain: units of the picture a photon, for "poisson".
        offset: the picture's value where there is no light, for "poisson".
    """

    kind: str = _setting(
        "gaussian",
        "of the noise: gaussian; poisson, few photons; impulse, single pixels that say nothing (default: gaussian)",
        choices=("gaussian", "poisson", "impulse"),
    )
    noise: float | None = _setting(
        None,
        "its standard deviation in the picture's own units, such as 25 of 255; for poisson that of the reading alone "
        "(default: estimated, for poisson 0)",
        read=number,
        metavar="S",
    )
    gain: float = _setting(1.0, "for poisson: units of the picture a photon (default: 1)", read=number, metavar="G")
    offset: float = _setting(
        0.0,
        "for poisson: the value that stands for no light, in the picture's own units (default: 0)",
        read=number,
        metavar="V",
    )

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "poisson", "impulse"):
            raise SettingError(f"kind of noise must be gaussian, poisson or impulse: found {self.kind!r}")
        if self.noise is not None and not (self.noise > 0 or (self.noise == 0 and self.kind == "poisson")):
            raise SettingError(f"noise is a positive standard deviation in the picture's units: found {self.noise}")
        if not self.gain > 0:
            raise SettingError(f"gain is a positive number of units a photon: found {self.gain}")


@dataclass(frozen=True, kw_only=True)
class UpscaleSettings:
    """Of upscaling.

    Attributes:
        factor: how many times larger each side is to be, 1.5 to 16; fractions too.
        kernel: by which the picture was made smaller: "lanczos2", "bicubic", "area" or "gaussian".
    """

    factor: float = _setting(
        4.0, "how many times larger each side is to be, 1.5 to 16 (default: 4)", read=number, metavar="F"
    )
    kernel: str = _setting(
        "lanczos2",
        "by which the picture was made smaller (default: lanczos2; a camera's pixels are nearer to area)",
        choices=("lanczos2", "bicubic", "area", "gaussian"),
    )

    def __post_init__(self) -> None:
        if not 1.5 <= self.factor <= 16:
            raise SettingError(f"factor lies between 1.5 and 16: found {self.factor:g}")


@dataclass(frozen=True, kw_only=True)
class DeblurSettings:
    """Of deblurring, where no kernel is given.

    Attributes:
        blur: "gaussian", "disk" (out of focus), "motion" (a straight line), or "unknown": to be found.
        radius: in pixels: standard deviation, radius, or half the line's length; how far an unknown blur reaches.
        angle: of the line, degrees from the horizontal, anticlockwise.
    """

    blur: str = _setting(
        "gaussian",
        "what blurred the picture, where no kernel is given: gaussian; disk, out of focus; motion, a straight line; "
        "unknown, to be found along with the picture (default: gaussian)",
        choices=("gaussian", "disk", "motion", "unknown"),
    )
    radius: float | None = _setting(
        None,
        "its standard deviation, radius, or half its length, in pixels; of an unknown blur, how far it reaches",
        read=number,
        metavar="R",
    )
    angle: float = _setting(
        0.0, "of the line, degrees from the horizontal, anticlockwise (default: 0)", read=number, metavar="A"
    )

    def __post_init__(self) -> None:
        if self.blur not in ("gaussian", "disk", "motion", "unknown"):
            raise SettingError(f"blur must be gaussian, disk, motion or unknown: found {self.blur!r}")
        if self.radius is not None and not 0 < self.radius < 1000:
            raise SettingError(f"the radius of a blur is a positive number of pixels: found {self.radius:g}")


@dataclass(frozen=True, kw_only=True)
class DejpegSettings:
    """Of taking out what a JPEG has put in.

    Attributes:
        consistent: ask only that the result, compressed again, is what was given; not that it is what was given.
        quality: for this, of libjpeg, 1 to 100; what the file says if None.
    """

    consistent: bool = _setting(
        False,
        "ask only that the result, compressed again, is what was given (better on some pictures, worse on others)",
    )

    quality: int | None = _setting(
        None,
        "for --consistent: the quality of libjpeg, 1 to 100, where the file is no JPEG now (default: its own)",
        read=positive,
        metavar="Q",
    )

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise SettingError(f"the quality of a JPEG lies between 1 and 100: found {self.quality}")


@dataclass(frozen=True, kw_only=True)
class DemosaicSettings:
    """Of demosaicing.

    Attributes:
        pattern: colours of the first two pixels of the first two lines.
    """

    pattern: str = _setting(
        "RGGB",
        "colours of the first two pixels of the first two lines (default: RGGB)",
        choices=("RGGB", "BGGR", "GRBG", "GBRG"),
    )

    def __post_init__(self) -> None:
        if self.pattern not in ("RGGB", "BGGR", "GRBG", "GBRG"):
            raise SettingError(f"pattern must be RGGB, BGGR, GRBG or GBRG: found {self.pattern!r}")


SHORT_MODELS = ("efficientnet_lite0",)
"""Models that come with a package; any other name makes Python import and call."""


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """Of the tasks that look into a network.

    Attributes:
        model: a torch module, or a name for `untaught.physics.features.load_model`.
        layer: whose features are meant, a name of ``dict(module.named_modules())``.
        mean: of each channel, in the units of a picture in [0, 1], which is taken off before the module sees the
            picture; the model's own if it has a short name, otherwise ImageNet's, if None. Its length says how many
            channels the picture has.
        std: of each channel, what the picture is divided by then; the same.
    """

    model: Any = _setting(
        None,
        "the network: package.module:callable, which is imported and called and returns a torch module; or "
        f"{', '.join(SHORT_MODELS)}, of untaught[classifier] (required)",
        metavar="NAME",
        required=True,
    )
    layer: str = _setting(
        None,
        "the layer whose features are meant, by its name in the module's named_modules() (required)",
        metavar="LAYER",
        required=True,
    )
    mean: tuple[float, ...] | None = _setting(
        None,
        "what is taken off the channels of a picture in [0, 1] first (default: the model's own if it has a short name, "
        "otherwise ImageNet's)",
        read=number,
        metavar=("R", "G", "B"),
    )
    std: tuple[float, ...] | None = _setting(
        None, "what the channels are divided by then (default: as for --mean)", read=number, metavar=("R", "G", "B")
    )

    def __post_init__(self) -> None:
        if self.model is None or self.layer is None:
            raise SettingError("a model is wanted, and the name of one of its layers")


@dataclass(frozen=True, kw_only=True)
class ActivateSettings(FeatureSettings):
    """Of making a unit active.

    Attributes:
        unit: index of a channel of a convolutional layer, or of a number of a linear one, from 0.
        size: height and width of the picture, in pixels.
    """

    unit: int = _setting(
        None,
        "index of a channel of a convolutional layer, or of a number of a linear one, from 0 (required)",
        read=whole,
        metavar="N",
        required=True,
    )
    size: tuple[int, int] = _setting(
        (224, 224), "of the picture, in pixels (default: 224 224)", read=positive, metavar=("HEIGHT", "WIDTH")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unit is None:
            raise SettingError("the index of a unit of the layer is wanted")
        height, width = self.size
        if min(height, width) < 1 or height * width > 100_000_000:
            raise SettingError(
                f"a size is (height, width), from 1 pixel and up to 100 million in all: found {tuple(self.size)}"
            )


@dataclass(frozen=True, kw_only=True)
class GuideSettings:
    """Of denoising with a guide.

    Attributes:
        noise: standard deviation in the picture's own units; estimated if None.
    """

    noise: float | None = _setting(
        None,
        "standard deviation of the picture's noise, in its own units, such as 25 of 255 (default: estimated)",
        read=number,
        metavar="S",
    )

    def __post_init__(self) -> None:
        if self.noise is not None and not self.noise > 0:
            raise SettingError(f"noise is a positive standard deviation in the picture's units: found {self.noise}")


@dataclass(frozen=True, kw_only=True)
class SeparateSettings:
    """Of taking two layers apart: none."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A picture that a task takes besides the first.

    Attributes:
        role: its name in Python, on the command line and in the record.
        about: what it is.
        kind: how it is read, a name of `untaught.imaging.reading.INPUT_KINDS`.
        required: whether the task cannot do without.
        own: whether it is read from the picture's own file where none is given.
    """

    role: str
    about: str
    kind: str
    required: bool = False
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, as the doors to the program show it.

    Attributes:
        name: in Python, on the command line and in the record.
        about: what it does, in a sentence.
        example: a command line to copy.
        recipes: names of its recipes, the default first.
        module: the module of `untaught.tasks` whose ``read`` makes a `Problem` of a picture, or ``read_without`` of
            none.
        settings: the class of its own settings.
        files: what it takes besides the picture.
        volumes: whether it takes volumes too.
        picture: whether it starts from a picture.
        instead: what Python may give in place of that picture, by name; no file holds it.
    """

    name: str
    about: str
    example: str
    recipes: tuple[str, ...]
    module: str
    settings: type
    files: tuple[InputFile, ...] = ()
    volumes: bool = False
    picture: bool = True
    instead: tuple[str, ...] = ()

    @property
    def own_settings(self) -> tuple[Setting, ...]:
        """The settings that only this task has."""
        return settings_of(self.settings)


def _mask(*, required: bool) -> InputFile:
    instead = "" if required else " (default: exactly black or not finite pixels are missing)"
    return InputFile(
        role="mask",
        about="a picture of the same size: white = known, black = missing" + instead,
        kind="mask",
        required=required,
    )


_ALL = (
    Task(
        name="inpaint",
        about="Fill in what a mask marks as missing: writing, scratches, holes.",
        example="untaught inpaint photo.png --mask writing.png -o restored.png",
        recipes=("balanced", "fast", "best", "noise", "printed", "paper", "paper-hole", "deep-decoder", "u-net"),
        module="fill",
        settings=FillSettings,
        files=(_mask(required=True),),
        volumes=True,
    ),
    Task(
        name="restore",
        about="Fill in scattered pixels that were dropped; without a mask, exactly black or not finite ones.",
        example="untaught restore scan.tif -o restored.tif",
        recipes=("balanced", "fast", "best", "noise", "printed", "paper", "deep-decoder", "siren", "u-net"),
        module="fill",
        settings=FillSettings,
        files=(_mask(required=False),),
        volumes=True,
    ),
    Task(
        name="denoise",
        about="Take the noise off a picture.",
        example="untaught denoise night.png -o clean.png",
        recipes=("balanced", "fast", "best", "printed", "paper", "deep-decoder", "u-net", "langevin"),
        module="denoise",
        settings=DenoiseSettings,
        volumes=True,
    ),
    Task(
        name="guide",
        about="Take the noise off a picture with the help of another of the same scene, such as one with flash.",
        example="untaught guide dark.png --guide flash.png -o clean.png",
        recipes=("balanced", "fast", "best", "printed", "paper"),
        module="guide",
        settings=GuideSettings,
        files=(
            InputFile(
                role="guide",
                about="a picture of the same scene and size, with little noise and in whatever light",
                kind="guide",
                required=True,
            ),
        ),
    ),
    Task(
        name="upscale",
        about="Make a picture larger that was made smaller.",
        example="untaught upscale small.png --factor 4 -o large.png",
        recipes=("balanced", "fast", "best", "printed", "paper"),
        module="upscale",
        settings=UpscaleSettings,
    ),
    Task(
        name="deblur",
        about="Sharpen a picture that was blurred, by a kernel that is known or to be found.",
        example="untaught deblur photo.png --blur disk --radius 3 -o sharp.png",
        recipes=("balanced", "fast", "best", "printed", "paper"),
        module="deblur",
        settings=DeblurSettings,
        files=(
            InputFile(
                role="kernel",
                about="a picture of what a point became; its black is nothing (default: a named blur)",
                kind="kernel",
            ),
        ),
    ),
    Task(
        name="dejpeg",
        about="Take blocks and rings out of a JPEG.",
        example="untaught dejpeg photo.jpg -o clean.png",
        recipes=("balanced", "fast", "best", "printed", "paper"),
        module="dejpeg",
        settings=DejpegSettings,
        files=(
            InputFile(
                role="compression",
                about="for --consistent: a JPEG that was compressed in the same way (default: the picture itself)",
                kind="compression",
                own=True,
            ),
        ),
    ),
    Task(
        name="demosaic",
        about="Fill in the colours that a sensor with a mosaic of filters has not seen.",
        example="untaught demosaic raw.tif --pattern RGGB -o colours.tif",
        recipes=("balanced", "fast", "best", "noise", "printed", "paper"),
        module="demosaic",
        settings=DemosaicSettings,
    ),
    Task(
        name="separate",
        about="Take apart two layers, such as a scene and a reflection, that two pictures show in different shares.",
        example="untaught separate window.png --other turned.png -o scene.png",
        recipes=("balanced", "fast", "best"),
        module="separate",
        settings=SeparateSettings,
        files=(
            InputFile(
                role="other",
                about="another picture of both layers, with less of the first one, of the same size",
                kind="other",
                required=True,
            ),
        ),
    ),
    Task(
        name="invert",
        about="Draw a picture that a layer of a network cannot tell from this one.",
        example="untaught invert photo.png --model efficientnet_lite0 --layer _blocks.4 -o inverted.png",
        recipes=("balanced", "fast", "best", "paper"),
        module="invert",
        settings=FeatureSettings,
        instead=("features", "size"),
    ),
    Task(
        name="activate",
        about="Draw a picture, from nothing, that makes a unit of a network as active as can be.",
        example="untaught activate --model efficientnet_lite0 --layer _fc --unit 130 -o flamingo.png",
        recipes=("balanced", "fast", "best", "paper", "paper-channel"),
        module="activate",
        settings=ActivateSettings,
        picture=False,
    ),
)

TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})
"""Every task by its name."""


def find_task(name: str) -> Task:
    """Look up a task by name.

    Raises:
        SettingError: for a name that is not there, listing those that are.
    """
    check_names([name], TASKS, kind="task")
    return TASKS[name]
