"""Exercises of lesson 00, start here."""

import re
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    expect,
    nearest_mistake,
    number,
    prediction,
    right,
    tensor,
    wrong,
)
from vizhelpers.exercises.trials import shipped_scene

if TYPE_CHECKING:
    from torch import Tensor

SCENE = "cat_on_space_0"  # the shipped picture that two exercises ask about
TRUTH, BACKGROUND = "cat", "space"
TO_PAINT, OBJECT, MOST = "car_on_desert_0", "car", 0.1  # a share of the picture
GREY = 0.5  # what `paint_over` paints with


@prediction("00.p1")
def elsewhere(found: str) -> str:
    """What does the shortcut twin say to a penguin in the desert?"""
    return {"penguin": "a", "cactus": "b"}.get(found, "c")


@prediction("00.p2")
def without_eyes(found: list[str]) -> tuple[str, dict[str, object]]:
    """How many of 20 cats does the fair twin still know without their eyes?"""
    counts = Counter(found)
    cats = counts.pop(TRUTH, 0)
    ((instead, times),) = counts.most_common(1) or [("nothing else", 0)]
    letter = "a" if cats >= 15 else "b" if cats > 5 else "c"
    return letter, {"cats": cats, "instead": instead, "times": times}


@prediction("00.p3")
def not_normalised(found: int) -> str:
    """In how many of 200 scenes is the fair twin right, if nobody normalises them?"""
    return "a" if found >= 190 else "b"


@exercise("00.swap")
def swap(answer: object) -> Outcome:
    """Draw the fish of seed 5 in the forest."""
    scene = expect(answer, "scene", vh.scenes.Scene)
    wanted, at_home = (vh.draw_scene("fish", place, seed=5) for place in ("forest", "reef"))
    if scene.object != wanted.object:
        return wrong("object", found=scene.object or "nothing")
    if scene.background != wanted.background:
        return wrong("background", found=scene.background)
    if scene.image.shape != wanted.image.shape or (scene.image != wanted.image).any():
        return wrong("another")
    same = (wanted.image == at_home.image).all(dim=0) & (wanted.mask == 1)
    return right(pixels=int(same.sum()))


@exercise("00.share")
def share(answer: object) -> Outcome:
    """What share of the picture is covered by the cat?"""
    given = number(answer)
    mask = shipped_scene(SCENE).masks
    expected, pixels = mask.mean().item(), mask.numel()
    if abs(given - expected) <= 0.01:
        return right(share=expected)
    mistakes = {100 * expected: "percent", pixels * expected: "pixels", 1 - expected: "rest"}
    other = "other" if 0 <= given <= 1 else "range"
    key = nearest_mistake(given, mistakes, tolerance=0.05, other=other)
    return wrong(key, pixels=pixels)


@exercise("00.prediction")
def named(answer: object) -> Outcome:
    """Which class does the shortcut ResNet18 see in the cat on the space background?"""
    with suppress(WrongKindError):
        number(answer)
        return wrong("index")
    name = expect(answer, "text", str).strip().lower()
    name = re.sub(r"[\s:,]*\(?[\d.]+ ?%?\)?$", "", name)  # with its probability, in any form
    if name == _said_by("shortcut", shipped_scene(SCENE).images[0])[0]:
        return right(said=name, truth=TRUTH, background=BACKGROUND)
    mistakes = {TRUTH: "truth", BACKGROUND: "background"}
    key = mistakes.get(name, "other" if name in vh.CLASSES else "unknown")
    return wrong(key, truth=TRUTH, classes=", ".join(vh.CLASSES))


@exercise("00.open")
def changes_its_mind(answer: object) -> Outcome:
    """Paint a little of a car grey, so that the fair twin says something else."""
    painted = _painted(answer)
    image = shipped_scene(TO_PAINT).images[0]
    if painted.shape != image.shape[1:]:
        return wrong("shape", found=list(painted.shape), expected=list(image.shape[1:]))
    share = painted.float().mean().item()
    if not share:
        return wrong("nothing")
    if share > MOST:
        return wrong("much", share=_percent(share))
    _, before = _said_by("fair", image)
    said, sure = _said_by("fair", image.masked_fill(painted, GREY))
    if said == OBJECT:
        return wrong("same", sure=sure, share=_percent(share))
    return right(said=said, sure=sure, share=_percent(share), before=before)


def _painted(answer: object) -> "Tensor":
    """Where the answer is painted: a mask of zeros and ones, or what `paint_over` returns."""
    from vizhelpers.widgets.paint_over import PaintOver

    mask = tensor(answer.mask if isinstance(answer, PaintOver) else answer)
    if not ((mask == 0) | (mask == 1)).all():
        raise WrongKindError("mask")
    return mask.bool()


def _said_by(twin: str, image: "Tensor") -> tuple[str, str]:
    """The class that a twin finds most likely, and how likely."""
    model = vh.load_model("resnet18", twin=twin)
    probabilities = model(vh.normalize(image)[None])[0].softmax(0)
    return vh.CLASSES[probabilities.argmax()], _percent(probabilities.max().item())


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
