"""Exercises of lesson 06, TensorBoard."""

import contextlib
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    wrong,
)
from vizhelpers.exercises.trials import own_function, try_out
from vizhelpers.lessons.lesson_06.mystery import mystery

if TYPE_CHECKING:
    from torch import Tensor

SLIDER, COUNT, RISING = 0.9, 100, 10  # of the open exercise
STEPS, VALUES = [0, 10, 20, 30, 40, 50], [0.9, 0.6, 0.3, 0.4, 0.5, 0.7]  # a logged curve


@prediction("06.p1")
def one_writer(found: int) -> str:
    """How many points has a curve to which one writer gave two losses for 20 epochs?"""
    return {20: "c", 40: "b"}.get(found, "a")


@prediction("06.p2")
def late(found: int) -> str:
    """When does the smoothed line of a cliff at step 50 pass the middle?"""
    return "a" if found < 52 else "b" if found < 65 else "c"


@prediction("06.p3")
def blamed(found: float) -> tuple[str, dict[str, object]]:
    """Does a network with sigmoids learn without its extra layers?"""
    letter = "a" if found < 0.57 else "b" if found < 0.85 else "c"
    return letter, {"share": f"{found:.0%}".replace("%", " %")}


@exercise("06.diagnose")
def diagnose(answer: object) -> Outcome:
    """Which network overfits, and which one has a vanishing gradient?"""
    from torch import nn

    given = "".join(c for c in expect(answer, "text", str).upper() if c.isalnum())
    settings = {letter: mystery(letter) for letter in "ABC"}
    overfits = min(settings, key=lambda letter: settings[letter].pictures)
    vanishes = next(k for k, setting in settings.items() if setting.activation is nn.Sigmoid)
    if len(given) != 2 or not set(given) <= set(settings):
        return wrong("letters")
    values = {"overfits": given[0], "vanishes": given[1]}
    if given == overfits + vanishes:
        return right(pictures=settings[overfits].pictures, **values)
    if given == vanishes + overfits:
        return wrong("swapped", **values)
    return wrong("overfitting" if given[1] == vanishes else "vanishing", **values)


@exercise("06.best")
def best(answer: object) -> Outcome:
    """Write a function that finds the step at which a logged curve is lowest."""
    function = own_function(answer)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _write(folder, "mine/val", "loss", VALUES)
        _write(folder, "mine/val", "another", VALUES[::-1])
        _write(folder, "mine/train", "loss", sorted(VALUES, reverse=True))
        trial = try_out(function, folder, "mine/val", "loss")
        another = try_out(function, folder, "mine/val", "another").found
    if trial.problem:
        return wrong("fails", problem=trial.problem, place=trial.place)
    index, last = VALUES.index(min(VALUES)), len(STEPS) - 1
    try:
        step = number(trial.found)
    except WrongKindError:
        return wrong("number", found=trial.found)
    if step == STEPS[index] and another != STEPS[last - index]:  # a step that was typed in
        return wrong("fixed", found=step)
    if step == STEPS[index]:
        return right(step=step, index=index)
    mistakes: dict[float, str] = {
        index: "index",
        STEPS[VALUES.index(max(VALUES))]: "highest",
        STEPS[last]: "last",
        STEPS[last - index]: "tag",
        min(VALUES): "value",
    }
    return wrong(nearest_mistake(step, mistakes, tolerance=1e-3), found=step)


@exercise("06.open")
def smoothed_lie(answer: object) -> Outcome:
    """Invent a curve that rises at its end while its smoothed line falls."""
    import numpy as np

    from vizhelpers._utils.arrays import as_numbers
    from vizhelpers.lessons.lesson_06.drawings import smooth

    given: Any = answer
    if isinstance(given, str | bytes) or callable(given):
        raise WrongKindError("list")
    try:
        curve = as_numbers(given).astype(float)
    except (TypeError, ValueError):
        raise WrongKindError("list") from None
    if curve.shape != (COUNT,):
        return wrong("length", found=list(curve.shape), expected=COUNT)
    if not np.isfinite(curve).all() or (curve < 0).any():
        return wrong("loss")
    logged, line = (np.diff(each)[-RISING:] for each in (curve, smooth(curve, SLIDER)))
    if (logged <= 0).any():
        return wrong("rises", count=int((logged > 0).sum()), of=RISING)
    if (line >= 0).any():
        return wrong("falls", count=int((line < 0).sum()), of=RISING)
    return right(low=f"{curve[-RISING - 1]:.2f}", high=f"{curve[-1]:.2f}", of=RISING)


def _write(folder: str, run: str, tag: str, values: list[float]) -> None:
    """Log one curve."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(Path(folder, run))) as writer:
        for step, value in zip(STEPS, values, strict=True):
            writer.add_scalar(tag, value, step)


@exercise("06.mend")
def mend(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Mend a function that logs normalised pictures, at no step, with a writer left open."""
    function, pictures = own_function(answer), _pictures()
    batches = {step: vh.normalize(each) for step, each in pictures.items()}
    before = _open_writers()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        trial = try_out(function, folder, batches)
        left_open = _open_writers() - before
        with contextlib.suppress(Exception):
            trial.found.close()  # a writer that was left open, and returned
        for thread in left_open:
            thread.stop()  # or it complains in the notebook, when its folder is gone
        shots = _images(folder)
    if trial.problem:
        return wrong("fails", problem=trial.problem, place=trial.place)
    if left_open:
        return wrong("open", count=len(left_open))
    if not shots:
        return wrong("nothing")
    steps = [step for step, _ in shots]
    if sorted(steps) != sorted(batches):
        return wrong("steps", found=steps, expected=list(batches))
    meant, dark = ({k: _tiles(v) for k, v in each.items()} for each in (pictures, batches))
    if all(_same(image, meant[step]) for step, image in shots):
        return right(steps=list(batches))
    if all(_same(image, dark[step]) for step, image in shots):
        found, expected = (f"{images[steps[0]].mean():.0f}" for images in (dark, meant))
        return wrong("normalised", found=found, expected=expected)
    return wrong("other", expected=list(meant[steps[0]].shape))


def _pictures() -> "dict[int, Tensor]":
    """Two pictures for each of three steps, [2, 3, 8, 8]."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return {step: torch.rand(2, 3, 8, 8, generator=generator) for step in (0, 10, 20)}


def _tiles(batch: "Tensor") -> Any:
    """A batch as TensorBoard shows it: side by side, [H, W, 3], from 0 to 255."""
    import torch

    row = torch.cat(list(batch), dim=2).permute(1, 2, 0)
    return (255 * row).clamp(0, 255).int().numpy()


def _same(image: Any, expected: Any) -> bool:
    """Whether two images agree, but for rounding."""
    return image.shape == expected.shape and bool((abs(image - expected) <= 1).all())


def _images(folder: str) -> list[tuple[int, Any]]:
    """Every image in the folder's event files with its step, as numbers that can be subtracted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is missing is said by the exercise
        try:
            runs = vh.tensorboard.read_images(folder)
        except FileNotFoundError:
            return []
    every = (shot for tags in runs.values() for shots in tags.values() for shot in shots)
    return [(shot.step, shot.image.astype(int)) for shot in every]


def _open_writers() -> set[Any]:
    """Find the writers of this process that are open: each has a thread that waits for data."""
    return {each for each in threading.enumerate() if type(each).__name__ == "_AsyncWriterThread"}
