"""Networks of lesson 08 that do not say something: whether they were trained, and on what."""

from typing import Any

import torch
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.lessons.lesson_08.networks import Subject, half, untrained_resnet


class _Unknown(nn.Module):
    """The photo network, behind a step that undoes a normalisation nobody wrote down."""

    def __init__(self) -> None:
        super().__init__()
        self.network = vh.load_model("efficientnet_lite0")
        # What it was is not to be read off this code at a glance. Measure it instead.
        a = torch.tensor([0.458, 0.448, 0.45])
        b = torch.tensor([-0.03, -0.088, -0.188])
        self.a = nn.Buffer(a[:, None, None])
        self.b = nn.Buffer(b[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return ImageNet's 1,000 scores."""
        return self.network(x * self.a + self.b)


def mystery_network() -> nn.Module:
    """A network that knows ImageNet's classes; how its input is to be normalised is not known."""
    return _Unknown().eval()


def two_networks() -> dict[str, Subject]:
    """Two classifiers of photos, called a and b: one was trained, the other was not."""
    photos = vh.zoo.load_photos("cat", "rocket", "palace", "flower").images
    trained = vh.load_model("efficientnet_lite0")
    info: Any = trained.info
    classes = tuple(info.classes)
    return {
        "a": Subject(trained, photos, half, classes),
        "b": Subject(untrained_resnet(), photos, classes=classes),
    }
