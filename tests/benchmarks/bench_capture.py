"""What capturing costs, against a plain forward pass.

Run: ``python tests/benchmarks/bench_capture.py``. Prints ratios, which carry over to other
machines, unlike the times. Nothing fails here.
"""

from collections.abc import Iterator
from functools import partial

import torch
from stopwatch import seconds
from torch import Tensor
from torchvision.models import resnet18

from vizhelpers.hooks import capture
from vizhelpers.layers import get_layer, list_layers

ROUNDS = 40


def rows() -> Iterator[tuple[str, str, str, str]]:
    """What, against what, the goal, and what was measured."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = resnet18().eval()
    image = torch.rand(1, 3, 224, 224)
    layers = list_layers(model)

    @torch.no_grad()
    def plain() -> object:
        return model(image)

    def kept() -> object:
        """Every output held until the pass is over: the memory alone, without a copy."""
        outputs: list[Tensor] = []
        hooks = [
            get_layer(model, layer).register_forward_hook(lambda *args: outputs.append(args[2]))
            for layer in layers
        ]
        plain()
        for hook in hooks:
            hook.remove()
        return outputs

    everything = partial(capture, model, image, layers)
    one = partial(capture, model, image, "layer2", stop_early=True)
    forward, all_layers, held, early = seconds([plain, everything, kept, one], ROUNDS)
    torch.set_num_threads(threads)
    name, hooks = "ResNet-18 at 224 × 224", "the same outputs held by plain hooks, not copied"
    what = f"capture of all {len(layers)} layers, {name}"
    yield what, hooks, "≤ 1.15 ×", f"{all_layers / held:.2f} ×"
    what = "capture of `layer2` alone, `stop_early=True`"
    yield what, "a plain forward pass, no_grad", "≤ 0.7 ×", f"{early / forward:.2f} ×"


def main() -> None:
    for what, against, goal, measured in rows():
        print(f"{what}, against {against}: {measured}" + (f" (goal {goal})" if goal else ""))


if __name__ == "__main__":
    main()
