"""Exercises of lesson 03, hooks and feature maps."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    number,
    question,
    right,
    wrong,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

q1 = question("03.q1", right_choice="c")
q2 = question("03.q2", right_choice="a")
q3 = question("03.q3", right_choice="b")

HOUSE = "house_on_space_0"


@exercise("03.mend")
def mend(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Mend a function that leaks its hook, keeps the graph and is overwritten by a ReLU."""
    import torch
    from torch import Tensor

    if not callable(answer) or isinstance(answer, type | torch.nn.Module):
        raise WrongKindError("function")
    model, picture = _small_network(breaks=False)
    with torch.no_grad():
        expected = model.conv(picture)
    found, left, problem = _try_out(answer, model, picture)
    if problem is not None:
        return wrong("fails", problem=problem)
    if not isinstance(found, Tensor) or found.shape != expected.shape:
        return wrong("shape", found=found, expected=list(expected.shape))
    if left:
        return wrong("leak", left=left)
    if found.requires_grad:
        return wrong("graph")
    if torch.equal(found.to(expected), expected.relu()):
        return wrong("overwritten")
    if not torch.allclose(found.to(expected), expected):
        return wrong("other")
    _, left, _ = _try_out(answer, *_small_network(breaks=True))
    if left:
        return wrong("after_an_error", left=left)
    return right(negative=int((found < 0).sum()), total=found.numel())


def _small_network(*, breaks: bool) -> tuple[Any, "Tensor"]:
    """A convolution before an in-place ReLU, and a picture; it may fail after the two."""
    import torch
    from torch import nn

    def fail(*_: object) -> None:
        raise RuntimeError("this network breaks on purpose, after its ReLU")

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = nn.Sequential()
        model.add_module("conv", nn.Conv2d(3, 4, 3))
        model.add_module("relu", nn.ReLU(inplace=True))
        model.add_module("pool", nn.MaxPool2d(2))
        picture = torch.rand(1, 3, 8, 8)
    if breaks:
        model.pool.register_forward_pre_hook(fail)
    return model, picture


def _try_out(
    function: Callable[..., object], model: "nn.Module", picture: "Tensor"
) -> tuple[object, int, str | None]:
    """What the function returns, how many hooks it leaves behind, and its error's text."""
    from vizhelpers.state import preserve_state

    found, problem = None, None
    before = _hooks(model)
    with preserve_state(model):
        try:
            found = function(model, "conv", picture)
        except Exception as error:  # a function that is still broken is an answer, too
            problem = (str(error) or type(error).__name__).splitlines()[0]
        left = _hooks(model) - before
    return found, left, problem


def _hooks(model: "nn.Module") -> int:
    """How many forward hooks of either kind the model carries."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@exercise("03.channel")
def channel(answer: object) -> Outcome:
    """Which channel of `bn1` matters most when ResNet18 looks at the house in space?"""
    given = number(answer)
    maps, before, after = _ablated("resnet18", "bn1", HOUSE)
    drops = before - after
    order = drops.argsort(descending=True).tolist()
    expected, count = order[0], len(order)
    ranks = {channel: rank for rank, channel in enumerate(order, start=1)}
    mistakes = {
        order[-1]: "least",
        int(maps.relu().mean((1, 2)).argmax()): "average",
        int(maps.amax((1, 2)).argmax()): "strongest",
    }
    values = {"count": count, "before": f"{before:.0%}"}
    if given == expected:
        return right(after=f"{after[expected]:.0%}", second=f"{after[order[1]]:.0%}", **values)
    if given not in ranks:
        return wrong("range", last=count - 1, **values)
    rank, left = ranks[int(given)], f"{after[int(given)]:.0%}"
    return wrong(mistakes.get(int(given), "other"), rank=rank, after=left, **values)


def _ablated(network: str, layer: str, scene: str) -> tuple["Tensor", "Tensor", "Tensor"]:
    """A layer's maps; the probability of the predicted class; and with each channel at zero."""
    import torch

    from vizhelpers.layers import get_layer
    from vizhelpers.zoo.loading import load_model

    model, picture = load_model(network), _picture(scene)
    maps = _maps(model, layer, picture)
    channels = torch.arange(len(maps))

    def silence(module: object, inputs: object, output: "Tensor") -> "Tensor":
        output = output.clone()
        output[channels, channels] = 0
        return output

    with torch.no_grad():
        before = model(picture).softmax(dim=1)[0]
        predicted = before.argmax()
        with get_layer(model, layer).register_forward_hook(silence):
            after = model(picture.expand(len(maps), -1, -1, -1)).softmax(dim=1)
    return maps, before[predicted], after[:, predicted]


@exercise("03.dead")
def dead(answer: object) -> Outcome:
    """How many maps of VGG11's last ReLU are dead for the house in space?"""
    from vizhelpers.zoo.loading import load_model

    given = number(answer)
    model, picture = load_model("vgg11"), _picture(HOUSE)
    maps = _maps(model, "features.19", picture)
    zeros = maps == 0
    count = len(maps)
    expected = int(zeros.all(dim=2).all(dim=1).sum())
    some = int(zeros.any(dim=2).any(dim=1).sum())
    mistakes: dict[float, str] = {
        0: "before_relu",
        count - expected: "alive",
        some: "some",
        int(zeros.sum()): "points",
    }
    if given == expected:
        return right(count=count, points=f"{zeros.float().mean():.0%}", some=some)
    return wrong(mistakes.get(given, "other"), count=count)


def _maps(model: "nn.Module", layer: str, picture: "Tensor") -> "Tensor":
    from vizhelpers.hooks import capture

    return capture(model, picture, layer)[layer][0][0]


def _picture(name: str) -> "Tensor":
    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_scenes

    scenes = load_scenes()
    return normalize(scenes.images[scenes.names.index(name)])[None]
