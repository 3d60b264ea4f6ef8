"""Examples in docstrings run and say what they say; every name of the face has one.

An example may speak of `model`, a trained ResNet18, of `images`, what four pictures are for it, and
of `scenes` and a `scene`, of which it knows mask and parts as well.
"""

import doctest
import inspect
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

import vizhelpers as vh
from vizhelpers import attribution, features, inspection, scenes, tensorboard, widgets, zoo

TOPICS = [vh, inspection, features, attribution, tensorboard, widgets, scenes, zoo]


def functions() -> Iterator[Callable[..., object]]:
    """Yield what a learner can call, each once."""
    seen = set()
    for topic in TOPICS:
        for name in dir(topic):
            found = getattr(topic, name)
            if callable(found) and found.__module__.startswith("vizhelpers") and found not in seen:
                seen.add(found)
                yield found


ALL = list(functions())
NAMES = {name: getattr(topic, name) for topic in reversed(TOPICS) for name in dir(topic)}
FACE = [getattr(vh, name) for name in dir(vh) if callable(getattr(vh, name))]


@pytest.mark.parametrize("function", FACE, ids=lambda f: f.__name__)
def test_the_face_is_shown_in_use(function: Callable[..., object]) -> None:
    assert "Example:\n" in inspect.getdoc(function), "what does a call look like?"


class WhereSaid(doctest.OutputChecker):
    """Compares where an example says what comes out: what is a picture need not be spelled."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture(scope="module")
def stage() -> dict[str, object]:
    scenes = vh.load_scenes()
    images, model = vh.normalize(scenes.images[:4]), vh.load_model("resnet18")
    given = {"torch": torch, "nn": nn, "model": model, "images": images, "scenes": scenes}
    given["scene"] = scenes["cat_on_space_0"]
    return {"vh": vh, **NAMES, **given}


@pytest.mark.parametrize("function", ALL, ids=lambda f: f.__name__)
def test_examples_are_true(function: Callable[..., object], stage: dict[str, object]) -> None:
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(WhereSaid(), optionflags=options)
    finder = doctest.DocTestFinder(recurse=False)
    said: list[str] = []
    for test in finder.find(function, function.__name__, globs=stage):
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)
