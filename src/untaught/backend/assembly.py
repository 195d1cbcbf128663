"""Networks as one module that runs on the engine's device: compiled kernels where they exist, plain torch elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from untaught.backend.cpu.evaluation import evaluate
from untaught.backend.cpu.network import CompiledNetwork, can_compile
from untaught.kernels import Kernels
from untaught.priors.encoder_decoder import EncoderDecoder
from untaught.priors.independent import Independent, concatenate_layers

__all__ = ["Assembly", "has_kernels"]


class Assembly(nn.Module):
    """One module for a batch, made of one network per picture and layer.

    ``state_dict()`` has the names that the networks have without it: those of the network itself if there is one,
    those of `Independent` if there are several.

    Args:
        networks: picture after picture, and for each picture layer after layer; (1, c, H, W) to (1, C, H, W) each.
        layers: networks per picture, whose outputs are concatenated along the channels.
        arithmetic: type of the tensors between the layers of an `EncoderDecoder`; another module runs in the type of
            its own weights.
        kernels: compiled kernels for that type, or None.

    >>> from untaught.priors.encoder_decoder import NetworkSettings
    >>> settings = NetworkSettings(down_channels=(8,), up_channels=(8,), skip_channels=(4,))
    >>> Assembly([EncoderDecoder(settings, 3)])(torch.rand(1, 32, 16, 16)).shape
    torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        layers: int = 1,
        arithmetic: torch.dtype = torch.float32,
        kernels: Kernels | None = None,
    ) -> None:
        super().__init__()
        self.network = networks[0] if len(networks) == 1 else Independent(networks, layers)
        self.arithmetic = arithmetic
        self._members = list(networks)
        self._layers = layers
        self._kernels = kernels
        self._compiled: dict[int, CompiledNetwork] = {}

    def forward(self, x: Tensor) -> Tensor:
        """(N, c, H, W) to (N, C of all layers, H, W), float32."""
        x = x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.contiguous_format)
        if len(self._members) == 1:
            return self._evaluate([x])[0]
        outputs = self._evaluate([part for part in torch.split(x, 1) for _ in range(self._layers)])
        return concatenate_layers(outputs, self._layers)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """State of the networks, under their own names."""
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load a state that `state_dict` gave."""
        return self.network.load_state_dict(state_dict, *args, **kwargs)

    def _evaluate(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Each network's output for its own input; networks on compiled kernels run at the same time."""
        outputs: list[Tensor | None] = [None] * len(inputs)
        compiled: list[tuple[int, EncoderDecoder, CompiledNetwork, Tensor, Tensor]] = []
        for number, (network, given) in enumerate(zip(self._members, inputs, strict=True)):
            if not isinstance(network, EncoderDecoder):
                outputs[number] = network(given.to(_type_of(network))).float()
                continue
            x = given.to(self.arithmetic)
            padded = network.pad(x)
            runner = self._compiled_for(number, network, padded)
            if runner is None:
                outputs[number] = network(x)
            else:
                compiled.append((number, network, runner, x, padded))
        if compiled:
            results = evaluate([one[2] for one in compiled], [one[4] for one in compiled])
            for (number, network, _, x, padded), result in zip(compiled, results, strict=True):
                outputs[number] = network.finish(result, padded.shape[2:], x.shape[2:])
        return [output for output in outputs if output is not None]

    def _compiled_for(self, number: int, network: EncoderDecoder, x: Tensor) -> CompiledNetwork | None:
        kernels = self._kernels
        if kernels is None or not has_kernels(network) or len(x) != 1 or x.requires_grad:
            return None
        if x.dtype != kernels.dtype or x.device.type != "cpu":
            return None
        if number not in self._compiled or self._compiled[number].size != x.shape[-2:]:
            self._compiled[number] = CompiledNetwork(network, x.shape[-2], x.shape[-1], kernels)
        return self._compiled[number]


def has_kernels(network: nn.Module) -> bool:
    """Whether there are compiled kernels for every part of a network."""
    # A subclass may compute something else.
    return type(network) is EncoderDecoder and can_compile(network.settings)


def _type_of(network: nn.Module) -> torch.dtype:
    """The type of a module's weights; float32 where it has none."""
    return next((parameter.dtype for parameter in network.parameters() if parameter.is_floating_point()), torch.float32)
