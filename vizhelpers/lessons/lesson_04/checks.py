"""Exercises of lesson 04, class activation maps."""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    expect,
    number,
    question,
    right,
    wrong,
)
from vizhelpers.lessons.lesson_04.mystery import mystery_networks

if TYPE_CHECKING:
    from torch import Tensor, nn

q1 = question("04.q1", right_choice="b")
q2 = question("04.q2", right_choice="a")
q3 = question("04.q3", right_choice="c")

CAT = "cat_on_sea_0"  # the scene whose map is scored
PAIR = 6  # the scene with two objects that a mended function is tried on
TOLERANCE = 0.006  # two decimals, and a mask that is cut at 0.5 or not


@exercise("04.cheat")
def cheat(answer: object) -> Outcome:
    """Which of the two networks without names looks at the background?"""
    given = expect(answer, "text", str).strip().upper().removeprefix("NETWORK ")
    facts = _facts()
    if given not in facts:
        return wrong("unknown")
    cheater = min(facts, key=lambda letter: facts[letter][0])
    pointing, home, away = facts[given]
    values = {"peaks": f"{pointing:.0%}", "home": f"{home:.0%}", "away": f"{away:.0%}"}
    if given == cheater:
        return right(**values)
    return wrong("honest", others=f"{facts[cheater][0]:.0%}", **values)


@cache
def _facts() -> dict[str, tuple[float, float, float]]:
    """For A and B: peaks on the object at home, accuracy at home, accuracy elsewhere."""
    import torch

    from vizhelpers.attribution.cam import class_maps
    from vizhelpers.attribution.metrics import score_maps
    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_scenes

    scenes = load_scenes()
    images, home = normalize(scenes.images), scenes.labels == scenes.backgrounds
    facts = {}
    for letter, network in mystery_networks().items():
        with torch.no_grad():
            correct = (network(images).argmax(dim=1) == scenes.labels).float()
        scores = score_maps(class_maps(network, images[home]).maps, scenes.masks[home])
        accuracies = float(correct[home].mean()), float(correct[~home].mean())
        facts[letter] = (float(scores.pointing.mean()), *accuracies)
    return facts


@exercise("04.energy")
def energy(answer: object) -> Outcome:
    """How much of a Grad-CAM map's sum lies on the cat?"""
    given = number(answer)
    heat, raw_pixels, mask = _maps_and_mask()
    inside = (mask > 0.5).float()  # as `score_maps` does
    share = float((heat * inside).sum() / heat.sum())
    found = heat.flatten().argsort(descending=True)[: int(inside.sum())]
    overlap = float(inside.flatten()[found].sum())
    mistakes = {
        "percent": 100 * share,
        "outside": 1 - share,
        "strength": float((heat * inside).sum() / inside.sum()),
        "all_pixels": float((heat * inside).mean()),
        "iou": overlap / (2 * float(inside.sum()) - overlap),
        "area": float(inside.mean()),
        "pointing": float(inside.flatten()[heat.argmax()]),
        "not_normalised": float((raw_pixels * inside).sum() / raw_pixels.sum()),
    }
    if abs(given - share) <= TOLERANCE:
        return right(share=f"{share:.2f}", area=f"{mistakes['area']:.2f}")
    # Two of them are nearly the same number here; the nearest is the likeliest.
    nearest = min(mistakes, key=lambda key: abs(given - mistakes[key]))
    if abs(given - mistakes[nearest]) <= TOLERANCE:
        return wrong(nearest)
    return wrong("other" if 0 <= given <= 1 else "range")


@cache
def _maps_and_mask() -> "tuple[Tensor, Tensor, Tensor]":
    """The map of the cat; the map of its picture as it is, not normalised; the mask."""
    from vizhelpers.attribution.cam import class_maps
    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_scenes
    from vizhelpers.zoo.loading import load_model

    scenes = load_scenes()
    index = scenes.names.index(CAT)
    picture, model = scenes.images[[index]], load_model("resnet18")
    heat, raw_pixels = (class_maps(model, x).maps[0] for x in (normalize(picture), picture))
    return heat, raw_pixels, scenes.masks[index]


@exercise("04.mend")
def mend(answer: object) -> Outcome:
    """Mend a Grad-CAM that ignores the class, weights places instead of channels and keeps signs.

    It is tried on AlexNet, for a class that is not the predicted one.
    """
    import torch
    from torch import Tensor

    if not callable(answer) or isinstance(answer, type | torch.nn.Module):
        raise WrongKindError("function")
    model, layer, image, target = _trial()
    found, left, problem = _try_out(answer, model, layer, image, target)
    if problem is not None:
        return wrong("fails", problem=problem)
    variants = _variants(model, layer, image, target)
    expected = variants[()]
    if not isinstance(found, Tensor) or found.squeeze().shape != expected.shape:
        return wrong("shape", found=found, expected=list(expected.shape))
    given = found.detach().squeeze().to("cpu", torch.float32)
    if torch.allclose(given, expected, atol=1e-5, rtol=1e-3):
        return wrong("left") if left else right(largest=f"{expected.max():.2f}")
    for mistakes, variant in variants.items():
        if torch.allclose(given, variant, atol=1e-5, rtol=1e-3):
            return wrong(mistakes[0])
    return wrong("other")


def _trial() -> "tuple[nn.Module, str, Tensor, int]":
    """A network, a layer, an image of two objects, and the class of the less likely one."""
    import torch

    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_pairs
    from vizhelpers.zoo.loading import load_model

    pairs = load_pairs(limit=PAIR + 1)
    model, image = load_model("alexnet"), normalize(pairs.images[[PAIR]])
    objects = [int(pairs.labels_a[PAIR]), int(pairs.labels_b[PAIR])]
    with torch.no_grad():
        scores = model(image)[0]
    return model, "features.11", image, min(objects, key=lambda label: float(scores[label]))


def _try_out(
    function: Callable[..., object], model: Any, layer: str, image: "Tensor", target: int
) -> tuple[object, bool, str | None]:
    """What the function returns, whether it leaves something behind, and its error's text."""
    from vizhelpers.state import preserve_state

    found, problem = None, None
    with preserve_state(model):
        try:
            found = function(model, layer, image.clone(), target)
        except Exception as error:  # a function that is still broken is an answer, too
            problem = (str(error) or type(error).__name__).splitlines()[0]
        hooks = any(module._forward_hooks for module in model.modules())
        left = hooks or any(weight.grad is not None for weight in model.parameters())
    return found, left, problem


def _variants(
    model: "nn.Module", layer: str, image: "Tensor", target: int
) -> "dict[tuple[str, ...], Tensor]":
    """The right map, `()`, and each wrong one by the mistakes that lead to it."""
    from vizhelpers.hooks import capture

    def activations(score: Callable[[Any], Any]) -> "tuple[Tensor, Tensor]":
        found = capture(model, image, layer, gradients=score)
        gradient: Any = found.gradients[layer][0]
        return found[layer][0][0], gradient[0]

    classes = {(): lambda out: out[0, target], ("predicted",): lambda out: out.max()}
    weights = {(): lambda g: g.mean((1, 2), True), ("axis",): lambda g: g.mean(0, True)}
    ends = {(): lambda m: m.relu(), ("abs",): lambda m: m.abs(), ("sign",): lambda m: m}
    variants = {}
    for one, two, three in product(classes, weights, ends):
        maps, gradient = activations(classes[one])
        variants[one + two + three] = ends[three]((weights[two](gradient) * maps).sum(0))
    maps, gradient = activations(classes[()])
    variants[("places",)] = (gradient * maps).sum(0).relu()
    right_one = variants[()]
    variants[("stretched",)] = (right_one - right_one.min()) / (right_one.max() - right_one.min())
    return variants
