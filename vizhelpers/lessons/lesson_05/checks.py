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
LAYER, CHANNELS = "features.8", (52, 17)  # of AlexNet: what one picture is to drive
NETWORKS = ("alexnet", "vgg11", "resnet18")
SHAPE = (3, 128, 128)
BRIGHTEST = 3  # a normalised picture stays below it, one of 0 to 255 does not
TIMES = 2  # as far as the strongest scene; a scene turned round gets a little further, too
BOTH_TIMES = 3  # a long climb for channel 52 alone takes 17 to 2.4 times, too
SAME_PICTURE = 0.01  # mean difference to a scene, from 0 to 1
SHIFT, STEADY = 2, 0.9  # pixels; which share of the activation must be left
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
def drive(answer: object) -> Outcome:
    """Make one picture that drives two channels, each three times as far as any scene does."""
    picture = _picture(answer)
    if isinstance(picture, Outcome):
        return picture
    names, images, means = _scene_means("alexnet", LAYER)
    best = means.amax(0)
    times = (_means("alexnet", LAYER, picture[None])[0] / best)[list(CHANNELS)]
    numbers: dict[str, object] = {"count": len(names)}
    for place, channel in zip(("first", "second"), CHANNELS, strict=True):
        numbers |= {f"{place}_scene": names[int(means[:, channel].argmax())]}
    numbers |= {"first": f"{times[0]:.1f}", "second": f"{times[1]:.1f}"}
    differences = (images - picture).abs().mean((1, 2, 3))
    if differences.min() < SAME_PICTURE:
        return wrong("real", name=names[int(differences.argmin())], **numbers)
    if times.min() >= BOTH_TIMES:
        return right(**numbers)
    if times.max() >= BOTH_TIMES:
        reached, missed = (CHANNELS[int(place)] for place in (times.argmax(), times.argmin()))
        return wrong("one", reached=reached, missed=missed, **numbers)
    return wrong("short", **numbers)


@exercise("05.steady")
def steady(answer: object) -> Outcome:
    """Drive a channel of one's own choice, and go on doing so when the picture is shifted."""
    if not (isinstance(answer, tuple | list) and len(answer) == 4):
        return wrong("parts")
    network, layer, channel, made = answer
    picture = _picture(made)
    if isinstance(picture, Outcome):
        return picture
    return _no_such_unit(network, layer, channel) or _steadiness(network, layer, channel, picture)


def _no_such_unit(network: object, layer: object, channel: object) -> Outcome | None:
    """What is wrong with the channel's name, if something is."""
    if network not in NETWORKS:
        return wrong("network", network=network, networks=", ".join(NETWORKS))
    if layer not in vh.list_layers(vh.load_model(str(network))):
        return wrong("layer", layer=layer, network=network)
    last = _scene_means(str(network), str(layer))[2].shape[1] - 1
    if not (isinstance(channel, int) and 0 <= channel <= last):
        return wrong("channel", channel=channel, last=last)
    return None


def _steadiness(network: str, layer: str, channel: int, picture: "Tensor") -> Outcome:
    """Whether a picture drives the channel, and whether it still does when it is shifted."""
    names, _, means = _scene_means(network, layer)
    best, strongest = float(means[:, channel].max()), names[int(means[:, channel].argmax())]
    if best <= 0:
        return wrong("silent", channel=channel, layer=layer)
    here, *shifted = _means(network, layer, _shifted(picture))[:, channel].tolist()
    kept = min(shifted) / here if here > 0 else 0.0
    numbers = {"scene": strongest, "times": f"{here / best:.1f}", "kept": f"{kept:.0%}"}
    if here < TIMES * best:
        return wrong("short", **numbers)
    return right(**numbers) if kept >= STEADY else wrong("moved", **numbers)


def _picture(answer: object) -> "Tensor | Outcome":
    """A picture from 0 to 1, or what is wrong with it."""
    picture = tensor(answer)
    picture = picture[0] if picture.ndim == 4 and len(picture) == 1 else picture
    if picture.shape != SHAPE:
        return wrong("shape", shape=list(picture.shape), expected=list(SHAPE))
    low, high = (float(edge) for edge in picture.aminmax())
    if not picture.is_floating_point() or high > BRIGHTEST:
        return wrong("bytes", low=low, high=high)
    slack = 1e-4  # of a picture that was normalised and taken back
    if not (low >= -slack and high <= 1 + slack):  # so written that NaN is outside, too
        return wrong("outside", low=f"{low:.2f}", high=f"{high:.2f}")
    return picture.float().clamp(0, 1)


def _shifted(picture: "Tensor") -> "Tensor":
    """The picture where it is, then shifted around the edge in each of the eight directions."""
    import torch

    ways = [(0, 0), *(way for way in product((0, -SHIFT, SHIFT), repeat=2) if any(way))]
    return torch.stack([picture.roll(way, dims=(1, 2)) for way in ways])


def _means(network: str, layer: str, pictures: "Tensor") -> "Tensor":
    """The mean of each channel of a layer, `[N, C]`, for pictures from 0 to 1."""
    return vh.features.channel_means(vh.load_model(network), layer, vh.normalize(pictures))


@cache
def _scene_means(network: str, layer: str) -> "tuple[tuple[str, ...], Tensor, Tensor]":
    """The scenes' names and images, and what each makes of every channel."""
    scenes = vh.load_scenes()
    return scenes.names, scenes.images, _means(network, layer, scenes.images)


@prediction("05.guess")
def what_it_wants(found: list[str]) -> tuple[str, dict[str, object]]:
    """Which objects the strongest scenes show."""
    count = {name: found.count(name) for name in found}
    most = max(count, key=lambda name: count[name])
    numbers = {"most": most, "count": count[most], "all": len(found)}
    return {"car": "b", "house": "c"}.get(most, "a"), numbers


@prediction("05.shift")
def left_after_a_shift(found: float) -> tuple[str, dict[str, object]]:
    """How much of the activation is left when the picture is shifted by two pixels."""
    return "a" if found > 0.9 else "b" if found > 0.7 else "c", {"left": f"{found:.0%}"}


@prediction("05.strangers")
def named_by_a_stranger(found: int) -> str:
    """How many of ten pictures, made for another network, are named as meant."""
    return "a" if found <= 2 else "b" if found <= 6 else "c"


@exercise("05.mend")
def mend(answer: object) -> Outcome:
    """Mend a guided backpropagation that ignores the class, weights by activations and leaks.

    It is tried on AlexNet, for a class that is not the predicted one.
    """
    function = own_function(answer, ready=("guided_gradient", "saliency_maps"))
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
