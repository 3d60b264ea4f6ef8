"""Exercises of lesson 03, hooks and feature maps."""

from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Any

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    nearest_mistake,
    number,
    prediction,
    right,
    wrong,
)
from vizhelpers.exercises.trials import Trial, own_function, same, shipped_scene, try_out

if TYPE_CHECKING:
    from torch import Tensor

HOUSE = "house_on_space_0"
EVEN_ENOUGH = 10  # how many times as large the largest gradient may be as the smallest
SAME_DIRECTION = 0.999  # cosine


@prediction("03.p1")
def needed(found: str) -> str:
    """Which of three maps does the answer need?"""
    return found.lower()


@prediction("03.p2")
def leaked(found: int) -> str:
    """How many maps does the third run store?"""
    return "abc"[found - 1]


@prediction("03.p3")
def brightest(found: int) -> str:
    """In how many of 99 pictures is the brightest map the most needed one?"""
    return "a" if found > 66 else "b" if found > 33 else "c"


@prediction("03.p4")
def changed_gradient(found: float) -> tuple[str, dict[str, object]]:
    """What becomes of x.grad, if a hook multiplies the gradient of y by ten?"""
    return {6: "a", 18: "b"}.get(round(found), "c"), {"gradient": f"{found:g}"}


@prediction("03.p5")
def vanished(found: float) -> tuple[str, dict[str, object]]:
    """How many times smaller is the gradient with sigmoids?"""
    letter = "a" if found < 100 else "b" if found < 10_000 else "c"
    return letter, {"times": f"{float(f'{found:.1g}'):,.0f}"}


@prediction("03.p6")
def first_backward(found: str) -> str:
    """Which hook is the first to fire on the way back?"""
    return {"hook on the output": "a", "hook on the weight": "b"}.get(found, "c")


@exercise("03.mend")
def mend(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Mend a function that leaks its hook, keeps the graph and is overwritten by a ReLU."""
    import torch

    function = own_function(answer, ready="capture")
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
    """A convolution before an in-place ReLU, and what leads to three scores; and a picture."""
    import torch
    from torch import nn

    from vizhelpers._utils.random_numbers import own_random_numbers

    with own_random_numbers(0):
        picture = torch.rand(1, 3, 8, 8)
        layers = OrderedDict[str, nn.Module](
            conv=nn.Conv2d(3, 4, 3),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
            flat=nn.Flatten(),
            fc=nn.Linear(36, 3),
        )
        return nn.Sequential(layers), picture


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


@exercise("03.open")
def open_pair(answer: object) -> Outcome:
    """Find a scene and two channels that change the answer together, and neither alone."""
    if not isinstance(answer, list | tuple):
        raise WrongKindError("list")
    if len(answer) != 3 or not isinstance(answer[0], str):
        return wrong("form")
    name, *pair = answer[0], number(answer[1]), number(answer[2])
    scenes, model = _scenes_and_model()
    if name not in scenes.names:
        return wrong("scene", name=name)
    count = len(vh.capture(model, vh.normalize(scenes.images[:1]), "layer1").map)
    if not all(each in range(count) for each in pair) or pair[0] == pair[1]:
        return wrong("range", last=count - 1)
    first, second = sorted(map(int, pair))
    off = ((), (first,), (second,), (first, second))
    before, *alone, both = (_says_without(name, channels) for channels in off)
    values = {"name": name, "first": first, "second": second, "before": before, "both": both}
    if before != scenes[name].object:
        return wrong("before", truth=scenes[name].object, **values)
    for channel, says in zip((first, second), alone, strict=True):
        if says != before:
            return wrong("alone", channel=channel, says=says, **values)
    return wrong("together", **values) if both == before else right(**values)


@cache
def _scenes_and_model() -> tuple[Any, Any]:
    return vh.load_scenes(), vh.load_model("resnet18")


@cache
def _says_without(name: str, channels: tuple[int, ...]) -> str:
    """What ResNet18 says to a scene without some channels of layer1."""
    import torch

    from vizhelpers.lessons.lesson_03.measurements import channels_off

    scenes, model = _scenes_and_model()
    image = vh.normalize(scenes[name].image)[None]
    with torch.no_grad(), model.layer1.register_forward_hook(channels_off(*channels)):
        return vh.CLASSES[int(model(image).argmax())]


@exercise("03.gradient")
def gradient(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Write a function that returns a layer's gradient, also before an in-place ReLU."""
    import torch

    function = own_function(answer, ready="capture")
    model, picture = _small_network()
    trial = try_out(function, model, "conv", picture, model=model)
    found = trial.found
    if "BackwardHookFunction" in trial.problem:
        return wrong("full_hook", problem=trial.problem.partition(".")[0])
    if "RemovableHandle" in trial.problem:
        return wrong("handle", problem=trial.problem)
    if trial.problem:
        return wrong("fails", problem=trial.problem, place=trial.place)
    expected, after_relu, output = _gradients(model, picture)
    if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
        return wrong("shape", found=found, expected=list(expected.shape))
    if "hooks" in trial.left:
        return wrong("leak", left=trial.left["hooks"])
    if same(found, expected):
        return right(stopped=int((after_relu[expected == 0] != 0).sum()), total=expected.numel())
    mistakes = (("after_relu", after_relu), ("output", output), ("output", output.relu()))
    return wrong(next((key for key, made in mistakes if same(found, made)), "other"))


def _gradients(model: Any, picture: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
    """Of the largest score: at the convolution's output, behind the ReLU; and that output."""
    import torch

    output = model.conv(picture)
    positive = output.relu()  # not the model's own, which works in place
    scores = model.fc(model.flat(model.pool(positive)))
    first, second = torch.autograd.grad(scores.max(), (output, positive))
    return first, second, output.detach()


@exercise("03.even")
def even(answer: object) -> Outcome:
    """Hooks that make the gradients of a deep network even, and change nothing else."""
    import torch

    function = own_function(answer)
    model, batch = _deep_network()
    plain, before = _weight_gradients(model, batch)

    def attach_and_train(model: Any, batch: "Tensor") -> Any:
        function(model)
        return _weight_gradients(model, batch)

    trial: Trial = try_out(attach_and_train, model, batch, model=model)
    if trial.problem:
        return wrong("fails", problem=trial.problem)
    output, after = trial.found
    if not torch.allclose(output, plain, atol=1e-5):
        return wrong("answer")
    cosines = [
        float(torch.cosine_similarity(old.double().flatten(), new.double().flatten(), dim=0))
        for old, new in zip(before, after, strict=True)
    ]
    if not min(cosines) > SAME_DIRECTION:  # also where it is not a number
        return wrong("direction", layer=cosines.index(min(cosines)))
    values = {"before": f"{_spread(before):,.0f}", "after": f"{_spread(after):,.1f}"}
    return right(**values) if _spread(after) <= EVEN_ENOUGH else wrong("uneven", **values)


def _deep_network() -> tuple[Any, "Tensor"]:
    """Eight linear layers, each before a sigmoid; and a batch."""
    import torch
    from torch import nn

    from vizhelpers._utils.random_numbers import own_random_numbers

    with own_random_numbers(0):
        layers = [layer for _ in range(8) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
        return nn.Sequential(*layers), torch.rand(4, 16)


def _weight_gradients(model: Any, batch: "Tensor") -> "tuple[Tensor, list[Tensor]]":
    """What the model returns, and the gradient of each layer's weights after a backward pass."""
    import torch

    output = model(batch)
    output.sum().backward()
    weights = [layer.weight for layer in model if isinstance(layer, torch.nn.Linear)]
    found = [weight.grad for weight in weights if weight.grad is not None]
    model.zero_grad()
    return output.detach(), found


def _spread(gradients: "list[Tensor]") -> float:
    """How many times as large the largest is as the smallest, by mean size."""
    sizes = [float(each.abs().mean()) for each in gradients]
    return max(sizes) / min(sizes)
