"""Exercises of lesson 05, FlashTorch: saliency maps and pictures that drive a channel."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    exercise,
    nearest_mistake,
    number,
    prediction,
    right,
    tensor,
    wrong,
)
from vizhelpers.exercises.trials import (
    judge_map,
    own_function,
    shipped_scene,
    try_out,
    two_objects,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

CAT = "cat_on_sea_0"  # the scene whose score is shared out
TOLERANCE = 0.006  # two decimals
LAYER, CHANNEL = "features.8", 52  # of AlexNet: what the picture is to drive
SHAPE = (3, 128, 128)
BRIGHTEST = 3  # a normalised picture stays below it, one of 0 to 255 does not
TIMES = 2  # as far as the strongest scene; a scene turned round gets a little further, too
SAME_PICTURE = 0.01  # mean difference to a scene, from 0 to 1
LESS_SHARE, LESS_CAT = 0.75, 0.1  # of the sum on the cat, and of a baseline's probability


@prediction("05.p1")
def backward_passes(found: int) -> tuple[str, dict[str, object]]:
    """How many backward passes find the gradient of every pixel?"""
    return {1: "a", 3: "b"}.get(found, "c"), {"found": "One" if found == 1 else found}


@prediction("05.p2")
def steepest_third(gains: Sequence[float]) -> tuple[str, dict[str, object]]:
    """In which third of the way from grey to the picture does the score gain most?"""
    third = max(range(3), key=lambda i: gains[i])
    words = {"third": ("first", "middle", "last")[third]}
    return "abc"[third], {**words, "gain": f"{gains[third]:.1f}", "total": f"{sum(gains):.1f}"}


@prediction("05.p3")
def guided_notices(found: float) -> tuple[str, dict[str, object]]:
    """How much of a guided map stays, when the last layer is drawn anew?"""
    return "a" if found < 0.3 else "b" if found < 0.7 else "c", {"found": f"{found:.2f}"}


@exercise("05.share")
def share(answer: object) -> Outcome:
    """Which share of the cat's score lies on the cat, by integrated gradients?"""
    given, (expected, soft, area, mistakes) = number(answer), _shares()
    # The mask cut at one half, as asked for, or taken as it is: both are the cat.
    if min(abs(given - expected), abs(given - soft)) <= TOLERANCE:
        return right(share=f"{expected:.2f}", outside=f"{1 - expected:.2f}", area=f"{area:.2f}")
    return wrong(nearest_mistake(given, mistakes, tolerance=TOLERANCE))


@cache
def _shares() -> tuple[float, float, float, dict[float, str]]:
    """The share with the mask cut, and as it is; the cat's area; what mistakes lead to."""
    import torch

    scene, model = shipped_scene(CAT), vh.load_model("resnet18")
    image, cat, inside = vh.normalize(scene.images), int(scene.labels), (scene.masks > 0.5).float()

    def share_of(values: "Tensor", mask: "Tensor" = inside) -> float:
        return float((values * mask).sum() / values.sum())

    values = vh.saliency_maps(model, image, cat, method="IntegratedGradients").signed
    others = {
        "gradient": (image, "Gradient"),
        "times_input": (image, "GradientXInput"),
        "not_normalised": (scene.images, "IntegratedGradients"),
    }
    with torch.no_grad():
        score, baseline = model(torch.cat([image, torch.zeros_like(image)]))[:, cat].tolist()
    on_the_cat, area, expected = (
        float((values * inside).sum()),
        inside.mean().item(),
        share_of(values),
    )
    mistakes = {
        100 * expected: "percent",
        1 - expected: "outside",
        share_of(values.sum(1).clamp(min=0)): "positive",
        share_of(values.clamp(min=0)): "positive",
        share_of(values.sum(1).abs()): "absolute",
        share_of(values.abs()): "absolute",
        on_the_cat: "total",
        float(values.sum()): "total",
        on_the_cat / score: "score",
        on_the_cat / (score - baseline): "score",
        area: "area",
    }
    for key, (given, method) in others.items():
        found = vh.saliency_maps(model, given, cat, method=method)
        mistakes |= {share_of(found.signed): key, share_of(found.maps): key}
    return expected, share_of(values, scene.masks), area, mistakes


@exercise("05.open")
def other_baseline(answer: object) -> Outcome:
    """Find a baseline that is no cat, from which the cat gets less of the sum."""
    import torch

    picture = tensor(answer)
    picture = picture[0] if picture.ndim == 4 and len(picture) == 1 else picture
    if picture.shape != SHAPE:
        return wrong("shape", shape=list(picture.shape), expected=list(SHAPE))
    low, high = (float(edge) for edge in picture.aminmax())
    if not (low >= 0 and high <= 1):  # so written that NaN is outside, too
        return wrong("outside", low=f"{low:.2f}", high=f"{high:.2f}")
    model, cat = vh.load_model("resnet18"), vh.CLASSES.index("cat")
    baseline = vh.normalize(picture.float())
    with torch.no_grad():
        chance = float(model(baseline[None]).softmax(dim=1)[0, cat])
    share = _share_from(baseline)
    numbers = {"share": f"{share:.2f}", "chance": f"{chance:.0%}", "grey": f"{_shares()[0]:.2f}"}
    if chance >= LESS_CAT:
        return wrong("cat", **numbers)
    return right(**numbers) if share < LESS_SHARE else wrong("short", **numbers)


def _share_from(baseline: "Tensor") -> float:
    """The cat's share of the sum of integrated gradients that start from a baseline."""
    scene, model = shipped_scene(CAT), vh.load_model("resnet18")
    image, cat = vh.normalize(scene.images), int(scene.labels)
    options = {"method": "IntegratedGradients", "baseline": baseline}
    values = vh.saliency_maps(model, image, cat, **options).signed  # type: ignore[arg-type]
    return float((values * (scene.masks > 0.5)).sum() / values.sum())


@exercise("05.drive")
def drive(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Make a picture that drives a channel at least twice as far as any scene does."""
    picture = tensor(answer)
    picture = picture[0] if picture.ndim == 4 and len(picture) == 1 else picture
    if picture.shape != SHAPE:
        return wrong("shape", shape=list(picture.shape), expected=list(SHAPE))
    low, high = (float(edge) for edge in picture.aminmax())
    if not picture.is_floating_point() or high > BRIGHTEST:
        return wrong("bytes", low=low, high=high)
    picture = picture.float()
    slack = 1e-4  # of a picture that was normalised and taken back
    if not (low >= -slack and high <= 1 + slack):  # so written that NaN is outside, too
        return wrong("outside", low=f"{low:.2f}", high=f"{high:.2f}")
    names, images, means = _scene_means()
    reached = _means(picture.clamp(0, 1)[None])[0]
    best = means.amax(0)
    strongest = names[int(means[:, CHANNEL].argmax())]
    value, most = float(reached[CHANNEL]), float(best[CHANNEL])
    numbers = {"value": f"{value:.2f}", "best": f"{most:.2f}", "scene": strongest}
    differences = (images - picture).abs().mean((1, 2, 3))
    if differences.min() < SAME_PICTURE:
        return wrong("real", name=names[int(differences.argmin())], **numbers)
    if value >= TIMES * most:  # rounded down: how far a picture gets differs between machines
        return right(factor=int(value / most), count=len(names), **numbers)
    other = int((reached - TIMES * best).argmax())
    if reached[other] > TIMES * best[other]:
        return wrong("another", channel=other, **numbers)
    return wrong("down" if value < 0 else "short", share=f"{value / most:.0%}", **numbers)


def _means(pictures: "Tensor") -> "Tensor":
    """The mean of each channel of the layer, `[N, C]`, for pictures from 0 to 1."""
    return vh.features.channel_means(vh.load_model("alexnet"), LAYER, vh.normalize(pictures))


@cache
def _scene_means() -> "tuple[tuple[str, ...], Tensor, Tensor]":
    """The scenes' names and images, and what each makes of every channel."""
    scenes = vh.load_scenes()
    return scenes.names, scenes.images, _means(scenes.images)


@exercise("05.mend")
def mend(answer: object) -> Outcome:
    """Mend a guided backpropagation that ignores the class, weights by activations and leaks.

    It is tried on AlexNet, for a class that is not the predicted one.
    """
    function = own_function(answer, ready=("guided", "guided_gradient", "saliency_maps"))
    model, image, target = two_objects()
    trial = try_out(function, model, image, target, model=model)
    (_, expected), *mistakes = _variants()
    return judge_map(trial, expected, mistakes)


@cache
def _variants() -> "list[tuple[str, Tensor]]":
    """The right map, then what each mistake makes of it; of several mistakes, the first counts."""
    model, image, target = two_objects()
    scores = {"": lambda out: out[0, target], "predicted": lambda out: out.max()}
    # Of a ReLU: the gradient before it, the gradient behind it, and what it returned.
    rules = [
        ("", lambda before, behind, out: before.clamp(min=0)),
        ("times", lambda before, behind, out: behind.clamp(min=0) * out),
        ("times", lambda before, behind, out: behind * out),
        ("plain", lambda before, behind, out: before),
        ("no_mask", lambda before, behind, out: behind.clamp(min=0)),
    ]
    variants = []
    for (one, score), (two, rule) in product(scores.items(), rules):
        found = _gradient(model, image, score, rule)
        ends = [("", found), ("sign", found.abs()), ("sign", found.clamp(min=0))]
        variants += [(one or two or three, made) for three, made in ends]
    return variants


def _gradient(
    model: "nn.Module", image: "Tensor", score: Callable[..., Any], rule: Callable[..., Any]
) -> "Tensor":
    """The gradient of a score, `[3, H, W]`, with a rule of its own for every ReLU."""
    import torch

    returned: dict[Any, Tensor] = {}

    def keep(relu: Any, given: Any, out: "Tensor") -> None:
        returned[relu] = out.detach()

    def guide(relu: Any, before: Any, behind: Any) -> "tuple[Tensor]":
        return (rule(before[0], behind[0], returned[relu]),)

    with vh.preserve_state(model), torch.enable_grad():
        for relu in model.modules():
            if isinstance(relu, torch.nn.ReLU):
                relu.inplace = False
                relu.register_forward_hook(keep)
                relu.register_full_backward_hook(guide)
        pixels = image.clone().requires_grad_()
        return torch.autograd.grad(score(model(pixels)), pixels)[0][0]
