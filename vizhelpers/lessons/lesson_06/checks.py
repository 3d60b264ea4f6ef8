"""Exercises of lesson 06, TensorBoard."""

import contextlib
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
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
from vizhelpers.lessons.lesson_06.mystery import mystery

if TYPE_CHECKING:
    from torch import Tensor

q1 = question("06.q1", right_choice="b")
q2 = question("06.q2", right_choice="c")
q3 = question("06.q3", right_choice="a")


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
    if given[1] != vanishes:
        return wrong("vanishing", **values)
    return wrong("overfitting", **values)


@exercise("06.best")
def best(answer: object) -> Outcome:
    """Write a function that finds the step at which a logged curve is lowest."""
    function = _function(answer)
    steps, values = [0, 10, 20, 30, 40, 50], [0.9, 0.6, 0.3, 0.4, 0.5, 0.7]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _write(folder, "mine/val", "loss", steps, values)
        _write(folder, "mine/val", "another", steps, values[::-1])
        _write(folder, "mine/train", "loss", steps, sorted(values, reverse=True))
        found, problem = _try_out(function, folder, "mine/val", "loss")
    if problem is not None:
        return wrong("fails", problem=problem)
    index = values.index(min(values))
    try:
        step = number(found)
    except WrongKindError:
        return wrong("number", found=found)
    mistakes = {
        float(index): "index",
        float(steps[values.index(max(values))]): "highest",
        float(steps[-1]): "last",
        float(steps[values[::-1].index(min(values))]): "tag",
    }
    if step == steps[index]:
        return right(step=step, index=index)
    if abs(step - min(values)) < 1e-3:
        return wrong("value", found=step)
    return wrong(mistakes.get(step, "other"), found=step, expected=steps[index])


@exercise("06.mend")
def mend(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Mend a function that logs normalised pictures, at no step, with a writer left open."""
    function = _function(answer)
    batches = _batches()
    before = _open_writers()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        returned, problem = _try_out(function, folder, batches)
        left_open = _open_writers() - before
        _close(returned)
        shots = _images(folder)
    if problem is not None:
        return wrong("fails", problem=problem)
    if left_open > 0:
        return wrong("open", count=left_open)
    if not shots:
        return wrong("nothing")
    steps = [step for step, _ in shots]
    if sorted(steps) != sorted(batches):
        return wrong("steps", found=steps, expected=list(batches))
    meant, dark = _logged(batches, normalized=True), _logged(batches, normalized=False)
    if not all(_same(image, meant[step]) for step, image in shots):
        if all(_same(image, dark[step]) for step, image in shots):
            found, expected = (f"{images[steps[0]].mean():.0f}" for images in (dark, meant))
            return wrong("normalised", found=found, expected=expected)
        return wrong("other", expected=list(meant[steps[0]].shape))
    return right(steps=list(batches))


def _function(answer: object) -> Callable[..., object]:
    """The answer, if it is a function; a class or a network is none."""
    from torch import nn

    if not callable(answer) or isinstance(answer, type | nn.Module):
        raise WrongKindError("function")
    return answer


def _try_out(function: Callable[..., object], *arguments: object) -> tuple[object, str | None]:
    """What the function returns, and its error's text."""
    try:
        return function(*arguments), None
    except Exception as error:  # a function that is still broken is an answer, too
        return None, (str(error) or type(error).__name__).splitlines()[0]


def _write(folder: str, run: str, tag: str, steps: list[int], values: list[float]) -> None:
    """Log one curve."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(Path(folder, run))) as writer:
        for step, value in zip(steps, values, strict=True):
            writer.add_scalar(tag, value, step)


def _batches() -> "dict[int, Tensor]":
    """Normalised pictures for three steps, [2, 3, 8, 8] each."""
    import torch

    from vizhelpers.images import normalize

    generator = torch.Generator().manual_seed(0)
    return {step: normalize(torch.rand(2, 3, 8, 8, generator=generator)) for step in (0, 10, 20)}


def _logged(batches: "dict[int, Tensor]", *, normalized: bool) -> dict[int, Any]:
    """What a reader sees at each step if the batches are logged properly, or as they are."""
    from torch.utils.tensorboard import SummaryWriter

    from vizhelpers.tensorboard.images import log_images

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with SummaryWriter(folder) as writer:
            for step, batch in batches.items():
                if normalized:
                    log_images(writer, "batch", batch, step, normalized=True)
                else:
                    writer.add_images("batch", batch, step)
        return dict(_images(folder))


def _images(folder: str) -> list[tuple[int, Any]]:
    """Every image in the folder's event files with its step, as numbers that can be subtracted."""
    from vizhelpers.tensorboard.events import read_images

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is missing is said by the exercise
        try:
            runs = read_images(folder)
        except FileNotFoundError:
            return []
    return [
        (shot.step, shot.image.astype(int))
        for tags in runs.values()
        for shots in tags.values()
        for shot in shots
    ]


def _same(image: Any, expected: Any) -> bool:
    """Whether two images agree, but for rounding."""
    return image.shape == expected.shape and bool((abs(image - expected) <= 1).all())


def _open_writers() -> int:
    """How many writers of this process are open: each has a thread that waits for its data."""
    names = [type(thread).__name__ for thread in threading.enumerate()]
    return names.count("_AsyncWriterThread")


def _close(writer: object) -> None:
    """Close a writer that the function left open, if it returned one."""
    with contextlib.suppress(Exception):
        writer.close()  # type: ignore[attr-defined]
