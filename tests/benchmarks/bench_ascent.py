"""Activation maximisation: four filters in one batch, against FlashTorch, one after the other.

Run: ``python tests/benchmarks/bench_ascent.py``. Prints ratios, which carry over to other
machines, unlike the times. Nothing fails here.
"""

import warnings
from collections.abc import Iterator
from functools import partial

import torch
from stopwatch import seconds
from torch import nn
from torchvision.models import vgg16

from vizhelpers.features.activation_maximization import maximize_activation
from vizhelpers.zoo.loading import load_model

ROUNDS = 1
STEPS = 30
FILTERS = [0, 5, 10, 20]
GOAL = "≥ 1.5 ×"
BARE = {"fourier": False, "jitter": 0, "blur": 0}


def flashtorch(model: nn.Module, layer: nn.Module, side: int) -> None:
    """FlashTorch as its users call it: one filter after the other, weights not frozen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses hooks and tensors as torch did in 2019
        from flashtorch.activmax import GradientAscent

        ascent = GradientAscent(model, img_size=side)
        for number in FILTERS:
            ascent.optimize(layer, number, num_iter=STEPS)
    for handle in ascent.handlers:
        handle.remove()
    model.zero_grad(set_to_none=True)


def rows() -> Iterator[tuple[str, str, str, str]]:
    """What, against what, the goal, and what was measured."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cases = (
        ("VGG-16, `features[24]`, 112 px", vgg16(weights=None).eval().features, "24", 112),
        ("the course's VGG-11, `features[8]`, 128 px", load_model("vgg11").features, "8", 128),
    )
    for name, features, layer, side in cases:
        ours = partial(
            maximize_activation, features, layer, FILTERS, steps=STEPS, shape=(3, side, side)
        )
        theirs = partial(flashtorch, features, features[int(layer)], side)
        base, *others = seconds([theirs, partial(ours, **BARE), ours], ROUNDS)
        for way, measured in zip(("pixels, nothing else", "the defaults"), others, strict=True):
            what = f"4 filters × {STEPS} steps of {name}, {way}: faster"
            times = f"{measured:.1f} s and {base:.1f} s"
            yield what, "FlashTorch", GOAL, f"{base / measured:.1f} × ({times})"
    torch.set_num_threads(threads)


def main() -> None:
    for what, against, goal, measured in rows():
        print(f"{what} than {against}: {measured} (goal {goal})")


if __name__ == "__main__":
    main()
