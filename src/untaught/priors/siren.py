"""SIREN (Sitzmann et al., 2020): a picture as a function of the coordinates, with sine activations.

The network has no spatial structure: each pixel's value depends on its coordinates alone, so a fully connected network
is a stack of 1x1 convolutions over a coordinate grid. What it prefers comes from the frequencies that it starts with,
that is, from omega0 and the initial weights.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from untaught.priors.architecture import Architecture, Head, widened
from untaught.priors.blocks import Convolution
from untaught.settings import settings

__all__ = ["Siren", "SirenNetwork"]


class SirenNetwork(nn.Module):
    """SIREN: (N, 2, H, W), coordinates in [0, 1], to (N, output_channels, H, W), float32.

    Args:
        settings: the architecture.
        output_channels: channels of the picture.
        generator: source of the initial weights.
    """

    def __init__(self, settings: Siren, output_channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.input_channels] + [settings.hidden_channels] * (settings.hidden_layers + 1)
        self.layers = nn.ModuleList(
            Convolution(before, after, generator=generator) for before, after in itertools.pairwise(widths)
        )
        self.head = Convolution(settings.hidden_channels, output_channels, generator=generator)
        for index, layer in enumerate([*self.layers, self.head]):
            weight: Tensor = layer.get_parameter("weight")
            inputs = weight.shape[1]
            # The first layer covers several periods over the grid. In the others, what the weights add to the input
            # of a sine has unit variance.
            bound = math.sqrt(6 / inputs) / settings.omega0 if index else 1 / inputs
            with torch.no_grad():
                weight.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2, H, W), float32 or bfloat16, to (N, output_channels, H, W); all arithmetic is in float32."""
        x = 2 * widened(x) - 1
        for layer in self.layers:
            x = torch.sin(self.settings.omega0 * layer(x))
        x = self.head(x)
        return torch.sigmoid(x) if self.settings.head == "sigmoid" else (1 + x) / 2


@settings
class Siren(Architecture):
    """Settings of SIREN; the defaults are those of the authors' code for fitting a picture.

    The input is a coordinate grid in [0, 1], x first, which the network stretches to the paper's [-1, 1]. The paper's
    output is linear with pictures in [-1, 1], so ``head="none"`` gives (1 + y) / 2: free, and centred in [0, 1]. The
    authors fit with Adam at a rate of 0.0001. Coordinates need float32: bfloat16 cannot tell neighbouring pixels of a
    picture wider than 128 apart.

    Source: Sitzmann, Martel, Bergman, Lindell and Wetzstein, "Implicit Neural Representations with Periodic Activation
    Functions", NeurIPS 2020: omega0 and the initial weights in section 3.2 and in the supplement, section 1.5.
    """

    module: ClassVar[Any] = SirenNetwork

    kind: Literal["siren"] = "siren"
    input_channels: Literal[2] = Field(default=2, description="channels of the coordinate grid, x first")
    hidden_channels: int = Field(default=256, ge=1, description="units of each hidden layer")
    hidden_layers: int = Field(default=3, ge=0, description="sine layers between the first one and the linear output")
    omega0: float = Field(
        default=30.0, gt=0, description="factor of what goes into each sine; higher fits finer detail first"
    )
    head: Head = Field(default="none", description="sigmoid keeps the output in [0, 1], none leaves it free")
