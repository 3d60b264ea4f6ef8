"""Exercises of lesson 04, class activation maps."""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    exercise,
    expect,
    nearest_mistake,
    number,
    prediction,
    right,
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
    from torch import Tensor

Steps = dict[str, Callable[..., Any]]  # one step of a method, right or with a mistake

CAT = "cat_on_sea_0"  # the scene whose map is scored
TOLERANCE = 0.006  # two decimals, and a mask that is cut at 0.5 or not
LAYER = "features.11"  # of AlexNet: where a mended function is tried


@prediction("04.p1")
def trusted(found: str) -> str:
    """Which network is right more often, when the background changes?"""
    return found.lower()


@prediction("04.p2")
def stretched(found: float) -> tuple[str, dict[str, object]]:
    """How bright is the brightest place of a stretched map of something that is not there?"""
    letter = "a" if found < 0.25 else "b" if found < 0.75 else "c"
    return letter, {"found": f"{found:g}"}


@prediction("04.p3")
def above_the_blob(found: int) -> str:
    """In how many of three networks does Grad-CAM beat a blob in the middle?"""
    return {3: "a", 2: "b"}.get(found, "c")


@prediction("04.p4")
def deaf(found: str) -> str:
    """Which method's maps stay as they were, when the last layer is random?"""
    return "abc"[["GradCAM", "LayerCAM", "EigenCAM"].index(found)]


@exercise("04.energy")
def energy(answer: object) -> Outcome:
    """How much of a Grad-CAM map's sum lies on the cat?"""
    given, (share, area, mistakes) = number(answer), _energies()
    if abs(given - share) <= TOLERANCE:
        return right(share=f"{share:.2f}", area=f"{area:.2f}")
    other = "other" if 0 <= given <= 1 else "range"
    return wrong(nearest_mistake(given, mistakes, tolerance=TOLERANCE, other=other))


@cache
def _energies() -> tuple[float, float, dict[float, str]]:
    """The share of the map's sum on the cat; the cat's area; what mistakes lead to."""
    import torch

    scene = shipped_scene(CAT)
    both = torch.cat([vh.normalize(scene.images), scene.images])
    maps = vh.class_maps(vh.load_model("resnet18"), both).maps
    scores = vh.attribution.score_maps(maps, scene.masks.expand(2, -1, -1))
    (share, not_normalised), inside = scores.energy.tolist(), scene.masks[0] > 0.5
    area = inside.float().mean().item()
    mistakes = {
        100 * share: "percent",
        1 - share: "outside",
        maps[0][inside].mean().item(): "strength",
        (maps[0] * inside).mean().item(): "all_pixels",
        scores.iou[0].item(): "iou",
        area: "area",
        scores.pointing[0].item(): "pointing",
        not_normalised: "not_normalised",
    }
    return share, area, mistakes


@exercise("04.open")
def off_the_object(answer: object) -> Outcome:
    """Find a scene with the right answer whose map has its peak outside the object."""
    name = expect(answer, "text", str).strip()
    if name not in vh.load_scenes().names:
        return wrong("scene", name=name)
    says, truth, pixels = _peak(name)
    if says != truth:
        return wrong("answer", name=name, says=says)
    if pixels == 0:
        return wrong("inside", name=name, truth=truth)
    return right(name=name, truth=truth, pixels=f"{pixels:.0f}")


@cache
def _peak(name: str) -> tuple[str, str, float]:
    """What ResNet18 says to a scene; the truth; how far from the object its map's peak is."""
    import torch
    from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]

    scene = shipped_scene(name)
    found = vh.class_maps(vh.load_model("resnet18"), vh.normalize(scene.images))
    distances = distance_transform_edt(scene.masks[0] <= 0.5)
    pixels = distances[(found.maps[0] == found.maps[0].max()).numpy()].min()
    says = vh.CLASSES[int(torch.as_tensor(found.targets)[0])]
    return says, vh.CLASSES[int(scene.labels[0])], float(pixels)


@exercise("04.mend")
def mend(answer: object) -> Outcome:
    """Mend a Grad-CAM that ignores the class, weights places instead of channels and keeps signs.

    It is tried on AlexNet, for a class that is not the predicted one.
    """
    function = own_function(answer, ready=("grad_cam", "class_maps"))
    model, image, target = two_objects()
    trial = try_out(function, model, LAYER, image, target, model=model)
    (_, expected), *mistakes = _variants()
    return judge_map(trial, expected, mistakes)


@cache
def _variants() -> "list[tuple[str, Tensor]]":
    """The right map, then what each mistake makes of it; of several mistakes, the first counts."""
    model, image, target = two_objects()
    scores: Steps = {"": lambda out: out[0, target], "predicted": lambda out: out.max()}
    weights: Steps = {"": lambda g: g.mean((1, 2), True), "axis": lambda g: g.mean(0, True)}
    ends: Steps = {"": lambda m: m.relu(), "abs": lambda m: m.abs(), "sign": lambda m: m}

    variants = []
    for one, score in scores.items():
        found = vh.capture(model, image, LAYER, gradients=score)
        maps, gradient = found[LAYER][0][0], found.gradients[LAYER][0][0]
        for (two, weigh), (three, end) in product(weights.items(), ends.items()):
            variants.append((one or two or three, end((weigh(gradient) * maps).sum(0))))
        variants.append((one or "places", (gradient * maps).sum(0).relu()))
    expected = variants[0][1]
    low, high = expected.aminmax()
    return [*variants, ("stretched", (expected - low) / (high - low))]
