"""What saliency maps cost, each against one plain forward pass.

Run: ``python tests/benchmarks/bench_saliency.py``. Prints ratios, which carry over to other
machines, unlike the times. Nothing fails here.
"""

from collections.abc import Iterator
from functools import partial

import torch
from stopwatch import seconds

from vizhelpers.attribution.saliency import METHODS, saliency_maps
from vizhelpers.zoo.loading import load_model

ROUNDS = 6  # the fastest counts: the first one loads captum
IMAGES = 2


def rows() -> Iterator[tuple[str, str, str, str]]:
    """What, against what, the goal, and what was measured."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = load_model("resnet18").eval()
    images = torch.rand(IMAGES, 3, 128, 128)

    @torch.no_grad()
    def plain() -> object:
        return model(images)

    ways = [partial(saliency_maps, model, images, 0, method=method) for method in METHODS]
    base, *others = seconds([plain, *ways], ROUNDS)
    passes = [way() for way in ways]
    torch.set_num_threads(threads)
    for found, time_needed in zip(passes, others, strict=True):
        through = f"{found.forward_images // IMAGES} forward"
        through += f", {found.backward_images // IMAGES} back" if found.backward_images else ""
        yield (
            f"{found.method} for an image, ResNet-18 at 128 × 128 ({through})",
            "a plain forward pass, no_grad",
            "",
            f"{time_needed / base:.1f} ×",
        )


def main() -> None:
    for what, against, goal, measured in rows():
        print(f"{what}, against {against}: {measured}" + (f" (goal {goal})" if goal else ""))


if __name__ == "__main__":
    main()
