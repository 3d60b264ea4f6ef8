"""Awkward little models that every helper must cope with, shared by all tests.

`ALL` maps a name to a `Case`: `make()` gives a fresh model, `example()` fresh inputs, and
`build()` both, seeded, so that a test reads::

    @pytest.mark.parametrize("name", ALL)
    def test_something(name):
        model, inputs = ALL[name].build()
        output = model(*inputs)

Every model in `ALL` runs; the models in `BROKEN` raise in `forward`. Models come in the mode
that makes them awkward, which is mostly training mode. Images are 16×16, batches hold two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5


class Case(NamedTuple):
    """How to make one model and the inputs it is called with."""

    make: Callable[[], nn.Module]
    example: Callable[[], tuple[Tensor, ...]]

    def build(self, seed: int = 0) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """The model and its inputs, the same ones at every call; the caller's RNG is kept."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make(), self.example()


def image(channels: int = 3) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.rand(2, channels, 16, 16),)


class Plain(nn.Module):
    """`features` and `classifier` as in torchvision's VGG, with indices for names."""

    def __init__(self, channels: int = 3, inplace: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.ReLU(inplace),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.ReLU(inplace),
            nn.AdaptiveAvgPool2d(2),
        )
        self.classifier = nn.Linear(12 * 2 * 2, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


class ResidualBlock(nn.Module):
    """torchvision's BasicBlock in small: one in-place ReLU called twice, and a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layer1 = nn.Sequential(ResidualBlock(8), ResidualBlock(8))
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer1(self.stem(x)).mean((2, 3)))


class DictOutput(Plain):
    """Answers with a dict, like torchvision's segmentation networks."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        maps = self.features(x)
        return {"features": maps, "logits": self.classifier(torch.flatten(maps, 1))}


class Pyramid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 4, 3, padding=1)
        self.coarse = nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.fine(x)
        return {"fine": fine, "coarse": self.coarse(fine)}


class InnerDict(nn.Module):
    """A module in the middle of the network answers with a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.pyramid = Pyramid()
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.pyramid(x)
        return self.fc(maps["fine"].mean((2, 3)) + maps["coarse"].mean((2, 3)))


class TupleOutput(Plain):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        maps = self.features(x)
        return self.classifier(torch.flatten(maps, 1)), maps


class Scores(NamedTuple):
    logits: Tensor
    aux_logits: Tensor | None


class NamedTupleOutput(Plain):
    """Like torchvision's GoogLeNet, whose second field may be None."""

    def forward(self, x: Tensor) -> Scores:  # type: ignore[override]
        return Scores(super().forward(x), None)


class SharedRelu(nn.Module):
    """One ReLU, one name, called after each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.fc(x.mean((2, 3)))


class SharedConv(nn.Module):
    """One convolution under two names: `first` and `second` share their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.second = self.first
        self.fc = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.fc(torch.relu(self.second(x)).mean((2, 3)))


class Recurrent(nn.Module):
    """One convolution called three times on growing inputs, and an LSTM with tuple outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.tanh(self.conv(x))
        steps, _ = self.lstm(x.mean(2).transpose(1, 2))
        return self.fc(steps[:, -1])


class BatchNormNet(nn.Module):
    """BatchNorm and dropout: in training mode a forward pass changes buffers and uses the RNG."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.relu(self.bn(self.conv(x))).mean((2, 3))))


def frozen_backbone() -> nn.Module:
    """Fine-tuning as it is really done: frozen weights, BatchNorm in eval, the rest training."""
    model = BatchNormNet()
    for parameter in (*model.conv.parameters(), *model.bn.parameters()):
        parameter.requires_grad_(False)
    model.train()
    model.bn.eval()
    return model


def frozen_everything() -> nn.Module:
    return BatchNormNet().requires_grad_(False).eval()


class TwoInputs(nn.Module):
    """An image and a vector of numbers that describe it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.embed = nn.Linear(4, 6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, image: Tensor, facts: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(image).mean((2, 3)) + self.embed(facts)))


class Functional(nn.Module):
    """Half of the network is invisible in `print(model)`; one weight belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2) * self.scale
        return F.log_softmax(self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)), dim=1)


class ControlFlow(nn.Module):
    """Which branch runs depends on the numbers in the image."""

    def __init__(self) -> None:
        super().__init__()
        self.bright = nn.Conv2d(3, 4, 3, padding=1)
        self.dark = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bright if x.mean() > 0.25 else self.dark
        return self.fc(branch(x).mean((2, 3)))


class Keywords(nn.Module):
    """Submodules are called with keyword arguments, so hooks see an empty `args`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(input=self.conv(input=x).mean((2, 3)))


class Attention(nn.Module):
    """`nn.MultiheadAttention` answers with a tuple and calls no submodule for its projections."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return self.fc((tokens + mixed).mean(1))


def vit() -> nn.Module:
    """torchvision's own VisionTransformer, two blocks of it."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=16,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=CLASSES,
    )


class Listed(nn.Module):
    """Containers that are never called themselves, and a layer that is declared but not used."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        self.heads = nn.ModuleDict({"small": nn.Linear(3, CLASSES), "unused": nn.Linear(3, 9)})

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = torch.relu(conv(x))
        return self.heads["small"](x.mean((2, 3)))


class Words(nn.Module):
    """Takes integers, not floats."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.embedding(x).mean(1))


class WrongLinear(nn.Module):
    """A shape bug: `fc1` expects 1600 features and gets 16 · 4 · 4 = 256."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc1 = nn.Linear(1600, 32)
        self.fc2 = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


class WrongChannels(nn.Module):
    """A shape bug one level down: `body.1` expects 12 channels and gets 8."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(12, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Refuses(nn.Module):
    """Raises in the middle of its forward pass, for a reason that has nothing to do with shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        self.drop(self.bn(self.conv(x)))
        raise RuntimeError("this network never answers")


ALL: dict[str, Case] = {
    "plain": Case(Plain, image()),
    "one_channel": Case(lambda: Plain(channels=1), image(1)),
    "inplace_relu": Case(lambda: Plain(inplace=True), image()),
    "residual": Case(Residual, image()),
    "dict_output": Case(DictOutput, image()),
    "inner_dict": Case(InnerDict, image()),
    "tuple_output": Case(TupleOutput, image()),
    "named_tuple_output": Case(NamedTupleOutput, image()),
    "shared_relu": Case(SharedRelu, image()),
    "shared_conv": Case(SharedConv, image()),
    "recurrent": Case(Recurrent, image()),
    "batch_norm": Case(BatchNormNet, image()),
    "frozen_backbone": Case(frozen_backbone, image()),
    "frozen_everything": Case(frozen_everything, image()),
    "two_inputs": Case(TwoInputs, lambda: (torch.rand(2, 3, 16, 16), torch.rand(2, 4))),
    "functional": Case(Functional, image()),
    "control_flow": Case(ControlFlow, image()),
    "keywords": Case(Keywords, image()),
    "attention": Case(Attention, image()),
    "vit": Case(vit, image()),
    "listed": Case(Listed, image()),
    "words": Case(Words, lambda: (torch.randint(0, 20, (2, 7)),)),
    "one_layer": Case(lambda: nn.Conv2d(3, 4, 3), image()),
}

BROKEN: dict[str, Case] = {
    "wrong_linear": Case(WrongLinear, image()),
    "wrong_channels": Case(WrongChannels, image()),
    "refuses": Case(Refuses, image()),
}
