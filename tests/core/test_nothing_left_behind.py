"""Every public function that takes a model leaves everything as it was, however it ends.

One table of calls, four ways to end, one picture of the world before and after.
"""

import gc
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import psutil
import pytest
import torch
from support.portrait import portrait, random_numbers, some_grads
from torch import Tensor, nn

import vizhelpers as vh

SIZE = 16
SHAPE = (1, 3, SIZE, SIZE)


class Network(nn.Module):
    """Convolutions with BatchNorm, in-place ReLU and dropout; ends as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu, self.last = nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, 5)
        self.error: BaseException | None = None

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x)))
        if self.error is not None:
            raise self.error
        x = self.last(x)
        return self.head(self.drop(x.mean((2, 3))))


def randomized(model: nn.Module, images: Tensor) -> None:
    with vh.attribution.randomize_from_top(model) as layers:
        for _ in layers:
            model(images)


def picked(model: nn.Module, images: Tensor) -> None:
    def draw(name: str) -> Tensor:
        return vh.capture(model, images, name)[name][0].flatten()[:4].reshape(2, 2).sigmoid()

    picker = vh.layer_picker(model, draw, kind=nn.Conv2d)
    picker.pick("last")
    if picker.last_error:
        raise picker.last_error


# What is called, and the same with an argument that is wrong.
CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any] | None]] = {
    "capture": (
        lambda m, x: vh.capture(m, x, ["conv", "last"], with_inputs=True),
        lambda m, x: vh.capture(m, x, "nope"),
    ),
    "capture gradients": (
        lambda m, x: vh.capture(m, x, "conv", gradients=True),
        lambda m, x: vh.capture(m, x, "conv", gradients=lambda out: out),
    ),
    "summarize": (
        lambda m, x: repr(vh.summarize(m, SHAPE)),
        lambda m, x: vh.summarize(m, SHAPE, columns=["nope"]),
    ),
    "layer_budget": (lambda m, x: repr(vh.inspection.layer_budget(m, SHAPE)), None),
    "module_graph": (vh.inspection.module_graph, None),
    "weight_stats": (lambda m, x: vh.inspection.weight_stats(m), None),
    "receptive_field": (
        lambda m, x: vh.features.receptive_field(m, "last", SHAPE),
        lambda m, x: vh.features.receptive_field(m, "last", (3, 3)),
    ),
    "top_patches": (
        lambda m, x: vh.features.top_patches(m, "last", x, count=1),
        lambda m, x: vh.features.top_patches(m, "last", x, count=99),
    ),
    "maximize_activation": (
        lambda m, x: vh.maximize_activation(m, "last", [0, 1], shape=SHAPE[1:], steps=3),
        lambda m, x: vh.maximize_activation(m, "last", 99, shape=SHAPE[1:], steps=3),
    ),
    "channel_means": (
        lambda m, x: vh.features.channel_means(m, "last", x),
        lambda m, x: vh.features.channel_means(m, "last", x, objective="nope"),
    ),
    "choose_target_layer": (vh.attribution.choose_target_layer, None),
    "deletion_insertion": (
        lambda m, x: vh.attribution.deletion_insertion(m, x, x[:, 0].abs(), 1, fill=0, steps=2),
        lambda m, x: vh.attribution.deletion_insertion(m, x, x[:, 0].abs(), 99, fill=0, steps=2),
    ),
    "randomize_from_top": (randomized, None),
    "layer_picker": (picked, None),
    **{
        f"class_maps {method}": (
            lambda m, x, method=method: vh.class_maps(m, x, 1, method=method),
            lambda m, x, method=method: vh.class_maps(m, x, 99, method=method),
        )
        for method in vh.attribution.cam.METHODS
    },
    **{
        f"saliency_maps {method}": (
            lambda m, x, method=method: vh.saliency_maps(
                m, x, 1, method=method, steps=2, samples=2, window=8, stride=8
            ),
            lambda m, x, method=method: vh.saliency_maps(m, x, 99, method=method),
        )
        for method in vh.attribution.saliency.METHODS
    },
}
RUNS_NO_MODEL = {"weight_stats"}


def world(model: nn.Module) -> dict[str, Any]:
    """Everything that a function could leave changed."""
    return {
        "model": portrait(model),
        "attributes": sorted(vars(model)),
        "random numbers": random_numbers(),
        "gradients on": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "torch": (torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()),
        "calling": (nn.Module.__call__, nn.Module.__getattr__),
        "threads": threading.active_count(),
        "matplotlib": dict(matplotlib.rcParams),
        "figures": matplotlib.pyplot.get_fignums() if "pyplot" in dir(matplotlib) else [],
        "warnings": list(warnings.filters),
        "interrupts": signal.getsignal(signal.SIGINT),
        "processes": psutil.Process().children(),
        "files": sorted(Path.cwd().iterdir()),
    }


@pytest.fixture(scope="module", autouse=True)
def libraries_are_loaded() -> None:
    """What importing a library does happens once, and is not what is tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("summarize", "module_graph", "class_maps GradCAM", "class_maps FullGrad"):
            CALLS[name][0](Network().eval(), torch.rand(2, *SHAPE[1:]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ending", ["well", "wrong argument", "model raises", "interrupted"])
@pytest.mark.parametrize("name", CALLS)
def test_everything_is_as_it_was(
    name: str, ending: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, wrong = CALLS[name]
    if (ending == "wrong argument" and wrong is None) or (
        ending in ("model raises", "interrupted") and name in RUNS_NO_MODEL
    ):
        pytest.skip("does not apply")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = Network().train()
    model.last.eval()
    model.head.weight.requires_grad_(False)
    some_grads(model)
    images = torch.rand(2, *SHAPE[1:])
    given, version = images.clone(), images._version
    before = world(model)
    if ending == "well":
        call(model, images)
    elif ending == "wrong argument":
        assert wrong is not None
        with pytest.raises((TypeError, ValueError)):
            wrong(model, images)
    else:
        error = RuntimeError("broken") if ending == "model raises" else KeyboardInterrupt()
        model.error = error
        before = world(model)
        with pytest.raises((type(error), RuntimeError, ValueError, KeyboardInterrupt)):
            call(model, images)
        model.error = None
    after = world(model)
    for what, there in before.items():
        assert after[what] == there, what
    assert torch.equal(images, given)
    assert images._version == version
    assert images.grad is None


def test_memory_stays_flat() -> None:
    """A hundred calls keep no tensor alive."""
    model, images = Network().eval(), torch.rand(2, *SHAPE[1:])

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    quick = ("capture", "capture gradients", "class_maps GradCAM", "saliency_maps Gradient")
    for name in quick:
        CALLS[name][0](model, images)
    before = tensors()
    for _ in range(25):
        for name in quick:
            CALLS[name][0](model, images)
    assert tensors() <= before
