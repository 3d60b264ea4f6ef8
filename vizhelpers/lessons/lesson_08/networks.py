"""Networks of different kinds, as learners may bring them, and the pictures that each is for."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers._utils.paths import DATA
from vizhelpers._utils.random_numbers import own_random_numbers
from vizhelpers.zoo.architectures import first_conv

OWN_MODEL = DATA / "own_model"
"""A folder as one gets it from somebody: a class in a Python file, and a checkpoint."""

OWN_SIZE = 32
"""Height and width of the pictures that the network in that folder was trained on."""

_HALF = (0.5,)  # mean and standard deviation of the photo network's colours, and of grey


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, and what one has to know about it before its pictures mean anything.

    Attributes:
        model: In eval mode.
        images: `[N, C, H, W]` in [0, 1].
        transform: From such pictures to what the model takes.
        classes: Names of its classes, in order.
        output: From what the model returns to the scores, where that is no tensor.
    """

    model: nn.Module
    images: Tensor
    transform: Callable[[Tensor], Tensor] = vh.normalize
    classes: tuple[str, ...] = field(default=tuple(vh.CLASSES), repr=False)
    output: Callable[[Any], Tensor] | None = None

    @property
    def batch(self) -> Tensor:
        """The pictures as the model takes them."""
        return self.transform(self.images)


class Segmenter(nn.Module):
    """A ResNet classifier made fully convolutional: it says of each place what is there.

    Its last layer, which multiplied the mean of the last maps, multiplies every place of them
    (Long et al. 2015). Nothing is trained anew.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        layers = deepcopy(dict(classifier.named_children()))
        linear = layers.pop("fc")
        assert isinstance(linear, nn.Linear)
        del layers["avgpool"]
        self.backbone = nn.Sequential()
        for name, layer in layers.items():
            self.backbone.add_module(name, layer)
        # Draws no numbers: the global generator stays as it is.
        sizes = linear.in_features, linear.out_features
        self.head = nn.utils.skip_init(nn.Conv2d, *sizes, kernel_size=1)  # type: ignore[no-untyped-call]
        self.head.weight = nn.Parameter(linear.weight.detach()[:, :, None, None])
        self.head.bias = nn.Parameter(linear.bias.detach())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the scores in the picture's size as "out", the last maps as "features"."""
        features = self.backbone(x)
        out = F.interpolate(self.head(features), x.shape[2:], mode="bilinear")
        return {"out": out, "features": features}


def class_scores(found: dict[str, Tensor]) -> Tensor:
    """Make one score for each class of what a `Segmenter` returns: the mean over all places."""
    return found["out"].mean(dim=(2, 3))


def grey_twin(model: nn.Module) -> nn.Module:
    """Copy a network that takes colour for grey pictures `[N, 1, H, W]`.

    To a colour network grey is three equal channels. So the three planes of each kernel of its
    first layer can be added up to one: the answers stay the same.

    Args:
        model: A network whose colours are all normalised alike; it is left as it was.
    """
    twin = deepcopy(model)
    conv = first_conv(twin)
    conv.weight = nn.Parameter(conv.weight.detach().sum(dim=1, keepdim=True))
    conv.in_channels = 1
    return twin


def grey(images: Tensor) -> Tensor:
    """Take the colour out of pictures: `[N, 3, H, W]` becomes `[N, 1, H, W]`."""
    from torchvision.transforms.functional import rgb_to_grayscale

    return rgb_to_grayscale(images)


def half(images: Tensor) -> Tensor:
    """Normalise pictures of any number of channels from [0, 1] to [-1, 1]."""
    channels = images.shape[-3]
    return vh.normalize(images, _HALF * channels, _HALF * channels)


def vision_transformer(seed: int = 0) -> nn.Module:
    """Build timm's smallest vision transformer for 224×224 pictures, with random weights."""
    from timm.models import create_model

    with own_random_numbers(seed):
        return create_model("vit_tiny_patch16_224", pretrained=False).eval()


def untrained_resnet(seed: int = 0) -> nn.Module:
    """Build torchvision's ResNet18 as `resnet18(weights=None)` does: with random weights."""
    from torchvision.models import resnet18

    with own_random_numbers(seed):
        return resnet18(weights=None).eval()


def own_network() -> nn.Module:
    """Load the network in `OWN_MODEL`, with its weights."""
    return vh.zoo.load_your_model(
        f"{OWN_MODEL / 'resnet_cifar.py'}:ResNetCifar",
        weights=OWN_MODEL / "checkpoint.pth",
        prefix="module.",
    )


def small(images: Tensor, size: int = OWN_SIZE) -> Tensor:
    """Shrink or enlarge square pictures, smoothly."""
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)


def six_models() -> dict[str, Subject]:
    """Six models of different kinds, each with pictures that it can look at.

    Returns:
        By a short name: torchvision's untrained ResNet18, the photo network out of timm, the
        network of a stranger's folder for 32×32 pictures, a vision transformer, a network for
        grey pictures, and one that returns a dict of scores for each place.
    """
    photos, scenes = vh.zoo.load_photos().images, vh.load_scenes(limit=6).images
    expert = vh.load_model("efficientnet_lite0")
    info: Any = expert.info
    names = partial(Subject, classes=info.classes)
    segmenter = Segmenter(vh.load_model("resnet18")).eval()
    return {
        "torchvision": names(untrained_resnet(), photos),
        "timm": names(expert, photos, half),
        "own": Subject(own_network(), small(scenes)),
        "transformer": names(vision_transformer(), photos, half),
        "grey": names(grey_twin(expert), grey(photos), half),
        "segmentation": Subject(segmenter, scenes, output=class_scores),
    }
