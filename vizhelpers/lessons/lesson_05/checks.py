"""Exercises of lesson 05, FlashTorch: saliency maps and pictures that drive a channel."""

from collections.abc import Callable
from functools import cache
from itertools import product
from traceback import extract_tb
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

# What a mistake is called, and what a learner's function does instead.
Mistakes = list[tuple[tuple[str, ...], Callable[..., Any]]]

q1 = question("05.q1", right_choice="b")
q2 = question("05.q2", right_choice="a")
q3 = question("05.q3", right_choice="c")

CAT = "cat_on_sea_0"  # the scene whose score is shared out
TOLERANCE = 0.006  # two decimals
LAYER, CHANNEL = "features.8", 52  # of AlexNet: what the picture is to drive
SHAPE = (3, 128, 128)
BRIGHTEST = 3  # a normalised picture stays below it, one of 0 to 255 does not
TIMES = 2  # as far as the strongest scene; a scene turned round gets a little further, too
SAME_PICTURE = 0.01  # mean difference to a scene, from 0 to 1
PAIR = 6  # the scene with two objects that a mended function is tried on


@exercise("05.share")
def share(answer: object) -> Outcome:
    """Which share of the cat's score lies on the cat, by integrated gradients?"""
    given = number(answer)
    found, inside = _shared_out(), _inside()
    values, score = found["IntegratedGradients"][0], found["score"][0]
    expected, soft = _part(values, inside), _part(values, found["mask"][0])
    on_the_cat, area = float((values * inside).sum()), float(inside.mean())
    baseline = float(found["score"][1])
    mistakes: dict[float, str] = {
        1 - expected: "outside",
        _part(values.sum(0).clamp(min=0), inside): "positive",
        _part(values.clamp(min=0), inside): "positive",
        _part(values.sum(0).abs(), inside): "absolute",
        _part(values.abs(), inside): "absolute",
        on_the_cat: "total",
        float(values.sum()): "total",
        on_the_cat / float(score): "score",
        on_the_cat / (float(score) - baseline): "score",
        area: "area",
        _part(found["not normalised"][0], inside): "not_normalised",
        _part(found["not normalised"][0].sum(0).clamp(min=0), inside): "not_normalised",
        _part(found["Gradient"][0], inside): "gradient",
        _part(found["Gradient"][0].abs().amax(0), inside): "gradient",
        _part(found["GradientXInput"][0], inside): "times_input",
        _part(found["GradientXInput"][0].sum(0).clamp(min=0), inside): "times_input",
    }
    # The mask cut at one half, as asked for, or taken as it is: both are the cat.
    if min(abs(given - expected), abs(given - soft)) <= TOLERANCE:
        return right(share=f"{expected:.2f}", outside=f"{1 - expected:.2f}", area=f"{area:.2f}")
    if abs(given - 100 * expected) <= 100 * TOLERANCE:
        return wrong("percent")
    nearest = min(mistakes, key=lambda value: abs(given - value))
    close = abs(given - nearest) <= TOLERANCE
    return wrong(mistakes[nearest] if close else "other")


def _part(values: "Tensor", inside: "Tensor") -> float:
    """The share of the values' sum that lies inside."""
    return float((values * inside).sum() / values.sum())


def _inside() -> "Tensor":
    return (_shared_out()["mask"][0] > 0.5).float()


@cache
def _shared_out() -> "dict[str, Tensor]":
    """Signed values `[1, 3, H, W]` by method; the cat's mask; its score and the baseline's."""
    import torch

    from vizhelpers.attribution.saliency import saliency_maps
    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_scenes
    from vizhelpers.zoo.loading import load_model

    scenes = load_scenes()
    index = scenes.names.index(CAT)
    picture, cat = scenes.images[[index]], int(scenes.labels[index])
    image, model = normalize(picture), load_model("resnet18")
    found = {
        method: saliency_maps(model, image, cat, method=method).signed
        for method in ("IntegratedGradients", "Gradient", "GradientXInput")
    }
    raw = saliency_maps(model, picture, cat, method="IntegratedGradients")
    with torch.no_grad():
        score = model(torch.cat([image, torch.zeros_like(image)]))[:, cat]
    return found | {"not normalised": raw.signed, "mask": scenes.masks[[index]], "score": score}


@exercise("05.drive")
def drive(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Make a picture that drives a channel at least twice as far as any scene does."""
    picture = _picture(answer)
    if tuple(picture.shape) != SHAPE:
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
    if value < 0:
        return wrong("down", **numbers)
    return wrong("short", share=f"{value / most:.0%}", **numbers)


def _picture(answer: object) -> "Tensor":
    """The answer as a tensor on the CPU, without a first dimension of one picture."""
    import numpy as np
    import torch

    if isinstance(answer, np.ndarray) and answer.dtype.kind in "fiub":
        answer = torch.from_numpy(np.ascontiguousarray(answer))
    if not isinstance(answer, torch.Tensor) or answer.is_complex() or not answer.numel():
        raise WrongKindError("tensor")
    picture = answer.detach().cpu()
    return picture[0] if picture.ndim == 4 and len(picture) == 1 else picture


def _means(pictures: "Tensor") -> "Tensor":
    """The mean of each channel of the layer, `[N, C]`, for pictures from 0 to 1."""
    from vizhelpers.features.activation_maximization import channel_means
    from vizhelpers.images import normalize
    from vizhelpers.zoo.loading import load_model

    return channel_means(load_model("alexnet"), LAYER, normalize(pictures))


@cache
def _scene_means() -> "tuple[tuple[str, ...], Tensor, Tensor]":
    """The scenes' names and images, and what each makes of every channel."""
    from vizhelpers.scenes import load_scenes

    scenes = load_scenes()
    return tuple(scenes.names), scenes.images, _means(scenes.images)


@exercise("05.mend")
def mend(answer: object) -> Outcome:
    """Mend a guided backpropagation that ignores the class, weights by activations and leaks.

    It is tried on AlexNet, for a class that is not the predicted one.
    """
    import torch
    from torch import Tensor

    if not callable(answer) or isinstance(answer, type | torch.nn.Module):
        raise WrongKindError("function")
    model, image, target = _trial()
    found, left, problem = _try_out(answer, model, image, target)
    if problem is not None:
        return wrong("fails", **problem)
    (_, expected), *others = _variants()
    if not isinstance(found, Tensor) or found.squeeze().shape != expected.shape:
        return wrong("shape", found=found, expected=list(expected.shape))
    given = found.detach().squeeze().to("cpu", torch.float32)
    if _same(given, expected):
        if left:
            return wrong("left", left=", ".join(left))
        return right(largest=f"{expected.abs().max():.2g}")
    for mistakes, variant in others:
        if mistakes and _same(given, variant):
            return wrong(mistakes[0])
    return wrong("other")


def _same(one: "Tensor", other: "Tensor") -> bool:
    return bool((one - other).abs().max() <= 1e-3 * other.abs().max())


def _trial() -> "tuple[nn.Module, Tensor, int]":
    """A network, an image of two objects, and the class of the less likely one."""
    import torch

    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_pairs
    from vizhelpers.zoo.loading import load_model

    pairs = load_pairs(limit=PAIR + 1)
    model, image = load_model("alexnet"), normalize(pairs.images[[PAIR]])
    objects = [int(pairs.labels_a[PAIR]), int(pairs.labels_b[PAIR])]
    with torch.no_grad():
        scores = model(image)[0]
    return model, image, min(objects, key=lambda label: float(scores[label]))


def _try_out(
    function: Callable[..., object], model: Any, image: "Tensor", target: int
) -> tuple[object, list[str], dict[str, str] | None]:
    """What the function returns, what it leaves behind, and its error."""
    import torch

    from vizhelpers.state import preserve_state

    found, problem = None, None
    before = _state(model)
    with preserve_state(model), torch.enable_grad():
        try:
            found = function(model, image.clone(), target)
        except Exception as error:  # a function that is still broken is an answer, too
            said = (str(error) or type(error).__name__).splitlines()[0]
            problem = {"problem": said, "place": _place(error)}
        after = _state(model)
    return found, [what for what in before if after[what] != before[what]], problem


def _place(error: Exception) -> str:
    """The learner's own line, where there is one: ` in the line …`."""
    lines = [frame.line for frame in extract_tb(error.__traceback__)[1:2]]
    return f" in the line `{lines[0][:100]}`" if lines and lines[0] else ""


def _state(model: Any) -> dict[str, object]:
    """What a function may forget to put back, by the name that the learner is told."""
    import torch

    modules, weights = list(model.modules()), list(model.parameters())
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    relus = [module for module in modules if isinstance(module, torch.nn.ReLU)]
    return {
        "hooks": [len(getattr(module, kind)) for module in modules for kind in kinds],
        "`inplace` of the ReLUs": [relu.inplace for relu in relus],
        "gradients in the weights' `.grad`": [weight.grad is not None for weight in weights],
        "`requires_grad` of the weights": [weight.requires_grad for weight in weights],
        "the mode, `train()` or `eval()`": [module.training for module in modules],
    }


@cache
def _variants() -> "list[tuple[tuple[str, ...], Tensor]]":
    """The right map with `()`, then what each set of mistakes makes of it."""
    import torch

    from vizhelpers.attribution.guided import guided_gradient

    model, image, target = _trial()
    pixels = image.clone().requires_grad_()
    with torch.enable_grad():
        expected = guided_gradient(model(pixels)[:, target], pixels)[0]
    classes: Mistakes = [((), lambda out: out[0, target]), (("predicted",), lambda out: out.max())]
    # Of a ReLU: the gradient before it, the gradient behind it, and what it returned.
    rules: Mistakes = [
        ((), lambda before, behind, out: before.clamp(min=0)),
        (("times",), lambda before, behind, out: behind.clamp(min=0) * out),
        (("times",), lambda before, behind, out: behind * out),
        (("plain",), lambda before, behind, out: before),
        (("no_mask",), lambda before, behind, out: behind.clamp(min=0)),
    ]
    ends: Mistakes = [
        ((), lambda found: found),
        (("sign",), lambda found: found.abs()),
        (("sign",), lambda found: found.clamp(min=0)),
    ]
    variants: list[tuple[tuple[str, ...], Tensor]] = [((), expected)]
    for (one, score), (two, rule) in product(classes, rules):
        found = _gradient(model, image, score, rule)
        variants += [(one + two + three, end(found)) for three, end in ends]
    return variants


def _gradient(
    model: "nn.Module", image: "Tensor", score: Callable[..., Any], rule: Callable[..., Any]
) -> "Tensor":
    """The gradient of a score, `[3, H, W]`, with a rule of its own for every ReLU."""
    import torch

    from vizhelpers.state import preserve_state

    relus: list[Any] = [each for each in model.modules() if isinstance(each, torch.nn.ReLU)]
    returned: dict[Any, Tensor] = {}

    def keep(relu: Any, given: Any, out: "Tensor") -> None:
        returned[relu] = out.detach()

    def guide(relu: Any, before: Any, behind: Any) -> "tuple[Tensor]":
        return (rule(before[0], behind[0], returned[relu]),)

    with preserve_state(model), torch.enable_grad():
        for relu in relus:
            relu.inplace = False
            relu.register_forward_hook(keep)
            relu.register_full_backward_hook(guide)
        pixels = image.clone().requires_grad_()
        return torch.autograd.grad(score(model(pixels)), pixels)[0][0]
