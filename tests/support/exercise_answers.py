"""Right and wrong answers to every exercise, as learners give them.

`test_exercises.py` demands an entry for each exercise, and a wrong answer for each wrong text in
the catalogue. The right answers are written down here, so that they check the checkers.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from captum.attr import GuidedBackprop
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

import vizhelpers as vh
from vizhelpers.exercises.registry import find
from vizhelpers.lessons.lesson_05.flashtorch import Backprop
from vizhelpers.lessons.lesson_07.cases import open_case

NAN = float("nan")
load_scenes = cache(vh.load_scenes)


@dataclass
class Answers:
    """What learners hand in.

    Attributes:
        right: Answers that must pass.
        wrong: For the key of the text that must be shown, answers.
        kind: Answers that must be refused as the wrong kind of thing.
        not_own: Functions that must be refused because somebody else wrote them.
    """

    right: list[Any]
    wrong: dict[str, list[Any]]
    kind: list[Any]
    not_own: list[Any] = field(default_factory=list)


# The right letters of the quiz questions, q1 first.
LETTERS = {
    "00": "acb",
    "01": "bca",
    "02": "cabc",
    "03": "cabbac",
    "04": "bac",
    "05": "bacbb",
    "06": "bca",
    "07": "bac",
    "08": "cab",
}
TASKS: dict[str, Callable[[], Answers]] = {}


def task(name: str) -> Callable[[Callable[[], Answers]], Callable[[], Answers]]:
    """The function below makes the answers to that exercise."""
    return lambda make: TASKS.setdefault(name, make)


def handed_on(ready: Callable[..., Any]) -> list[Callable[..., Any]]:
    """A function that is not the learner's own, in several guises."""

    def inside(*given: Any) -> Any:
        return ready(*given)

    def deeper(*given: Any) -> Any:
        return next(inside(*each) for each in [given])

    class Holder:
        def method(self, *given: Any) -> Any:
            return deeper(*given)

    renamed = [lambda *given, function=ready: function(*given)]
    decorated = torch.no_grad()(inside)
    return [ready, partial(ready), inside, *renamed, decorated, deeper, Holder().method]


def answers_to(name: str) -> Answers:
    """The answers to one exercise or quiz question."""
    if name in TASKS:
        return TASKS[name]()
    lesson, _, number = name.partition(".q")
    letter = LETTERS[lesson][int(number) - 1]
    others = {other: [other] for other in find(name).choices if other != letter}
    return Answers([letter, letter.upper(), f" {letter}) "], others, ["z", "ab", 1, [letter]])


@task("00.swap")
def swap() -> Answers:
    fish = partial(vh.draw_scene, "fish")
    forest = fish("forest", seed=5)
    small, hard = fish("forest", seed=5, size=64), fish("forest", seed=5, hard=True)
    return Answers(
        right=[forest],
        wrong={
            "background": [fish("reef", seed=5)],
            "another": [fish("forest", seed=8), small, hard],
            "object": [vh.draw_scene(other, "forest", seed=5) for other in ("cactus", None)],
        },
        kind=["fish", forest.image, vh.scenes.draw_two("fish", "cat", "forest", seed=5)],
    )


@task("00.share")
def share() -> Answers:
    scenes = load_scenes()
    index = scenes.names.index("cat_on_space_0")
    mask, part = scenes.masks[index], scenes.parts[index]
    mean = float(mask.mean())
    return Answers(
        right=[mean, mask.mean(), round(mean, 2), (part > 0).sum() / mask.numel()],
        wrong={
            "percent": [100 * mean, round(100 * mean)],
            "pixels": [mask.sum(), int((mask > 0.5).sum())],
            "rest": [1 - mean],
            "other": [mean / 2, 0],
            "range": [-mean, NAN, 255 * mean],
        },
        kind=[mask, mask.numpy(), "0.2", True, mask.mean],
    )


@task("00.prediction")
def prediction() -> Answers:
    index = vh.CLASSES.index("rocket")
    return Answers(
        right=["rocket", " Rocket ", "rocket 96%", "rocket (96.1 %)", "rocket: 0.96"],
        wrong={
            "truth": ["cat", "cat 96%"],
            "background": ["space"],
            "index": [index, torch.tensor(index)],
            "other": ["penguin"],
            "unknown": ["dog", "rocket or cat"],
        },
        kind=[torch.zeros(1, 10), ["rocket"], object()],
    )


@task("00.open")
def changes_its_mind() -> Answers:
    scene = load_scenes()["car_on_desert_0"]
    wheels = scene.parts == vh.scenes.PARTS.index("wheel")
    left, top = wheels.clone(), torch.zeros(128, 128)
    left[:, 64:], top[:12] = False, 1
    painting = vh.paint_over(scene.image, vh.load_model("resnet18"), mask=wheels)
    return Answers(
        right=[wheels, wheels.float(), wheels.numpy(), painting],
        wrong={
            "shape": [wheels[None], wheels[:64], wheels.flatten()],
            "nothing": [wheels & False],
            "much": [scene.mask > 0.5, ~wheels],
            "same": [left, top],
        },
        kind=["wheels", scene, scene.mask, torch.full((128, 128), 255), object()],
    )


@task("01.parameters")
def parameters() -> Answers:
    return Answers(
        right=[73_856, 73_856.0, torch.tensor(73_856)],
        wrong={
            "bias": [73_728],
            "bias_of_input": [73_792],
            "one_plane": [3 * 3 * 128, 3 * 3 * 128 + 128],
            "one_kernel": [3 * 3 * 64, 3 * 3 * 64 + 1],
            "other": [9_472, 10**400],
        },
        kind=["73,856", [73_856], int, torch.zeros(128, 64, 3, 3)],
    )


@task("01.mult_adds")
def mult_adds() -> Answers:
    right = 38_535_168
    return Answers(
        right=[right, 64 * 3 * 7 * 7 * 64 * 64],
        wrong={
            "parameters": [9_408],
            "size": [118_013_952],
            "stride": [9_408 * 128 * 128],
            "flops": [2 * right],
            "one_kernel": [right // 64],
            "one_plane": [right // 3],
            "other": [1_810_000_000],
        },
        kind=["38 M", torch.zeros(2), True],
    )


class Net(nn.Module):
    """The lesson's network; its `Linear`, and what is before it, are what learners change."""

    def __init__(
        self,
        classifier: nn.Module,
        flatten: Callable[[Tensor], Tensor] = lambda x: torch.flatten(x, 1),
        last: nn.Module | None = None,
    ) -> None:
        super().__init__()
        block = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        block += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*block, last or nn.Identity())
        self.fc, self.flatten = classifier, flatten

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(self.features(x)))


@task("01.mend")
def mend() -> Answers:
    full, small = 32 * 32 * 32, 32 * 16 * 16
    two_outputs = nn.Linear(full, 10)
    two_outputs.register_forward_hook(lambda module, inputs, output: {"logits": output})
    deeper = nn.Sequential(nn.Linear(full, 20), nn.Dropout(), nn.Linear(20, 10))
    right = [Net(nn.Linear(full, 10)), Net(nn.LazyLinear(10)), Net(deeper)]
    return Answers(
        right=[*right, Net(nn.Linear(full, 10)).requires_grad_(False).double()],
        wrong={
            "sizes": [Net(nn.Linear(small, 10)), Net(nn.Linear(4 * full, 10))],
            "batch": [
                Net(nn.Linear(full, 10), torch.flatten),
                Net(nn.Linear(2 * full, 10), torch.flatten),
                Net(nn.Linear(small, 10), lambda x: x.view(-1, small)),
                Net(nn.Linear(32, 10), lambda x: x),
            ],
            "classes": [Net(nn.Linear(full, 1000)), Net(two_outputs)],
            "features": [Net(nn.Linear(small, 10), last=nn.MaxPool2d(2))],
            "no_linear": [Net(nn.Identity())],
            "fails": [
                Net(nn.Sequential(nn.Linear(full, 20), nn.Linear(30, 10))),
                Net(nn.Linear(full, 10), last=nn.Conv2d(3, 32, 1)),
            ],
        },
        kind=[Net, nn.Linear(full, 10).weight, "nn.Linear(32768, 10)", lambda x: x],
    )


def small_network(*layers: nn.Module, channels: int = 16) -> nn.Sequential:
    """Layers between a first convolution and ten numbers."""
    first = nn.Conv2d(3, channels, 3, padding=1)
    return nn.Sequential(
        first, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)
    )


@task("01.open")
def hard_working() -> Answers:
    conv = partial(nn.Conv2d, 16, 16, 3, padding=1)
    again = conv()
    deep = small_network(conv(), conv(), conv())
    return Answers(
        right=[deep, small_network(again, again, again), small_network(*[conv()] * 3).double()],
        wrong={
            "parameters": [small_network(*(conv() for _ in range(5)))],
            "work": [small_network(), small_network(conv(stride=2), conv(), conv())],
            "shape": [nn.Sequential(), nn.Conv2d(3, 10, 3)],
            "fails": [nn.Linear(3, 10), conv()],
        },
        kind=[nn.Conv2d, deep[0].weight, "nn.Sequential()", lambda x: x],
    )


@task("02.plane")
def plane() -> Answers:
    weight = vh.load_model("vgg11").features[3].weight.detach()
    untrained = vh.load_model("vgg11", weights=None).features[3].weight
    asked = weight[10, 5]
    arrays = asked.numpy(), asked.numpy()[::-1].copy()[::-1], asked.tolist()
    return Answers(
        right=[asked, asked.double(), weight[10:11, 5:6], nn.Parameter(asked), *arrays],
        wrong={
            "kernel": [weight[10]],
            "column": [weight[:, 5]],
            "swapped": [weight[5, 10]],
            "from_one": [weight[9, 4]],
            "turned": [asked.T],
            "flipped": [asked.flip(0, 1)],
            "untrained": [untrained[10, 5]],
            "shape": [weight, asked.flatten(), [10, 5]],
            "other": [weight[0, 0], torch.full((3, 3), NAN), torch.zeros(3, 3, dtype=torch.bool)],
        },
        kind=["weight[10, 5]", nn.Linear(1, 1), [[1], [2, 3]], asked + 0j, torch.zeros(0)],
    )


@task("02.twins")
def twins() -> Answers:
    right = [[2, 8], (8, 2), {2, 8}, [torch.tensor(2), 8.0], torch.tensor([2, 8]), divmod(40, 16)]
    return Answers(
        right=right,
        wrong={
            "product": [[6, 15]],
            "opposite": [[2, 3]],
            "untrained": [[2, 7]],
            "itself": [[4, 4], 2],
            "range": [40, torch.tensor(40), [2, 16], [-1, 3]],
            "numbers": [[2], [2, 8, 9], [2.5, 8], ["2", "8"]],
            "other": [[0, 1]],
        },
        kind=["2, 8", 2.5, nn.Linear(1, 1)],
    )


@task("02.open")
def eyes() -> Answers:
    tall = torch.ones(3, 5, 5)
    tall[:, :, 1:4] = -10 / 15
    square = torch.ones(3, 5, 5)
    square[:, 1:4, 1:4] = -16 / 9
    return Answers(
        right=[tall, tall[None], (100 * tall).tolist()],
        wrong={
            "shape": [tall[0], tall.permute(1, 2, 0), torch.ones(3, 3, 3)],
            "empty": [torch.zeros(3, 5, 5), tall * NAN],
            "even": [-torch.ones(3, 5, 5)],
            "other": [square, -tall, tall.mT],
        },
        kind=["a dark slit"],
    )


@task("02.draw")
def more_than_any_scene() -> Answers:
    strongest = load_scenes()["car_on_meadow_0"].image
    return Answers(
        right=[((strongest - 0.5) * 1.5 + 0.5).clamp(0, 1)],
        wrong={
            "shape": [strongest[0], strongest[:, :64], torch.zeros(2, 3, 128, 128)],
            "range": [255 * strongest, vh.normalize(strongest), strongest * NAN],
            "scene": [strongest],
            "near": [load_scenes()["car_on_snow_0"].image],
            "other": [torch.full((3, 128, 128), 0.5)],
        },
        kind=["car_on_meadow_0"],
    )


@task("02.part")
def part() -> Answers:
    return Answers(
        right=["window of a rocket", " Window of a Rocket "],
        wrong={
            "half": ["window", "rocket"],
            "object": ["window of a house"],
            "part": ["body of a rocket"],
            "other": ["wheel of a car", "background"],
            "unknown": ["window of the rocket"],
        },
        kind=[20, ["window", "rocket"], torch.zeros(64)],
    )


def looker(
    keep: Callable[[Tensor], object] = lambda output: output.detach().clone(),
    *,
    removes: str = "always",
    grad: bool = True,
    returns: Callable[[list[object]], object] = lambda seen: seen[0],
) -> Callable[[nn.Module, str, Tensor], object]:
    """A function like the one that learners mend, with any of its bugs."""

    def look(model: nn.Module, name: str, image: Tensor) -> object:
        seen: list[object] = []
        handle = model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: seen.append(keep(output))
        )
        try:
            with torch.set_grad_enabled(grad):
                model(image)
        except RuntimeError:
            if removes == "always":
                handle.remove()
            raise
        if removes != "never":
            handle.remove()
        return returns(seen)

    return look


def unfinished(*_: object) -> None:
    raise NotImplementedError("not\nyet")


@task("03.mend")
def mend_hook() -> Answers:
    def itself(output: Tensor) -> Tensor:
        return output

    return Answers(
        right=[
            looker(),
            looker(torch.clone, grad=False),
            looker(lambda output: output.clone().detach().double()),
        ],
        wrong={
            "leak": [looker(removes="never"), looker(itself, removes="never")],
            "graph": [looker(torch.clone), looker(itself)],
            "overwritten": [looker(torch.detach), looker(itself, grad=False)],
            "after_an_error": [looker(removes="if all goes well")],
            "other": [looker(lambda output: output.detach().abs())],
            "shape": [looker(returns=end) for end in (list, len, lambda seen: seen[0][0])],
            "fails": [unfinished, looker(returns=lambda seen: seen[1]), lambda model, name: None],
        },
        kind=[nn.ReLU(), nn.ReLU, "careful", torch.zeros(1, 4, 6, 6), [looker()]],
        not_own=[
            *(vh.capture, len, torch.relu, nn.Linear(1, 1).forward),
            lambda model, name, image: vh.capture(model, image, name)[name][0],
        ],
    )


@task("03.channel")
def channel() -> Answers:
    return Answers(
        right=[9, 9.0, torch.tensor(9)],
        wrong={
            "strongest": [0],
            "average": [8],
            "least": [14],
            "other": [13, 5],
            "range": [16, -1, 2.5, NAN, 10**400],
        },
        kind=["9", [9], torch.zeros(16), True],
    )


@task("03.dead")
def dead() -> Answers:
    alive = 96 - 13
    return Answers(
        right=[13, torch.tensor(13)],
        wrong={"alive": [alive], "some": [96], "points": [4152], "before_relu": [0], "other": [2]},
        kind=[torch.zeros(96, 8, 8), "13", torch.zeros(96)],
    )


@task("03.open")
def open_pair() -> Answers:
    house = "house_on_space_0"
    return Answers(
        right=[(house, 3, 9), [house, 15, 9], (house, torch.tensor(9), 13.0)],
        wrong={
            "form": [(house, 3), (3, 9, house), []],
            "scene": [("house", 3, 9), ("", 3, 9)],
            "range": [(house, 3, 16), (house, -1, 9), (house, 9, 9), (house, 2.5, 9)],
            "before": [("mushroom_on_room_0", 3, 9)],
            "alone": [("cat_on_sea_0", 13, 2), ("cat_on_sea_0", 2, 13)],
            "together": [(house, 0, 1)],
        },
        kind=[house, 9, torch.zeros(3), {3, 9}],
    )


def differentiator(
    returns: Callable[[Tensor, Tensor], object] = lambda output, grad: grad,
    *,
    score: Callable[[Tensor], Tensor] = torch.max,
    keep: bool = False,
) -> Callable[[nn.Module, str, Tensor], object]:
    """A function like the one that learners write for 03.gradient, with any of its bugs."""

    def gradient_at(model: nn.Module, name: str, image: Tensor) -> object:
        outputs: list[Tensor] = []
        grads: list[Tensor] = []

        def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
            output.retain_grad()
            outputs.append(output)
            output.register_hook(grads.append)

        handle = model.get_submodule(name).register_forward_hook(watch)
        score(model(image)).backward()
        if not keep:
            handle.remove()
        return returns(outputs[0], grads[0])

    return gradient_at


def with_lambda(model: nn.Module, name: str, image: Tensor) -> Tensor:
    """Its forward hook returns the handle, which takes the place of the output."""
    found: list[Tensor] = []
    layer = model.get_submodule(name)
    with layer.register_forward_hook(lambda m, i, output: output.register_hook(found.append)):
        model(image).max().backward()
    return found[0]


def with_full_hook(model: nn.Module, name: str, image: Tensor) -> Tensor:
    """What raises before an in-place ReLU."""
    found: list[Tensor] = []
    layer = model.get_submodule(name)
    with layer.register_full_backward_hook(lambda _, __, grads: found.append(grads[0])):
        model(image).max().backward()
    return found[0]


@task("03.gradient")
def gradient() -> Answers:
    return Answers(
        right=[differentiator(), differentiator(lambda output, grad: grad.double())],
        wrong={
            "full_hook": [with_full_hook],
            "handle": [with_lambda],
            "fails": [unfinished, lambda model: None],
            "shape": [
                differentiator(lambda output, grad: None),
                differentiator(lambda output, grad: [grad]),
                differentiator(lambda output, grad: grad[0]),
            ],
            "leak": [differentiator(keep=True)],
            "after_relu": [differentiator(lambda output, grad: output.grad)],
            "output": [differentiator(lambda output, grad: output.detach())],
            "other": [differentiator(score=torch.sum), differentiator(score=torch.min)],
        },
        kind=["gradient_at", nn.ReLU(), torch.zeros(1, 4, 6, 6)],
        not_own=[vh.capture, torch.autograd.grad],
    )


def on_weights(change: Callable[[Tensor], object], first: int = 0) -> Callable[[nn.Module], None]:
    """A function that puts this hook on the weights of linear layers, from the first one on."""

    def attach(model: nn.Module) -> None:
        linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        for layer in linear[first:]:
            layer.weight.register_hook(change)

    return attach


def on_outputs(model: nn.Module) -> None:
    """Let each output's gradient have the size 1."""

    def watch(module: nn.Module, inputs: object, output: Tensor) -> None:
        output.register_hook(lambda grad: grad / grad.norm())

    for layer in model.children():
        layer.register_forward_hook(watch)


@task("03.even")
def even() -> Answers:
    def halve(model: nn.Module) -> None:
        model[-1].register_forward_hook(lambda module, inputs, output: output / 2)

    def handles(model: nn.Module) -> None:
        for layer in model.children():
            layer.register_forward_hook(
                lambda module, inputs, output: output.register_hook(lambda grad: grad)
            )

    return Answers(
        right=[on_weights(lambda grad: grad / grad.abs().mean()), on_outputs],
        wrong={
            "fails": [unfinished, handles, lambda: None],
            "answer": [halve],
            "direction": [on_weights(torch.sign), on_weights(lambda grad: -grad / grad.norm())],
            "uneven": [lambda model: None, on_weights(lambda grad: grad / grad.norm(), first=1)],
        },
        kind=["attach", nn.ReLU(), 3],
        not_own=[torch.relu, len],
    )


@task("04.open")
def off_the_object() -> Answers:
    return Answers(
        right=["mushroom_on_snow_0", " car_on_forest_0 "],
        wrong={
            "scene": ["cat", "cat_on_sea_9"],
            "answer": ["mushroom_on_room_0"],
            "inside": ["cat_on_sea_0", "house_on_space_0"],
        },
        kind=[0, ["cat_on_sea_0"], torch.zeros(3)],
    )


@task("04.energy")
def energy() -> Answers:
    scenes, resnet = load_scenes(), vh.load_model("resnet18")
    index = scenes.names.index("cat_on_sea_0")
    picture, mask = scenes.images[[index]], scenes.masks[index]
    heat, raw = (vh.class_maps(resnet, x).maps[0] for x in (vh.normalize(picture), picture))
    inside = mask > 0.5
    share = float(heat[inside].sum() / heat.sum())
    strongest = heat >= heat.flatten().sort(descending=True).values[inside.sum() - 1]
    return Answers(
        right=[share, round(share, 2), (heat * mask).sum() / heat.sum()],
        wrong={
            "percent": [100 * share, round(100 * share, 1)],
            "outside": [1 - share],
            "strength": [heat[inside].mean()],
            "all_pixels": [(heat * inside).mean()],
            "iou": [(strongest & inside).sum() / (strongest | inside).sum()],
            "area": [inside.float().mean()],
            "pointing": [inside.flatten()[heat.argmax()].float()],
            "not_normalised": [raw[inside].sum() / raw.sum()],
            "other": [0.3],
            "range": [3, NAN],
        },
        kind=[heat, "0.5", True],
    )


def largest(scores: Tensor, target: int) -> Tensor:
    return scores.max()


def likely(scores: Tensor, target: int) -> Tensor:
    return scores.softmax(1)[0, target]


def cam(
    score: Callable[[Tensor, int], Tensor] = lambda out, target: out[:, target].sum(),
    weigh: Callable[[Tensor], Tensor] = lambda gradients: gradients.mean((2, 3), keepdim=True),
    end: Callable[[Tensor], Tensor] = torch.relu,
) -> Callable[[nn.Module, str, Tensor, int], Tensor]:
    """A learner's function that makes a class activation map, with any of its bugs."""

    def make(model: nn.Module, layer: str, image: Tensor, target: int) -> Tensor:
        found = vh.capture(model, image, layer, gradients=lambda out: score(out, target))
        maps, gradients = found[layer][0], found.gradients[layer][0]
        return end((weigh(gradients) * maps).sum(1))

    return make


def library_cam(model: nn.Module, layer: str, image: Tensor, target: int) -> Tensor:
    return vh.class_maps(model, image, target, layer=layer).raw


def leaves_gradients(model: nn.Module, layer: str, image: Tensor, target: int) -> Tensor:
    model(image)[:, target].sum().backward()
    return cam()(model, layer, image, target)


def grad_cam(*given: Any) -> Tensor:
    """The lesson's own function has this name, too."""
    return cam()(*given)


@task("04.mend")
def mend_cam() -> Answers:
    places = partial(torch.mean, dim=1, keepdim=True)

    def stretch(maps: Tensor) -> Tensor:
        return (maps.relu() - maps.relu().min()) / maps.relu().max()

    return Answers(
        right=[cam(), lambda *given: cam()(*given)[0].double()],
        wrong={
            "predicted": [cam(largest, places, torch.abs), cam(largest)],
            "axis": [cam(weigh=places, end=torch.abs), cam(weigh=places)],
            "abs": [cam(end=torch.abs)],
            "sign": [cam(end=lambda maps: maps)],
            "places": [cam(weigh=lambda gradients: gradients)],
            "stretched": [cam(end=stretch)],
            "left": [leaves_gradients],
            "shape": [lambda *given: torch.zeros(128, 128), lambda *given: None],
            "fails": [lambda image: image, unfinished],
            "other": [cam(likely), cam(end=lambda maps: maps * NAN)],
        },
        kind=["careful_cam", torch.zeros(7, 7), Net, nn.ReLU()],
        not_own=[vh.class_maps, *handed_on(grad_cam), *handed_on(library_cam)],
    )


@task("05.share")
def signed_share() -> Answers:
    scenes, resnet = load_scenes(), vh.load_model("resnet18")
    index, cat = scenes.names.index("cat_on_sea_0"), vh.CLASSES.index("cat")
    picture, inside = scenes.images[[index]], scenes.masks[index] > 0.5
    image = vh.normalize(picture)

    def on_the_cat(values: Tensor) -> Tensor:
        return (values * inside).sum() / values.sum()

    def shares(method: str, image: Tensor = image) -> list[Tensor]:
        found = vh.saliency_maps(resnet, image, cat, method=method)
        return [on_the_cat(found.signed), on_the_cat(found.maps)]

    values = vh.saliency_maps(resnet, image, cat, method="IntegratedGradients").signed
    pixels, total, share = values.sum(1), (values * inside).sum(), float(on_the_cat(values))
    with torch.no_grad():
        score, baseline = resnet(torch.cat([image, 0 * image]))[:, cat]
    return Answers(
        right=[share, round(share, 2), pixels[0][inside].sum() / values.sum()],
        wrong={
            "percent": [100 * share, round(100 * share)],
            "outside": [1 - share],
            "positive": [on_the_cat(pixels.relu()), on_the_cat(values.relu())],
            "absolute": [on_the_cat(pixels.abs()), on_the_cat(values.abs())],
            "total": [total, values.sum()],
            "score": [total / score, total / (score - baseline)],
            "area": [inside.float().mean()],
            "not_normalised": shares("IntegratedGradients", picture),
            "gradient": shares("Gradient"),
            "times_input": shares("GradientXInput"),
            "other": [0.9, -20, NAN],
        },
        kind=[values, "1.06", True],
    )


@task("05.open")
def other_baseline() -> Answers:
    white, scenes = torch.ones(3, 128, 128), load_scenes()
    cat = scenes.images[scenes.names.index("cat_on_sea_0")]
    yellow = white * torch.tensor([1, 1, 0.5])[:, None, None]
    return Answers(
        right=[white[None], yellow.double().numpy(), white.int()],
        wrong={
            "shape": [white[0], white.permute(1, 2, 0), torch.stack([white, white]), 1.0],
            "outside": [vh.normalize(white), 255 * white, white * NAN],
            "cat": [0.9 * cat],
            "short": [0.5 * white],
        },
        kind=["white", "cat_on_sea_0", vh.saliency_maps, white + 0j],
    )


def driving(channels: int | list[int], layer: str = "features.8", **options: Any) -> Tensor:
    """A picture that drives one channel of AlexNet, or several in their mean."""
    wanted = [channels] if isinstance(channels, int) else channels
    options["output"] = lambda maps: maps[:, wanted].mean(1, keepdim=True)
    return vh.maximize_activation(vh.load_model("alexnet"), layer, 0, **options).images[0]


@task("05.drive")
def drive() -> Answers:
    scenes, good = load_scenes(), driving([52, 17], steps=32)
    back = vh.denormalize(vh.normalize(good)), (255 * good).round() / 255
    kinds = good, good[None], good.numpy(), good.double().requires_grad_(), good.tolist()
    return Answers(
        right=[*kinds, *back, driving([52, 17], fourier=False, steps=40)],
        wrong={
            "outside": [vh.normalize(good), good - 0.5, good * NAN],
            "bytes": [(255 * good).to(torch.uint8), (255 * good).numpy()],
            "shape": [good.permute(1, 2, 0), torch.stack([good, good]), good[:, :64, :64], 2.67],
            "real": [scenes.images[scenes.names.index("mushroom_on_road_0")], scenes.images[0]],
            "one": [driving(52, steps=32), driving(17, steps=32)],
            "short": [driving([52, 17], steps=1), torch.full((3, 128, 128), 0.5)],
        },
        kind=["picture", vh.maximize_activation, good + 0j],
    )


@task("05.steady")
def steady() -> Answers:
    good, still = driving(5, steps=32), driving(5, steps=32, jitter=0, blur=0)
    ours = "alexnet", "features.8", 5
    return Answers(
        right=[(*ours, good), [*ours, good[None].numpy()]],
        wrong={
            "parts": [good, ours, 5],
            "network": [("resnet50", *ours[1:], good), (vh.load_model("alexnet"), *ours[1:], good)],
            "layer": [("vgg11", "layer1", 5, good), ("alexnet", 8, 5, good)],
            "channel": [(*ours[:2], 96, good), (*ours[:2], "5", good)],
            "silent": [("resnet18", "layer1.0.conv1", 5, good)],
            "outside": [(*ours, vh.normalize(good))],
            "bytes": [(*ours, 255 * good)],
            "shape": [(*ours, good[0])],
            "short": [("alexnet", "features.8", 9, good), (*ours, load_scenes().images[0])],
            "moved": [(*ours, still)],
        },
        kind=[(*ours, "picture")],
    )


def by_hooks(
    score: Callable[[Tensor, int], Tensor] = lambda scores, target: scores[0, target],
    rule: Callable[..., Tensor] = lambda before, behind, out: before.clamp(min=0),
    end: Callable[[Tensor], object] = lambda found: found,
    *,
    tidy: bool = True,
    writes: bool = False,
    change: Callable[[nn.Module], object] = lambda model: None,
) -> Callable[[nn.Module, Tensor, int], object]:
    """A learner's guided backpropagation, with any of its bugs."""

    def make(model: nn.Module, image: Tensor, target: int) -> object:
        outputs: list[Tensor] = []
        relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
        places, handles = [relu.inplace for relu in relus], []
        for relu in relus:
            relu.inplace = False
            handles += [
                relu.register_forward_hook(lambda m, i, out: outputs.append(out)),
                relu.register_full_backward_hook(
                    lambda m, gi, go: (rule(gi[0], go[0], outputs.pop()),)
                ),
            ]
        pixels = image.clone().requires_grad_()
        found = score(model(pixels), target)
        if writes:
            found.backward()
        else:
            (pixels.grad,) = torch.autograd.grad(found, pixels)
        if tidy:
            for handle in handles:
                handle.remove()
            for relu, place in zip(relus, places, strict=True):
                relu.inplace = place
        change(model)
        return end(pixels.grad[0])

    return make


@task("05.mend")
def mend_guided() -> Answers:
    def times(before: Tensor, behind: Tensor, out: Tensor) -> Tensor:
        return behind.clamp(min=0) * out

    def no_mask(before: Tensor, behind: Tensor, out: Tensor) -> Tensor:
        return behind.clamp(min=0)

    def plain(before: Tensor, behind: Tensor, out: Tensor) -> Tensor:
        return before

    def by_captum(model: nn.Module, image: Tensor, target: int) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it will set hooks
            return GuidedBackprop(model).attribute(image.requires_grad_(), target=target)

    def by_course(model: nn.Module, image: Tensor, target: int) -> Tensor:
        return vh.saliency_maps(model, image, target, method="GuidedBackprop").signed

    def relu_changed(model: nn.Module) -> None:
        model.features[1].inplace = False

    methods = GuidedBackprop(nn.ReLU()).attribute, Backprop(nn.ReLU()).calculate_gradients
    wrong_ends = [lambda found: found * NAN, lambda found: found / found.max()]
    shapes = [lambda found: found.abs().amax(0), Tensor.numpy, lambda found: None]
    left = [nn.Module.train, lambda model: model.requires_grad_(False), relu_changed]
    return Answers(
        right=[
            by_hooks(),
            by_hooks(rule=lambda before, behind, out: behind.clamp(min=0) * (out > 0)),
            by_hooks(end=lambda found: found[None].double(), change=nn.Module.eval),
        ],
        wrong={
            "predicted": [
                by_hooks(largest, times, tidy=False, writes=True),  # the lesson's careless one
                *(by_hooks(largest), by_hooks(largest, plain)),
            ],
            "times": [
                by_hooks(rule=times, tidy=False, writes=True),
                by_hooks(rule=times, end=torch.abs),
                by_hooks(rule=lambda before, behind, out: behind * out),
            ],
            "plain": [by_hooks(rule=plain)],
            "no_mask": [by_hooks(rule=no_mask), by_hooks(rule=no_mask, end=torch.relu)],
            "sign": [by_hooks(end=torch.abs), by_hooks(end=torch.relu, tidy=False)],
            "left": [
                *(by_hooks(tidy=False), by_hooks(writes=True)),
                *(by_hooks(change=change) for change in left),
            ],
            "shape": [by_hooks(end=end) for end in shapes],
            "fails": [unfinished, by_hooks(rule=lambda *_: _.nothing), lambda image: image],
            "other": [by_hooks(likely), *(by_hooks(end=end) for end in wrong_ends)],
        },
        kind=["careful_guided", torch.zeros(3, 128, 128), Net, nn.ReLU()],
        not_own=[vh.attribution.guided_gradient, *methods, by_captum, by_course],
    )


@task("06.diagnose")
def diagnose() -> Answers:
    return Answers(
        right=["AC", "ac", " A, C "],
        wrong={
            "swapped": ["CA"],
            "vanishing": ["AB", "CB"],
            "overfitting": ["BC", "CC"],
            "letters": ["A", "AD", "A overfits, C vanishes"],
        },
        kind=[1, ["A", "C"], ("A", "C"), object()],
    )


@task("06.best")
def best_step() -> Answers:
    def curve(folder: str, run: str, tag: str) -> Any:
        return vh.tensorboard.read_scalars(folder)[run][tag]

    def mine(folder: str, run: str, tag: str) -> Any:
        steps, values = curve(folder, run, tag)
        return steps[values.argmin()]

    def at(position: Callable[[Any], int]) -> Callable[..., object]:
        return lambda *where: curve(*where).steps[position(curve(*where).values)]

    return Answers(
        right=[mine, lambda *where: float(mine(*where)), at(lambda values: values.argmin())],
        wrong={
            "index": [lambda *where: curve(*where).values.argmin()],
            "value": [lambda *where: curve(*where).values.min()],
            "highest": [at(lambda values: values.argmax())],
            "last": [at(lambda values: -1), lambda folder, *_: mine(folder, "mine/train", "loss")],
            "tag": [lambda folder, run, tag: mine(folder, run, "another")],
            "fixed": [lambda *_: 20, lambda folder, run, tag: mine(folder, run, "loss")],
            "other": [lambda *_: -1, lambda *_: NAN],
            "number": [lambda *_: None, curve],
            "fails": [lambda folder: 20, lambda folder, *_: mine(folder, "A/val", "loss")],
        },
        kind=[20, "best_step", nn.ReLU(), int],
        not_own=[vh.tensorboard.read_scalars],
    )


@task("06.open")
def smoothed_lie() -> Answers:
    lie = [1.0] * 89 + [0.04 * i for i in range(11)]
    early = [1.0] * 60 + [0.01 * i for i in range(1, 41)]  # by then the line has turned, too
    return Answers(
        right=[lie, torch.tensor(lie), torch.tensor(lie).numpy(), [0.7 * each for each in lie]],
        wrong={
            "length": [lie[1:], [lie], []],
            "loss": [[each - 0.1 for each in lie], [*lie[:-1], NAN]],
            "rises": [[1.0] * 100, lie[::-1], [*lie[:-1], lie[-2]]],
            "falls": [early, [0.01 * i for i in range(100)]],
        },
        kind=["a lie", smoothed_lie, object()],
    )


def logger(
    step: Callable[[int], int | None] = lambda step: step,
    change: Callable[[Tensor], Tensor] = vh.denormalize,
    *,
    closes: bool = True,
) -> Callable[..., SummaryWriter]:
    """A function that logs batches; each option is a mistake that learners make."""

    def log(folder: str, batches: dict[int, Tensor]) -> SummaryWriter:
        writer = SummaryWriter(folder)
        for number, batch in batches.items():
            writer.add_images("input", change(batch), step(number))
        if closes:
            writer.close()
        return writer

    return log


@task("06.mend")
def mend_log() -> Answers:
    def library(folder: str, batches: dict[int, Tensor]) -> None:
        with SummaryWriter(folder) as writer:
            for step, batch in batches.items():
                vh.tensorboard.log_images(writer, "any tag", batch, step, normalized=True)

    def numbers(folder: str, batches: dict[int, Tensor]) -> None:
        with SummaryWriter(folder) as writer:
            writer.add_scalar("batches", len(batches))

    others = [lambda batch: vh.denormalize(batch).flip(1), lambda batch: vh.denormalize(batch)[:1]]
    others.append(lambda batch: batch.clamp(0, 1).sqrt())
    return Answers(
        right=[library, logger()],
        wrong={
            "open": [logger(closes=False)],
            "steps": [logger(step=lambda step: None), logger(step=lambda step: step // 10)],
            "normalised": [logger(change=lambda batch: batch)],
            "other": [logger(change=change) for change in others],
            "nothing": [numbers, lambda folder, batches: None],
            "fails": [logger(change=lambda batch: batch[0]), lambda folder: None],
        },
        kind=[nn.ReLU(), SummaryWriter, "careful", {0: torch.zeros(1, 3, 8, 8)}],
        not_own=[vh.tensorboard.log_images, print],
    )


# Of each patient of lesson 07: its illness; the pictures that show it; those that only show that
# something is wrong; one that looks the same in its healthy twin.
Pictures = list[tuple[str, ...]]  # of each, the tool and perhaps the layer
PATIENTS: dict[str, tuple[str, Pictures, Pictures, str]] = {
    "b": ("not normalised", [("inputs",)], [("mistakes",)], "summary"),
    "c": ("swapped labels", [("mistakes",)], [], "summary"),  # only that picture looks ill
    "d": ("labels shuffled", [("inputs",)], [("curves",)], "summary"),
    "e": ("train mode", [("again",)], [("mistakes",)], "summary"),
    "f": ("weights not loaded", [("moved",)], [("mistakes",)], "summary"),
    "g": ("vanishing gradients", [("gradients",)], [("curves",), ("mistakes",)], "inputs"),
    "h": ("frozen layer", [("summary",), ("moved", "conv1")], [("curves",)], "inputs"),
    "i": ("background shortcut", [("mistakes",), ("cam",)], [("weights", "features.0")], "inputs"),
    "j": ("harmful augmentation", [("inputs",)], [("activations",)], "summary"),
}


def patient(letter: str) -> Answers:
    """What learners say about a patient."""
    case = open_case(letter)
    illness, shows, says_little, looks_the_same = PATIENTS[letter]
    neighbour = open_case("c", seed=3).finding("labels shuffled", "curves")
    unspecific = [case.finding(illness, *picture) for picture in says_little] or [neighbour]
    return Answers(
        right=[case.finding(illness, *picture) for picture in shows],
        wrong={
            "other": [case.finding("detached branch", shows[0][0])],
            "same": [case.finding(illness, looks_the_same)],
            "unspecific": unspecific,
            "place": [case.finding(illness, "weights")],
            "other_patient": [open_case("a").finding(illness, "inputs")],
        },
        kind=[case, illness, 1],
    )


for _letter in PATIENTS:
    TASKS[f"07.{'waiting' if _letter == 'j' else _letter}"] = partial(patient, _letter)


@task("08.transform")
def transform_of_the_training() -> Answers:
    return Answers(
        right=["ImageNet's mean and std", " ImageNet's mean and std "],
        wrong={
            "unknown": ["ImageNet", "0.5"],
            "other": ["mean 0.5, std 0.5", "none: 0 to 1", "0 to 255", "blue first"],
        },
        kind=[0.5, vh.normalize, ["0 to 255"]],
    )


@task("08.tokens")
def tokens_as_maps() -> Answers:
    def maps(tokens: Tensor, start: int = 5, stop: int | None = None) -> Tensor:
        return tokens[:, start:stop].transpose(1, 2).unflatten(2, (14, 14))

    def as_in_the_library(tokens: Tensor) -> Tensor:  # pytorch-grad-cam's example for ViT
        result = tokens[:, 5:, :].reshape(tokens.size(0), 14, 14, tokens.size(2))
        return result.transpose(2, 3).transpose(1, 2)

    return Answers(
        right=[maps, as_in_the_library, lambda tokens: maps(tokens).double()],
        wrong={
            "fails": [lambda tokens: tokens.reshape(2, 6, 14, 14), lambda: None],
            "shape": [lambda tokens: tokens, lambda tokens: maps(tokens)[0], lambda tokens: None],
            "last": [lambda tokens: tokens[:, 5:].reshape(2, 14, 14, -1)],
            "mixed": [lambda tokens: tokens[:, 5:].reshape(2, -1, 14, 14)],
            "turned": [lambda tokens: maps(tokens).mT],
            "first": [lambda tokens: maps(tokens, 0, 196)],
            "one": [lambda tokens: maps(tokens, 1, 197)],
            "other": [lambda tokens: maps(tokens).flip(3)],
        },
        kind=["maps", torch.zeros(2, 201, 6), nn.Flatten()],
    )


def with_channels(
    new: Callable[[Tensor], Tensor] = torch.zeros_like,
    count: int = 4,
    *,
    bias: bool = True,
    **options: Any,
) -> Callable[[nn.Conv2d], nn.Conv2d]:
    """A function that gives a convolution more channels; each option is a learner's mistake."""

    def extend(conv: nn.Conv2d) -> nn.Conv2d:
        settings: dict[str, Any] = {"stride": conv.stride, "padding": conv.padding, **options}
        made = nn.Conv2d(count, conv.out_channels, conv.kernel_size, **settings, bias=bias)
        more = new(conv.weight[:, : count - 3])
        with torch.no_grad():
            made.weight.copy_(torch.cat([conv.weight, more], dim=1))
            if bias:
                made.bias.copy_(conv.bias)
        return made

    return extend


@task("08.channels")
def a_fourth_channel() -> Answers:
    def in_place(conv: nn.Conv2d) -> nn.Conv2d:
        conv.weight = nn.Parameter(with_channels()(conv).weight.detach())
        return conv

    def backwards(conv: nn.Conv2d) -> nn.Conv2d:
        made = with_channels()(conv)
        made.weight = nn.Parameter(made.weight.detach()[:, [2, 1, 0, 3]])
        return made

    def copied(conv: nn.Conv2d) -> nn.Conv2d:
        made = copy.deepcopy(conv)
        planes = conv.weight.detach()
        made.weight = nn.Parameter(torch.cat([planes, 0 * planes[:, :1]], dim=1))
        return made

    return Answers(
        right=[with_channels(), copied],
        wrong={
            "fails": [lambda: None, lambda conv: conv.weight[:, 3]],
            "kind": [lambda conv: conv.weight, lambda conv: None],
            "changed": [in_place],
            "shape": [with_channels(count=5), lambda conv: nn.Conv2d(3, 8, 5)],
            "settings": [with_channels(padding=0), with_channels(stride=1)],
            "depends": [with_channels(new=torch.randn_like), with_channels(new=lambda w: w)],
            "bias": [with_channels(bias=False)],
            "other": [backwards],
        },
        kind=["extend", nn.Conv2d(4, 8, 5), nn.Conv2d],
    )


@task("08.target")
def score_where_it_is_the_answer() -> Answers:
    def there(scores: Tensor, number: int) -> Tensor:
        return scores.argmax(dim=0) == number

    def mean(scores: Tensor, number: int) -> Tensor:
        return scores[number][there(scores, number)].mean()

    def shares(scores: Tensor, number: int) -> Tensor:
        return scores.softmax(dim=0)[number][there(scores, number)].mean()

    def weighted(scores: Tensor, number: int) -> Tensor:
        mask = there(scores, number)
        return (scores[number] * mask).sum() / mask.sum()

    return Answers(
        right=[mean, weighted, lambda scores, number: mean(scores, number)[None]],
        wrong={
            "fails": [lambda scores: scores, lambda scores, number: scores[99]],
            "number": [lambda scores, number: scores[number], lambda scores, number: 1.0],
            "everywhere": [lambda scores, number: scores[number].mean()],
            "sum": [lambda scores, number: scores[number][there(scores, number)].sum()],
            "masked": [lambda scores, number: (scores[number] * there(scores, number)).mean()],
            "count": [lambda scores, number: there(scores, number).sum()],
            "share": [lambda scores, number: there(scores, number).float().mean()],
            "probability": [shares],
            "elsewhere": [lambda scores, number: scores[number][~there(scores, number)].mean()],
            "gradient": [lambda scores, number: mean(scores, number).detach()],
            "other": [lambda scores, number: scores[number].max()],
        },
        kind=["target", 3, nn.Flatten()],
    )


@task("08.open")
def dead_channels() -> Answers:
    return Answers(
        right=[
            ("timm", "blocks.5.3.bn2"),
            ["own", "layer3.0.shortcut"],
            ("grey ", "blocks.5.3.aa"),
        ],
        wrong={
            "form": [("timm",), ("timm", 3), ()],
            "model": [("vgg11", "features.0")],
            "layer": [("timm", "layer4"), ("own", "conv9")],
            "no_map": [("transformer", "blocks.0"), ("own", "linear")],
            "alive": [("timm", "conv_head"), ("own", "layer3.0")],
        },
        kind=["timm, conv_head", 5, nn.ReLU()],
    )
