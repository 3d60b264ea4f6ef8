"""Exercises of lesson 00, start here."""

import re
from contextlib import suppress
from functools import cache

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    expect,
    nearest_mistake,
    number,
    right,
    wrong,
)
from vizhelpers.exercises.trials import shipped_scene

SCENE = "cat_on_space_0"  # the shipped picture that two exercises ask about
TRUTH, BACKGROUND = "cat", "space"


@exercise("00.swap")
def swap(answer: object) -> Outcome:
    """Draw the penguin of seed 7 on the desert."""
    scene = expect(answer, "scene", vh.scenes.Scene)
    wanted, at_home = (vh.draw_scene("penguin", place, seed=7) for place in ("desert", "snow"))
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
def prediction(answer: object) -> Outcome:
    """Which class does the shortcut ResNet18 see in the cat on the space background?"""
    with suppress(WrongKindError):
        number(answer)
        return wrong("index")
    name = expect(answer, "text", str).strip().lower()
    name = re.sub(r"\s*\(\d+ ?%\)$", "", name)  # the lesson shows it as "cat (96%)"
    if name == _predicted():
        return right(said=name, truth=TRUTH, background=BACKGROUND)
    mistakes = {TRUTH: "truth", BACKGROUND: "background"}
    key = mistakes.get(name, "other" if name in vh.CLASSES else "unknown")
    return wrong(key, truth=TRUTH, classes=", ".join(vh.CLASSES))


@cache
def _predicted() -> str:
    image = vh.normalize(shipped_scene(SCENE).images)
    return vh.CLASSES[vh.load_model("resnet18", twin="shortcut")(image).argmax()]
