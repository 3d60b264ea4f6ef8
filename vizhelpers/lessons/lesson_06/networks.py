"""The networks of lesson 06."""

from __future__ import annotations

import torch
from torch import nn


def lenet(outputs: int = 1, activation: type[nn.Module] = nn.ReLU, extra: int = 0) -> nn.Sequential:
    """Build a network like LeNet (1998) for pictures ``[N, 3, 32, 32]``, always the same one.

    In double precision, so that its curves come out the same on every machine.

    Args:
        outputs: How many scores it gives.
        activation: What follows each layer.
        extra: Fully connected layers beside the usual two.

    Example:
        >>> lenet(10)(torch.zeros(1, 3, 32, 32).double()).shape
        torch.Size([1, 10])
    """
    torch.manual_seed(0)
    model = nn.Sequential()
    for name, layer in (
        *(("conv1", nn.Conv2d(3, 6, 5)), ("act1", activation()), ("pool1", nn.MaxPool2d(2))),
        *(("conv2", nn.Conv2d(6, 16, 5)), ("act2", activation()), ("pool2", nn.MaxPool2d(2))),
        *(("flatten", nn.Flatten()), ("fc1", nn.Linear(400, 84)), ("act3", activation())),
        *((f"extra{i}", nn.Sequential(nn.Linear(84, 84), activation())) for i in range(extra)),
        ("last", nn.Linear(84, outputs)),
    ):
        model.add_module(name, layer)
    return model.double()


def small_network() -> nn.Sequential:
    """Build a small network for any picture ``[N, 3, H, W]``: two convolutions, one answer.

    Example:
        >>> small_network()(torch.zeros(1, 3, 32, 32)).shape
        torch.Size([1, 1])
    """
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5), nn.MaxPool2d(2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 32), nn.ReLU()),
        *(nn.Linear(32, 1), nn.Sigmoid()),
    )
