"""Exercises of lesson 00, start here."""

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from torch import Tensor

SCENE = "cat_on_space_0"  # the shipped picture that two exercises ask about
TRUTH, BACKGROUND = "cat", "space"

q1 = question("00.q1", right_choice="a")
q2 = question("00.q2", right_choice="c")
q3 = question("00.q3", right_choice="b")


@exercise("00.swap")
def swap(answer: object) -> Outcome:
    """Draw the penguin of seed 7 on the desert."""
    import numpy as np

    from vizhelpers.scenes import Scene, draw_scene

    scene = expect(answer, "scene", Scene)
    wanted, at_home = draw_scene("penguin", "desert", seed=7), draw_scene("penguin", "snow", seed=7)
    if scene.object != wanted.object:
        return wrong("object", found=scene.object or "nothing")
    if scene.background != wanted.background:
        return wrong("background", found=scene.background)
    if not (np.array_equal(scene.mask, wanted.mask) and np.array_equal(scene.image, wanted.image)):
        return wrong("another")
    same = (wanted.image == at_home.image).all(axis=2) & (wanted.mask == 255)
    return right(pixels=int(same.sum()))


@exercise("00.share")
def share(answer: object) -> Outcome:
    """What share of the picture is covered by the cat?"""
    given = number(answer)
    mask = _shipped()[1]
    expected, pixels = mask.mean().item(), mask.numel()
    if abs(given - expected) <= 0.01:
        return right(share=expected)
    mistakes = {"percent": 100 * expected, "pixels": pixels * expected, "rest": 1 - expected}
    for key, value in mistakes.items():
        if abs(given - value) <= 0.05 * value:
            return wrong(key, pixels=pixels)
    return wrong("range" if not 0 <= given <= 1 else "other")


@exercise("00.prediction")
def prediction(answer: object) -> Outcome:
    """Which class does the shortcut ResNet18 see in the cat on the space background?"""
    from vizhelpers.images import normalize
    from vizhelpers.scenes import CLASSES
    from vizhelpers.zoo.loading import load_model

    with suppress(WrongKindError):
        number(answer)
        return wrong("index")
    name = expect(answer, "text", str).strip().lower()
    image, _ = _shipped()
    said = CLASSES[load_model("resnet18", twin="shortcut")(normalize(image)[None]).argmax()]
    if name == said:
        return right(said=said, truth=TRUTH, background=BACKGROUND)
    mistakes = {TRUTH: "truth", BACKGROUND: "background"}
    key = mistakes.get(name, "other" if name in CLASSES else "unknown")
    return wrong(key, truth=TRUTH, classes=", ".join(CLASSES))


@cache
def _shipped() -> "tuple[Tensor, Tensor]":
    """The picture, `[3, H, W]`, and the mask, `[H, W]`, of `SCENE`."""
    from vizhelpers.scenes import load_scenes

    scenes = load_scenes()
    index = scenes.names.index(SCENE)
    return scenes.images[index], scenes.masks[index]
