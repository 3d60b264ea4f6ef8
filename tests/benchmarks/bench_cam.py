"""What class activation maps of a batch cost, against pytorch-grad-cam's own call.

Run: ``python tests/benchmarks/bench_cam.py``. Prints ratios, which carry over to other machines,
unlike the times. Nothing fails here.
"""

from collections.abc import Iterator
from functools import partial

import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from stopwatch import seconds

from vizhelpers.attribution.cam import class_maps
from vizhelpers.zoo.loading import load_model

ROUNDS = 10
IMAGES = 8
METHODS = {"GradCAM": "≤ 1.1 ×", "LayerCAM": "", "EigenCAM": ""}


def rows() -> Iterator[tuple[str, str, str, str]]:
    """What, against what, the goal, and what was measured."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = load_model("resnet18").eval()
    images = torch.rand(IMAGES, 3, 128, 128)
    targets = [ClassifierOutputTarget(3)] * IMAGES

    def library(method: str) -> object:
        cam = getattr(pytorch_grad_cam, method)
        with cam(model=model, target_layers=[model.layer4]) as maps:
            return maps(input_tensor=images, targets=targets)

    for method, goal in METHODS.items():
        ours, theirs = seconds(
            [
                partial(class_maps, model, images, 3, method=method, layer="layer4"),
                partial(library, method),
            ],
            ROUNDS,
        )
        yield (
            f"class_maps, {method} of {IMAGES} images, ResNet-18 at 128 × 128",
            "pytorch-grad-cam's own call",
            goal,
            f"{ours / theirs:.2f} × ({1000 * ours:.0f} ms)",
        )
    torch.set_num_threads(threads)


def main() -> None:
    for what, against, goal, measured in rows():
        print(f"{what}, against {against}: {measured}" + (f" (goal {goal})" if goal else ""))


if __name__ == "__main__":
    main()
