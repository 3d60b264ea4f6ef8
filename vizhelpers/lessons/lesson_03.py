"""Exercises of lesson 03, hooks and feature maps."""

from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Any

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    exercise,
    nearest_mistake,
    number,
    right,
    wrong,
)
from vizhelpers.exercises.trials import own_function, same, shipped_scene, try_out

if TYPE_CHECKING:
    from torch import Tensor

HOUSE = "house_on_space_0"


@exercise("03.mend")
def mend(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Mend a function that leaks its hook, keeps the graph and is overwritten by a ReLU."""
    import torch

    function = own_function(answer)
    model, picture = _small_network()
    with torch.no_grad():
        expected = model.conv(picture)
    trial = try_out(function, model, "conv", picture, model=model)
    found = trial.found
    if trial.problem:
        return wrong("fails", problem=trial.problem, place=trial.place)
    if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
        return wrong("shape", found=found, expected=list(expected.shape))
    if "hooks" in trial.left:
        return wrong("leak", left=trial.left["hooks"])
    if found.requires_grad:
        return wrong("graph")
    if not same(found, expected):
        return wrong("overwritten" if same(found, expected.relu()) else "other")
    model.pool.register_forward_pre_hook(_break)
    if "hooks" in try_out(function, model, "conv", picture, model=model).left:
        return wrong("after_an_error")
    return right(negative=int((expected < 0).sum()), total=expected.numel())


def _small_network() -> tuple[Any, "Tensor"]:
    """A convolution before an in-place ReLU and a pooling; and a picture."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = OrderedDict(
            conv=nn.Conv2d(3, 4, 3), relu=nn.ReLU(inplace=True), pool=nn.MaxPool2d(2)
        )
        return nn.Sequential(layers), torch.rand(1, 3, 8, 8)


def _break(*_: object) -> None:
    raise RuntimeError("this network breaks on purpose, after its ReLU")


@exercise("03.channel")
def channel(answer: object) -> Outcome:
    """Which channel of `bn1` matters most when ResNet18 looks at the house in space?"""
    given = number(answer)
    maps, before, after = _ablated()
    order = after.argsort().tolist()  # the most needed first
    values = {"count": len(order), "before": f"{before:.0%}"}
    if given not in order:
        return wrong("range", last=len(order) - 1, **values)
    values |= {"rank": order.index(int(given)) + 1, "after": f"{after[int(given)]:.0%}"}
    if given == order[0]:
        return right(second=f"{after[order[1]]:.0%}", **values)
    mistakes: dict[float, str] = {
        order[-1]: "least",
        int(maps.relu().mean((1, 2)).argmax()): "average",
        int(maps.amax((1, 2)).argmax()): "strongest",
    }
    return wrong(nearest_mistake(given, mistakes), **values)


@cache
def _ablated() -> tuple["Tensor", float, "Tensor"]:
    """The maps of `bn1`; the probability of "house"; and with each channel at zero."""
    import torch

    model: Any = vh.load_model("resnet18")
    house = vh.normalize(shipped_scene(HOUSE).images)
    maps = vh.capture(model, house, "bn1")["bn1"][0][0]
    channels = torch.arange(len(maps))

    def silence(module: object, inputs: object, output: "Tensor") -> "Tensor":
        output = output.clone()
        output[channels, channels] = 0
        return output

    with torch.no_grad():
        before = model(house).softmax(dim=1)[0]
        with model.bn1.register_forward_hook(silence):
            after = model(house.expand(len(maps), -1, -1, -1)).softmax(dim=1)
    return maps, float(before.max()), after[:, before.argmax()]


@exercise("03.dead")
def dead(answer: object) -> Outcome:
    """How many maps of VGG11's last ReLU are dead for the house in space?"""
    given, zeros = number(answer), _zeros()
    count, expected = len(zeros), int(zeros.all(dim=1).sum())
    some = int(zeros.any(dim=1).sum())
    mistakes: dict[float, str] = {
        0: "before_relu",
        count - expected: "alive",
        some: "some",
        int(zeros.sum()): "points",
    }
    if given == expected:
        return right(count=count, points=f"{zeros.float().mean():.0%}", some=some)
    return wrong(nearest_mistake(given, mistakes), count=count)


@cache
def _zeros() -> "Tensor":
    """Where the maps of VGG11's last ReLU are zero: `[maps, positions]`."""
    house = vh.normalize(shipped_scene(HOUSE).images)
    found = vh.capture(vh.load_model("vgg11"), house, "features.19")
    return found["features.19"][0][0].flatten(1) == 0
