"""Networks small enough for a test, by names that the command line can be given."""

import torch
from torch import nn


class Small(nn.Module):
    """Two convolutions and a linear layer, which wants pictures of 24 x 20."""

    def __init__(self, height: int = 24, width: int = 20) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.early = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU())
            self.late = nn.Conv2d(6, 8, 3, stride=2, padding=1)
            self.pair = Pair()
            self.head = nn.Linear(8 * (height // 4) * (width // 4), 10)
            self.unused = nn.Linear(2, 2)
        self.calls = 0

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        features = self.pair(self.late(self.early(picture)))[0]
        self.calls += 1
        return self.head(features.flatten(1))


class Pair(nn.Module):
    def forward(self, features):
        return features, features


def small() -> Small:
    return Small()


instance = Small()
number = 3


def without_a_module() -> str:
    return "none"


def failing() -> Small:
    raise RuntimeError("no weights\nand more lines")


def leaving() -> Small:
    raise SystemExit("gone")


def demanding(path: str) -> Small:
    raise AssertionError(path)
