"""The three unnamed training runs of lesson 06: what is wrong with each?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn


class Setting(NamedTuple):
    """How one of the three networks is trained.

    Attributes:
        pictures: How many pictures it learns from.
        repeat: How often it sees each of them in an epoch.
        activation: What follows each layer.
        extra: How many fully connected layers it has beside the usual two.
        batch: Pictures in one step.
    """

    pictures: int
    repeat: int
    activation: type[nn.Module]
    extra: int
    batch: int


def mystery(letter: str) -> Setting:
    """What makes the network A, B or C of the lesson special."""
    from torch import nn

    return {
        "A": Setting(40, 3, nn.ReLU, extra=0, batch=8),
        "B": Setting(400, 1, nn.ReLU, extra=0, batch=32),
        "C": Setting(400, 1, nn.Sigmoid, extra=3, batch=32),
    }[letter]
