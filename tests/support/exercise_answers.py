"""Right and wrong answers to every exercise, as learners give them.

`test_exercises.py` demands an entry for each exercise, and a wrong answer for each wrong text in
the catalogue. The right answers are written down here, so that they check the checkers.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from captum.attr import GuidedBackprop
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from vizhelpers.attribution.cam import class_maps
from vizhelpers.attribution.guided import guided_gradient
from vizhelpers.attribution.metrics import score_maps
from vizhelpers.attribution.saliency import SaliencyMaps, saliency_maps
from vizhelpers.features.activation_maximization import maximize_activation
from vizhelpers.hooks import capture
from vizhelpers.images import denormalize, normalize
from vizhelpers.scenes import CLASSES, draw_scene, draw_two, load_scenes
from vizhelpers.tensorboard.events import Series, read_scalars
from vizhelpers.tensorboard.images import log_images
from vizhelpers.zoo.loading import load_model


@dataclass
class Answers:
    """What learners hand in.

    Attributes:
        right: Answers that must pass.
        wrong: Pairs of the text's key that must be shown, and the answer.
        kind: Answers that must be refused as the wrong kind of thing.
    """

    right: list[object]
    wrong: list[tuple[str, object]]
    kind: list[object] = field(default_factory=lambda: [[1, 2], object()])


def quiz_answers(letter: str, *others: str) -> Callable[[], Answers]:
    wrong = [(other, other) for other in others]
    return lambda: Answers([letter, letter.upper(), f" {letter}) "], wrong, ["z", "ab", 1])


def swap() -> Answers:
    home = draw_scene("penguin", "snow", seed=7)
    desert = draw_scene("penguin", "desert", seed=7)
    return Answers(
        right=[desert],
        wrong=[
            ("background", home),
            ("background", draw_scene("penguin", "snow", seed=8)),
            ("another", draw_scene("penguin", "desert", seed=8)),
            ("another", draw_scene("penguin", "desert", seed=7, hard=True)),
            ("another", draw_scene("penguin", "desert", seed=7, size=64)),
            ("object", draw_scene("cactus", "snow", seed=7)),
            ("object", draw_scene(None, "desert", seed=7)),
        ],
        kind=[
            "ValueError: There is no object called 'desert'.",  # the names exchanged
            desert.image,
            desert.mask,
            draw_two("penguin", "cat", "desert", seed=7),
            draw_scene,
        ],
    )


def share() -> Answers:
    scenes = load_scenes()
    mask = scenes.masks[scenes.names.index("cat_on_space_0")]
    part = scenes.parts[scenes.names.index("cat_on_space_0")]
    mean = float(mask.mean())
    return Answers(
        right=[
            mean,
            mask.mean(),
            round(mean, 2),
            (mask > 0.5).float().mean(),
            (part > 0).sum() / mask.numel(),
        ],
        wrong=[
            ("percent", 100 * mean),
            ("percent", round(100 * mean)),
            ("pixels", mask.sum()),
            ("pixels", int((mask > 0.5).sum())),
            ("rest", 1 - mean),
            ("other", mean / 2),
            ("other", 0),
            ("range", -mean),
            ("range", float("nan")),
            ("range", 255 * mean),
        ],
        kind=[mask, mask.numpy(), "0.2", True, mask.mean],
    )


def prediction() -> Answers:
    return Answers(
        right=["rocket", " Rocket "],
        wrong=[
            ("truth", "cat"),
            ("background", "space"),
            ("index", CLASSES.index("rocket")),
            ("index", torch.tensor(CLASSES.index("rocket"))),
            ("other", "penguin"),
            ("unknown", "dog"),
        ],
        kind=[torch.zeros(1, 10), ["rocket"], object()],
    )


def parameters() -> Answers:
    return Answers(
        right=[73_856, 73_856.0, torch.tensor(73_856)],
        wrong=[
            ("bias", 73_728),
            ("bias_of_input", 73_792),
            ("one_plane", 3 * 3 * 128),
            ("one_plane", 3 * 3 * 128 + 128),
            ("one_kernel", 3 * 3 * 64),
            ("one_kernel", 3 * 3 * 64 + 1),
            ("other", 9_472),
            ("other", 10**400),
        ],
        kind=["73,856", [73_856], int, torch.zeros(128, 64, 3, 3)],
    )


def mult_adds() -> Answers:
    return Answers(
        right=[38_535_168, 64 * 3 * 7 * 7 * 64 * 64],
        wrong=[
            ("parameters", 9_408),
            ("size", 118_013_952),
            ("stride", 9_408 * 128 * 128),
            ("flops", 2 * 38_535_168),
            ("one_kernel", 38_535_168 // 64),
            ("one_plane", 38_535_168 // 3),
            ("other", 1_810_000_000),
        ],
        kind=["38 M", torch.zeros(2), True],
    )


class Net(nn.Module):
    """The lesson's network; `classifier` and `flatten` are what learners change."""

    def __init__(
        self,
        classifier: nn.Module,
        flatten: Callable[[torch.Tensor], torch.Tensor] = lambda x: torch.flatten(x, 1),
        last: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.last = last or nn.Identity()
        self.fc = classifier
        self.flatten = flatten

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc(self.flatten(self.last(x)))


def mend() -> Answers:
    full, small = 32 * 32 * 32, 32 * 16 * 16
    two_outputs = nn.Linear(full, 10)
    two_outputs.register_forward_hook(lambda module, inputs, output: {"logits": output})
    return Answers(
        right=[
            Net(nn.Linear(full, 10)),
            Net(nn.LazyLinear(10)),
            Net(nn.Sequential(nn.Linear(full, 20), nn.Dropout(), nn.Linear(20, 10))),
            Net(nn.Linear(full, 10)).requires_grad_(False).double(),
        ],
        wrong=[
            ("sizes", Net(nn.Linear(small, 10))),
            ("sizes", Net(nn.Linear(32 * 64 * 64, 10))),
            ("batch", Net(nn.Linear(full, 10), torch.flatten)),
            ("batch", Net(nn.Linear(2 * full, 10), torch.flatten)),
            ("batch", Net(nn.Linear(small, 10), lambda x: x.view(-1, small))),
            ("batch", Net(nn.Linear(32, 10), lambda x: x)),
            ("classes", Net(nn.Linear(full, 1000))),
            ("classes", Net(two_outputs)),
            ("features", Net(nn.Linear(small, 10), last=nn.AdaptiveAvgPool2d(16))),
            ("features", Net(nn.Linear(small, 10), last=nn.MaxPool2d(2))),
            ("no_linear", Net(nn.Identity())),
            ("fails", Net(nn.Sequential(nn.Linear(full, 20), nn.Linear(30, 10)))),
            ("fails", Net(nn.Linear(full, 10), last=nn.Conv2d(3, 32, 1))),
        ],
        kind=[Net, nn.Linear(full, 10).weight, "nn.Linear(32768, 10)", lambda x: x],
    )


def plane() -> Answers:
    weight = load_model("vgg11").features[3].weight.detach()
    asked = weight[10, 5]
    untrained = load_model("vgg11", weights=None).features[3].weight
    return Answers(
        right=[
            *(asked, asked.clone().double(), weight[10:11, 5:6], nn.Parameter(asked)),
            *(asked.numpy(), asked.tolist()),
        ],
        wrong=[
            ("kernel", weight[10]),
            ("column", weight[:, 5]),
            ("swapped", weight[5, 10]),
            ("from_one", weight[9, 4]),
            ("turned", asked.T),
            ("flipped", asked.flip(0, 1)),
            ("untrained", untrained[10, 5]),
            ("shape", weight),
            ("shape", asked.flatten()),
            ("shape", [10, 5]),
            ("other", weight[0, 0]),
            ("other", torch.full((3, 3), float("nan"))),
            ("other", torch.zeros(3, 3, dtype=torch.bool)),
        ],
        kind=["weight[10, 5]", nn.Linear(1, 1), [[1], [2, 3]]],
    )


def twins() -> Answers:
    return Answers(
        right=[
            *([2, 8], (8, 2), {2, 8}, [torch.tensor(2), 8.0]),
            *(torch.tensor([2, 8]), list(divmod(40, 16))),
        ],
        wrong=[
            ("product", [6, 15]),
            ("opposite", [2, 3]),
            ("untrained", [2, 7]),
            ("itself", [4, 4]),
            ("itself", 2),
            ("range", 40),
            ("range", torch.tensor(40)),
            ("range", [2, 16]),
            ("range", [-1, 3]),
            ("numbers", [2]),
            ("numbers", [2, 8, 9]),
            ("numbers", [2.5, 8]),
            ("numbers", ["2", "8"]),
            ("other", [0, 1]),
        ],
        kind=["2, 8", 2.5, nn.Linear(1, 1)],
    )


def part() -> Answers:
    return Answers(
        right=["window of a rocket", " Window of a Rocket "],
        wrong=[
            ("half", "window"),
            ("half", "rocket"),
            ("object", "window of a house"),
            ("part", "body of a rocket"),
            ("other", "wheel of a car"),
            ("other", "background"),
            ("unknown", "window of the rocket"),
        ],
        kind=[20, ["window", "rocket"], torch.zeros(64)],
    )


def looker(
    keep: Callable[[torch.Tensor], object] = lambda output: output.detach().clone(),
    *,
    removes: bool = True,
    removes_always: bool = True,
    grad: bool = True,
    returns: Callable[[list[object]], object] = lambda seen: seen[0],
) -> Callable[[nn.Module, str, torch.Tensor], object]:
    """A function like the one that learners mend, with any of its bugs."""

    def look(model: nn.Module, name: str, image: torch.Tensor) -> object:
        seen: list[object] = []
        handle = model.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: seen.append(keep(output))
        )
        try:
            with torch.set_grad_enabled(grad):
                model(image)
        except RuntimeError:
            if removes_always:
                handle.remove()
            raise
        if removes:
            handle.remove()
        return returns(seen)

    return look


def mend_hook() -> Answers:
    def unfinished(model: nn.Module, name: str, image: torch.Tensor) -> None:
        raise NotImplementedError("not\nyet")

    def library(model: nn.Module, name: str, image: torch.Tensor) -> torch.Tensor:
        return capture(model, image, name)[name][0]

    return Answers(
        right=[
            looker(),
            looker(torch.clone, grad=False),
            looker(lambda output: output.clone().detach().double()),
            library,
        ],
        wrong=[
            ("leak", looker(removes=False)),
            ("leak", looker(lambda output: output, removes=False)),
            ("graph", looker(torch.clone)),
            ("graph", looker(lambda output: output)),
            ("overwritten", looker(torch.detach)),
            ("overwritten", looker(lambda output: output, grad=False)),
            ("after_an_error", looker(removes_always=False)),
            ("other", looker(lambda output: output.detach().clone() * 2)),
            ("other", looker(lambda output: output.detach().abs())),
            ("shape", looker(returns=lambda seen: seen)),
            ("shape", looker(returns=lambda seen: None)),
            ("shape", looker(returns=lambda seen: seen[0][0])),
            ("fails", unfinished),
            ("fails", looker(returns=lambda seen: seen[1])),
            ("fails", lambda model, name: None),
            ("fails", len),
        ],
        kind=[nn.ReLU(), nn.ReLU, "careful", torch.zeros(1, 4, 6, 6), [looker()]],
    )


def channel() -> Answers:
    return Answers(
        right=[9, 9.0, torch.tensor(9)],
        wrong=[
            ("strongest", 0),
            ("average", 8),
            ("least", 14),
            ("other", 13),
            ("other", 5),
            ("range", 16),
            ("range", -1),
            ("range", 2.5),
            ("range", float("nan")),
            ("range", 10**400),
        ],
        kind=["9", [9], torch.zeros(16), True],
    )


def dead() -> Answers:
    return Answers(
        right=[13, torch.tensor(13)],
        wrong=[
            ("alive", 96 - 13),
            ("some", 96),
            ("points", 4152),
            ("before_relu", 0),
            ("other", 2),
        ],
        kind=[torch.zeros(96, 8, 8), "13", torch.zeros(96)],
    )


def cheat() -> Answers:
    return Answers(
        right=["A", " a ", "network A"],
        wrong=[("honest", "B"), ("honest", "b"), ("unknown", "C"), ("unknown", "both")],
        kind=[0, ["A"], torch.nn.Linear(1, 1)],
    )


def energy() -> Answers:
    scenes = load_scenes()
    index = scenes.names.index("cat_on_sea_0")
    found = class_maps(load_model("resnet18"), normalize(scenes.images[[index]]))
    heat, inside = found.maps[0], scenes.masks[index] > 0.5
    share = float(heat[inside].sum() / heat.sum())
    raw = class_maps(load_model("resnet18"), scenes.images[[index]]).maps[0]
    scores = score_maps(heat[None], scenes.masks[[index]])
    return Answers(
        right=[
            share,
            scores.energy,
            round(share, 2),
            (heat * scenes.masks[index]).sum() / heat.sum(),
        ],
        wrong=[
            ("percent", 100 * share),
            ("outside", 1 - share),
            ("strength", heat[inside].mean()),
            ("all_pixels", (heat * inside).mean()),
            ("iou", scores.iou),
            ("area", inside.float().mean()),
            ("pointing", scores.pointing),
            ("not_normalised", raw[inside].sum() / raw.sum()),
            ("other", 0.3),
            ("range", 3),
            ("range", float("nan")),
        ],
        kind=[heat, "0.5", True],
    )


def cam(
    score: Callable[[torch.Tensor, int], torch.Tensor],
    weigh: Callable[[torch.Tensor], torch.Tensor],
    end: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[nn.Module, str, torch.Tensor, int], torch.Tensor]:
    """A learner's function that makes a class activation map."""

    def make(model: nn.Module, layer: str, image: torch.Tensor, target: int) -> torch.Tensor:
        found = capture(model, image, layer, gradients=lambda out: score(out, target))
        maps, gradients = found[layer][0], found.gradients[layer][0]
        return end((weigh(gradients) * maps).sum(1))

    return make


def leaves_gradients(model: nn.Module, layer: str, image: torch.Tensor, target: int) -> object:
    model(image)[:, target].sum().backward()
    return class_maps(model, image, target, layer=layer).raw


def stretch(maps: torch.Tensor) -> torch.Tensor:
    return (maps.relu() - maps.relu().min()) / maps.relu().max()


def mend_cam() -> Answers:
    def asked(out: torch.Tensor, target: int) -> torch.Tensor:
        return out[:, target].sum()

    def largest(out: torch.Tensor, target: int) -> torch.Tensor:
        return out.max()

    def likely(out: torch.Tensor, target: int) -> torch.Tensor:
        return out.softmax(1)[0, target]

    def channels(gradients: torch.Tensor) -> torch.Tensor:
        return gradients.mean((2, 3), keepdim=True)

    def places(gradients: torch.Tensor) -> torch.Tensor:
        return gradients.mean(1, keepdim=True)

    good = cam(asked, channels, torch.relu)
    return Answers(
        right=[
            good,
            lambda *given: good(*given)[0].double(),
            lambda model, layer, image, target: class_maps(model, image, target, layer=layer).raw,
        ],
        wrong=[
            ("predicted", cam(largest, places, torch.abs)),  # the lesson's own function
            ("predicted", cam(largest, channels, torch.relu)),
            ("axis", cam(asked, places, torch.abs)),
            ("axis", cam(asked, places, torch.relu)),
            ("abs", cam(asked, channels, torch.abs)),
            ("sign", cam(asked, channels, lambda maps: maps)),
            ("places", cam(asked, lambda gradients: gradients, torch.relu)),
            ("stretched", cam(asked, channels, stretch)),
            ("left", leaves_gradients),
            ("shape", lambda *given: torch.zeros(128, 128)),
            ("shape", lambda *given: None),
            ("fails", lambda image: image),
            ("other", cam(likely, channels, torch.relu)),
            ("other", lambda *given: good(*given) * float("nan")),
        ],
        kind=["careful_cam", torch.zeros(7, 7), Net, nn.ReLU()],
    )


def signed_share() -> Answers:
    scenes, resnet = load_scenes(), load_model("resnet18")
    index, cat = scenes.names.index("cat_on_sea_0"), CLASSES.index("cat")
    picture, inside = scenes.images[[index]], scenes.masks[index] > 0.5
    image = normalize(picture)

    def on_the_cat(values: torch.Tensor) -> torch.Tensor:
        return (values * inside).sum() / values.sum()

    def found(method: str, picture: torch.Tensor = image) -> SaliencyMaps:
        return saliency_maps(resnet, picture, cat, method=method)

    way = found("IntegratedGradients")
    values = way.signed
    share = float(on_the_cat(values))
    with torch.no_grad():
        scores = resnet(torch.cat([image, 0 * image]))[:, cat]
    total = (values * inside).sum()
    return Answers(
        right=[share, round(share, 2), values.sum(1)[0][inside].sum() / values.sum()],
        wrong=[
            ("percent", 100 * share),
            ("percent", round(100 * share)),
            ("outside", 1 - share),
            ("positive", on_the_cat(way.maps)),
            ("positive", on_the_cat(values.relu())),
            ("absolute", on_the_cat(values.abs())),
            ("absolute", on_the_cat(values.sum(1).abs())),
            ("total", total),
            ("total", values.sum()),
            ("score", total / scores[0]),
            ("score", total / (scores[0] - scores[1])),
            ("area", inside.float().mean()),
            ("not_normalised", on_the_cat(found("IntegratedGradients", picture).signed)),
            ("not_normalised", on_the_cat(found("IntegratedGradients", picture).maps)),
            ("gradient", on_the_cat(found("Gradient").signed)),
            ("gradient", on_the_cat(found("Gradient").maps)),
            ("times_input", on_the_cat(found("GradientXInput").signed)),
            ("times_input", on_the_cat(found("GradientXInput").maps)),
            ("other", 0.9),
            ("other", -20),
            ("other", float("nan")),
        ],
        kind=[values, "1.06", True, way],
    )


def drive() -> Answers:
    alexnet, scenes = load_model("alexnet"), load_scenes()

    def driving(channel: int, layer: str = "features.8", **options: Any) -> torch.Tensor:
        return maximize_activation(alexnet, layer, channel, **options).images[0]

    good = driving(52)
    strongest = scenes.images[scenes.names.index("mushroom_on_road_0")]
    return Answers(
        right=[
            *(good, good[None], good.numpy(), good.double().requires_grad_()),
            *(denormalize(normalize(good)), (255 * good).round() / 255),
            *(driving(52, seed=1), driving(52, fourier=False), driving(52, steps=32)),
        ],
        wrong=[
            ("outside", normalize(good)),
            ("outside", good - 0.5),
            ("outside", good * float("nan")),
            ("bytes", (255 * good).to(torch.uint8)),
            ("bytes", (255 * good).numpy()),
            ("shape", good.permute(1, 2, 0)),
            ("shape", torch.stack([good, good])),
            ("shape", good[:, :64, :64]),
            ("real", strongest),
            ("real", scenes.images[0]),
            ("another", driving(51)),
            ("another", driving(53)),
            ("another", driving(52, "features.6")),
            ("down", torch.full((3, 128, 128), 0.5)),
            ("down", torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0))),
            ("short", driving(52, steps=1)),
            ("short", strongest.flip(2)),  # it gets a little further than the scene itself
        ],
        kind=["picture", maximize_activation, good.tolist(), 2.67, good + 0j],
    )


def guided(
    score: Callable[[torch.Tensor, int], torch.Tensor] = lambda scores, target: scores[0, target],
    rule: Callable[..., torch.Tensor] = lambda before, behind, out: before.clamp(min=0),
    end: Callable[[torch.Tensor], object] = lambda found: found,
    *,
    tidy: bool = True,
    writes: bool = False,
) -> Callable[[nn.Module, torch.Tensor, int], object]:
    """A learner's guided backpropagation, with any of its bugs."""

    def make(model: nn.Module, image: torch.Tensor, target: int) -> object:
        outputs: list[torch.Tensor] = []
        handles, places = [], {}
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                places[module] = module.inplace
                module.inplace = False
                handles += [
                    module.register_forward_hook(lambda m, i, out: outputs.append(out)),
                    module.register_full_backward_hook(
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
            for module, place in places.items():
                module.inplace = place
        return end(pixels.grad[0])

    return make


def changes(change: Callable[[nn.Module], object]) -> Callable[..., torch.Tensor]:
    """A right map, of a function that changes the model."""

    def make(model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
        pixels = image.clone().requires_grad_()
        found = guided_gradient(model(pixels)[:, target], pixels)
        change(model)
        return found[0]

    return make


def mend_guided() -> Answers:
    def largest(scores: torch.Tensor, target: int) -> torch.Tensor:
        return scores.max()

    def likely(scores: torch.Tensor, target: int) -> torch.Tensor:
        return scores.softmax(1)[0, target]

    def times(before: torch.Tensor, behind: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return behind.clamp(min=0) * out

    def plain(before: torch.Tensor, behind: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return before

    def no_mask(before: torch.Tensor, behind: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        return behind.clamp(min=0)

    def by_captum(model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it will set hooks
            return GuidedBackprop(model).attribute(image.requires_grad_(), target=target)

    def by_course(model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
        return saliency_maps(model, image, target, method="GuidedBackprop").signed

    def unfinished(model: nn.Module, image: torch.Tensor, target: int) -> torch.Tensor:
        raise NotImplementedError("not\nyet")

    return Answers(
        right=[
            guided(),
            guided(rule=lambda before, behind, out: behind.clamp(min=0) * (out > 0)),
            guided(end=lambda found: found[None].double()),
            changes(lambda model: model.eval()),
            by_captum,
            by_course,
        ],
        wrong=[
            ("predicted", guided(largest, times, tidy=False, writes=True)),  # the lesson's own
            ("predicted", guided(largest)),
            ("predicted", guided(largest, plain)),
            ("times", guided(rule=times, tidy=False, writes=True)),
            ("times", guided(rule=times, end=torch.abs)),
            ("times", guided(rule=lambda before, behind, out: behind * out)),
            ("plain", guided(rule=plain)),
            ("no_mask", guided(rule=no_mask)),
            ("no_mask", guided(rule=no_mask, end=torch.relu)),
            ("sign", guided(end=torch.abs)),
            ("sign", guided(end=torch.relu, tidy=False)),
            ("left", guided(tidy=False)),
            ("left", guided(writes=True)),
            ("left", changes(lambda model: model.train())),
            ("left", changes(lambda model: model.requires_grad_(False))),
            ("left", changes(lambda model: setattr(model.features[1], "inplace", False))),
            ("shape", guided(end=lambda found: found.abs().amax(0))),
            ("shape", guided(end=lambda found: found.numpy())),
            ("shape", guided(end=lambda found: None)),
            ("fails", unfinished),
            ("fails", guided(rule=lambda before, behind, out: out.nothing)),
            ("fails", lambda image: image),
            ("fails", len),
            ("other", guided(likely)),
            ("other", guided(end=lambda found: found * float("nan"))),
            ("other", guided(end=lambda found: found / found.max())),
        ],
        kind=["careful_guided", torch.zeros(3, 128, 128), Net, nn.ReLU()],
    )


def diagnose() -> Answers:
    return Answers(
        right=["AC", "ac", " A, C "],
        wrong=[
            ("swapped", "CA"),
            ("vanishing", "AB"),
            ("vanishing", "CB"),
            ("overfitting", "BC"),
            ("overfitting", "CC"),
            ("letters", "A"),
            ("letters", "AD"),
            ("letters", "A overfits, C vanishes"),
        ],
        kind=[1, ["A", "C"], ("A", "C"), object()],
    )


def best_step() -> Answers:
    def position(folder: str, run: str, tag: str) -> object:
        return read_scalars(folder)[run][tag].values.argmin()

    def curve(folder: str, run: str, tag: str) -> Series:
        return read_scalars(folder)[run][tag]

    def mine(folder: str, run: str, tag: str) -> object:
        steps, values = curve(folder, run, tag)
        return steps[values.argmin()]

    return Answers(
        right=[mine, lambda folder, run, tag: float(mine(folder, run, tag)), lambda *_: 20],
        wrong=[
            ("index", position),
            ("value", lambda *where: curve(*where).values.min()),
            ("highest", lambda *where: curve(*where).steps[curve(*where).values.argmax()]),
            ("last", lambda *where: curve(*where).steps[-1]),
            ("last", lambda folder, run, tag: mine(folder, "mine/train", tag)),
            ("tag", lambda folder, run, tag: mine(folder, run, "another")),
            ("other", lambda *_: -1),
            ("other", lambda *_: float("nan")),
            ("number", lambda *_: None),
            ("number", curve),
            ("fails", lambda folder: 20),
            ("fails", lambda folder, run, tag: mine(folder, "A/val", tag)),
            ("fails", len),
        ],
        kind=[20, "best_step", nn.ReLU(), int],
    )


def careful(
    step: Callable[[int], int | None] = lambda step: step,
    change: Callable[[torch.Tensor], torch.Tensor] = denormalize,
    closes: bool = True,
    returns: bool = True,
) -> Callable[..., SummaryWriter | None]:
    """A function that logs batches; each option is a mistake that learners make."""

    def logger(folder: str, batches: dict[int, torch.Tensor]) -> SummaryWriter | None:
        writer = SummaryWriter(folder)
        for number, batch in batches.items():
            writer.add_images("input", change(batch), step(number))
        if closes:
            writer.close()
        return writer if returns else None

    return logger


def mend_log() -> Answers:
    def library(folder: str, batches: dict[int, torch.Tensor]) -> None:
        with SummaryWriter(folder) as writer:
            for step, batch in batches.items():
                log_images(writer, "any tag", batch, step, normalized=True)

    def numbers(folder: str, batches: dict[int, torch.Tensor]) -> None:
        with SummaryWriter(folder) as writer:
            writer.add_scalar("batches", len(batches))

    return Answers(
        right=[library, careful(), careful(returns=False)],
        wrong=[
            ("open", careful(closes=False)),
            ("steps", careful(step=lambda step: None)),
            ("steps", careful(step=lambda step: step // 10)),
            ("normalised", careful(change=lambda batch: batch)),
            ("other", careful(change=lambda batch: denormalize(batch).flip(1))),
            ("other", careful(change=lambda batch: denormalize(batch)[:1])),
            ("other", careful(change=lambda batch: batch.clamp(0, 1).sqrt())),
            ("nothing", numbers),
            ("nothing", lambda folder, batches: None),
            ("fails", careful(change=lambda batch: batch[0])),
            ("fails", lambda folder: None),
            ("fails", len),
        ],
        kind=[nn.ReLU(), SummaryWriter, "careful", {0: torch.zeros(1, 3, 8, 8)}],
    )


ANSWERS: dict[str, Callable[[], Answers]] = {
    "00.swap": swap,
    "00.share": share,
    "00.prediction": prediction,
    "00.q1": quiz_answers("a", "b", "c"),
    "00.q2": quiz_answers("c", "a", "b"),
    "00.q3": quiz_answers("b", "a", "c"),
    "01.parameters": parameters,
    "01.mult_adds": mult_adds,
    "01.mend": mend,
    "01.q1": quiz_answers("b", "a", "c"),
    "01.q2": quiz_answers("c", "a", "b"),
    "01.q3": quiz_answers("a", "b", "c"),
    "02.plane": plane,
    "02.twins": twins,
    "02.part": part,
    "02.q1": quiz_answers("c", "a", "b"),
    "02.q2": quiz_answers("a", "b", "c"),
    "02.q3": quiz_answers("b", "a", "c"),
    "03.mend": mend_hook,
    "03.channel": channel,
    "03.dead": dead,
    "03.q1": quiz_answers("c", "a", "b"),
    "03.q2": quiz_answers("a", "b", "c"),
    "03.q3": quiz_answers("b", "a", "c"),
    "04.cheat": cheat,
    "04.energy": energy,
    "04.mend": mend_cam,
    "04.q1": quiz_answers("b", "a", "c"),
    "04.q2": quiz_answers("a", "b", "c"),
    "04.q3": quiz_answers("c", "a", "b"),
    "05.share": signed_share,
    "05.drive": drive,
    "05.mend": mend_guided,
    "05.q1": quiz_answers("b", "a", "c"),
    "05.q2": quiz_answers("a", "b", "c"),
    "05.q3": quiz_answers("c", "a", "b"),
    "06.diagnose": diagnose,
    "06.best": best_step,
    "06.mend": mend_log,
    "06.q1": quiz_answers("b", "a", "c"),
    "06.q2": quiz_answers("c", "a", "b"),
    "06.q3": quiz_answers("a", "b", "c"),
}
