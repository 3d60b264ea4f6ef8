"""Architectures of the course's networks: torchvision's AlexNet, VGG11 and ResNet18, made narrow.

Every submodule has the name and the type that it has in torchvision, so what a learner finds out
about `features.3` or `layer4.1.conv2` here is true of the full-size network as well.
"""

from collections.abc import Callable
from typing import cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import AlexNet, ResNet
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import VGG, make_layers

INPUT_SIZE = 128
"""Height and width of the images that the course's networks were trained on."""


class NarrowAlexNet(AlexNet):  # type: ignore[misc]  # torchvision has no types
    """AlexNet with 48 to 128 channels instead of 64 to 384, for 128×128 images.

    Args:
        num_classes: Number of outputs.
        batch_norm: Put a BatchNorm after every convolution, for training; `fold_batch_norm`
            takes them out again and with that restores torchvision's layer indices.
    """

    def __init__(self, num_classes: int = 10, *, batch_norm: bool = False) -> None:
        # Not AlexNet's own __init__: it would draw 61 million weights to throw them away.
        nn.Module.__init__(self)

        def conv(
            inputs: int, outputs: int, kernel: int, padding: int, stride: int = 1
        ) -> list[nn.Module]:
            norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
            return [
                nn.Conv2d(inputs, outputs, kernel, stride, padding),
                *norm,
                nn.ReLU(inplace=True),
            ]

        self.features = nn.Sequential(
            *conv(3, 48, 11, padding=2, stride=4),
            nn.MaxPool2d(kernel_size=3, stride=2),
            *conv(48, 96, 5, padding=2),
            nn.MaxPool2d(kernel_size=3, stride=2),
            *conv(96, 128, 3, padding=1),
            *conv(128, 96, 3, padding=1),
            *conv(96, 96, 3, padding=1),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((3, 3))
        self.classifier = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(96 * 3 * 3, 128),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Linear(128, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, num_classes),
        )
        _initialise(self)


class NarrowVGG11(VGG):  # type: ignore[misc]  # torchvision has no types
    """VGG11 with 16 to 96 channels instead of 64 to 512, for 128×128 images.

    Args:
        num_classes: Number of outputs.
        batch_norm: As in `NarrowAlexNet`.
    """

    def __init__(self, num_classes: int = 10, *, batch_norm: bool = False) -> None:
        nn.Module.__init__(self)  # as above: VGG's own would draw 129 million weights
        widths: list[str | int] = [16, "M", 32, "M", 64, 64, "M", 96, 96, "M", 96, 96, "M"]
        self.features = make_layers(widths, batch_norm=batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(96 * 2 * 2, 128),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Linear(128, 128),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Linear(128, num_classes),
        )
        _initialise(self)


class NarrowResNet18(ResNet):  # type: ignore[misc]  # torchvision has no types
    """ResNet18 with 16 to 128 channels instead of 64 to 512, for 128×128 images.

    `layer4` keeps the resolution of `layer3`, so the last map is 8×8 and not 4×4: class activation
    maps are made from it. Its BatchNorms stay, as they do in torchvision's network.

    Args:
        num_classes: Number of outputs.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes)
        self.conv1 = nn.Conv2d(3, 16, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.inplanes = 16  # _make_layer counts on from here
        self.layer1 = self._make_layer(BasicBlock, 16, 2)
        self.layer2 = self._make_layer(BasicBlock, 32, 2, stride=2)
        self.layer3 = self._make_layer(BasicBlock, 64, 2, stride=2)
        self.layer4 = self._make_layer(BasicBlock, 128, 2, stride=1)
        self.fc = nn.Linear(128, num_classes)
        _initialise(self)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "alexnet": NarrowAlexNet,
    "vgg11": NarrowVGG11,
    "resnet18": NarrowResNet18,
}
"""The course's networks by torchvision's names, each made with fresh weights when called."""


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Fold every BatchNorm of `model.features` into the convolution before it.

    In eval mode a BatchNorm multiplies and shifts each channel, which the convolution's own
    weights can do just as well: the outputs stay the same up to rounding.

    Args:
        model: A network with a Sequential `features`; it is changed in place and put in eval mode.

    Returns:
        The same model; without `features` (ResNet18) it only is in eval mode.
    """
    model.eval()
    if not isinstance(getattr(model, "features", None), nn.Sequential):
        return model
    layers: list[nn.Module] = []
    for layer in cast(nn.Sequential, model.features):
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(cast(nn.Conv2d, layers[-1]), layer)
        else:
            layers.append(layer)
    model.features = nn.Sequential(*layers)
    return model


def first_conv(model: nn.Module) -> nn.Conv2d:
    """Return the convolution that sees the image itself."""
    return next(m for m in model.modules() if isinstance(m, nn.Conv2d))


def _initialise(model: nn.Module) -> None:
    """Draw convolutions as torchvision's ResNet does; linear layers keep PyTorch's default."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
