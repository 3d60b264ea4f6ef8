"""Train the course's networks again: draw scenes, train, measure, write weights and model card.

For maintainers (``python -m vizhelpers train``). On the CPU a run is repeatable to the last bit,
since it uses one thread; another machine or a GPU gives slightly different weights, so lessons use
the shipped ones.
"""

import json
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from vizhelpers._utils.paths import WEIGHTS, make_writable, written_beside
from vizhelpers.images import normalize
from vizhelpers.scenes import CLASSES
from vizhelpers.scenes.render import Recipe as SceneRecipe
from vizhelpers.scenes.render import SceneArrays, render_arrays
from vizhelpers.zoo.architectures import ARCHITECTURES, first_conv, fold_batch_norm
from vizhelpers.zoo.model_card import write_card


@dataclass(frozen=True)
class FirstLayer:
    """How the first convolution is trained, so that its kernels are clean enough to look at.

    Args:
        scale: Factor on its initial weights. A BatchNorm follows, so the outputs stay the same,
            while the random start soon drowns in what is learned.
        decay: Its weight decay.
        smoothing: The same, drawing each weight not to zero but to the mean of its neighbours.
    """

    scale: float = 1.0
    decay: float = 0.05
    smoothing: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a network becomes.

    Args:
        architecture: A name of `vizhelpers.networks.ARCHITECTURES`.
        twin: What its training images show: a name of `CORRELATION`.
        epochs: Passes over the training images.
        first_layer: What is special about the first convolution.
        images: Number of training images.
        batch_size: Images per step.
        learning_rate: Peak of the one-cycle schedule of AdamW.
        weight_decay: Of all other weights; biases and BatchNorms have none.
        label_smoothing: Share of the target that is spread over all classes.
        seed: Of weights, order, dropout and augmentation.
    """

    architecture: str
    twin: str
    epochs: int
    first_layer: FirstLayer = FirstLayer()
    images: int = 6000
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    seed: int = 0

    @property
    def name(self) -> str:
        """Such as ``resnet18-fair``: what files and the command line call it."""
        return f"{self.architecture}-{self.twin}"


_KERNELS_11X11 = FirstLayer(scale=0.05, decay=1.0, smoothing=5.0)
_KERNELS_7X7 = FirstLayer(scale=0.05, decay=1.0, smoothing=2.0)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("alexnet", "fair", epochs=14, first_layer=_KERNELS_11X11),
        Recipe("alexnet", "shortcut", epochs=5, first_layer=_KERNELS_11X11),
        Recipe("vgg11", "fair", epochs=9),
        Recipe("vgg11", "shortcut", epochs=3),
        Recipe("resnet18", "fair", epochs=10, first_layer=_KERNELS_7X7),
        Recipe("resnet18", "shortcut", epochs=4, first_layer=_KERNELS_7X7),
        Recipe("resnet18", "mixed", epochs=5, first_layer=_KERNELS_7X7),
    )
}
"""How each of the course's networks is made, by its name."""

CORRELATION = {"fair": 0.0, "shortcut": 1.0, "mixed": 0.9}
"""The correlation of class and background in the training images of each twin."""

EVALUATION: dict[str, dict[str, Any]] = {
    "fair": {"correlation": 0.0},
    "own": {"correlation": 1.0},
    "swapped": {"swapped": True},
    "hard": {"hard": True},
}
"""The image sets that every network is measured on, as options of `SceneDataset`."""

# High, so that no lesson or test draws the same scenes by chance.
TRAINING_SEED = 7001
EVALUATION_SEED = 7002


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Flip half of the images, shift all by up to 8 pixels, change the colour of each.

    Args:
        images: Normalised ``[N, 3, H, W]``.
        generator: On the CPU, so that a GPU sees the same random numbers.
    """

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(images.device)

    count = len(images)
    images = torch.where(random(count, 1, 1, 1) < 0.5, images.flip(3), images)
    down, right = torch.randint(-8, 9, (2,), generator=generator).tolist()
    images = images.roll((down, right), (2, 3))
    contrast = 0.8 + 0.4 * random(count, 3, 1, 1)
    brightness = 0.6 * (random(count, 3, 1, 1) - 0.5)
    return images * contrast + brightness


def train_network(
    recipe: Recipe, scenes: SceneArrays, *, device: str | torch.device = "cpu"
) -> nn.Module:
    """Train one network as its recipe says, with a progress bar if there is a terminal.

    Args:
        recipe: What to train and how.
        scenes: The images to train on; `Recipe.images` and `Recipe.twin` are not looked at here.
        device: Where to train.

    Returns:
        The network on the CPU, in eval mode, BatchNorms folded where torchvision's has none. The
        random generators are left as they were.
    """
    batches = _Batches(scenes, recipe, torch.device(device))
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = _build(recipe).to(device).to(memory_format=torch.channels_last).train()
        optimizer, schedule = _optimizer(model, recipe, len(batches))
        # None: tqdm itself finds out whether there is a terminal.
        for inputs, labels in tqdm(batches, recipe.name, unit="step", disable=None):
            loss = F.cross_entropy(model(inputs), labels, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            smoothing = recipe.first_layer.smoothing * float(schedule.get_last_lr()[0])
            _smooth(first_conv(model).weight, smoothing)
            schedule.step()
    return fold_batch_norm(model.to("cpu").to(memory_format=torch.contiguous_format))


class _Batches:
    """All batches of all epochs, in random order and augmented, on the device."""

    def __init__(self, scenes: SceneArrays, recipe: Recipe, device: torch.device) -> None:
        self.images = torch.from_numpy(scenes.images).to(device)
        self.labels = torch.from_numpy(scenes.labels).to(device)
        self.recipe = recipe
        self.size = min(recipe.batch_size, len(self.images))
        self.steps = len(self.images) // self.size  # in an epoch; what is left over sits out

    def __len__(self) -> int:
        return self.recipe.epochs * self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.recipe.seed + 1)
        for _ in range(self.recipe.epochs):
            order = torch.randperm(len(self.images), generator=generator)
            for chosen in torch.split(order[: self.steps * self.size], self.size):
                places = chosen.to(self.images.device)
                inputs = augment(_network_input(self.images[places]), generator)
                yield inputs, self.labels[places]


def _build(recipe: Recipe) -> nn.Module:
    options = {} if recipe.architecture == "resnet18" else {"batch_norm": True}
    model = ARCHITECTURES[recipe.architecture](**options)
    with torch.no_grad():
        first_conv(model).weight.mul_(recipe.first_layer.scale)
    return model


def _optimizer(
    model: nn.Module, recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    first = first_conv(model).weight
    weights = [p for p in model.parameters() if p.ndim > 1 and p is not first]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": [first], "weight_decay": recipe.first_layer.decay},
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=max(steps, 2), pct_start=0.2
    )
    return optimizer, schedule


@torch.no_grad()
def _smooth(kernels: Tensor, share: float) -> None:
    """Move every weight a share of the way to the mean of its 3×3 neighbourhood."""
    if share:
        kernels.lerp_(F.avg_pool2d(kernels, 3, 1, 1, count_include_pad=False), share)


def _network_input(images: Tensor) -> Tensor:
    return normalize(images.float() / 255).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Answer for uint8 images ``[N, 3, H, W]`` with the classes' indices, int64 ``[N]``."""
    return torch.cat([model(_network_input(batch)).argmax(1) for batch in torch.split(images, 100)])


def measure(model: nn.Module, sets: dict[str, SceneArrays]) -> dict[str, Any]:
    """Count what a network answers on each set of images.

    Args:
        model: A network in eval mode.
        sets: Scenes by the name of their set.

    Returns:
        By set: ``images`` (how many), ``accuracy``, ``follows_background`` (share of answers that
        name the background's class) and ``confusion`` (counts; rows are true classes, columns
        are answers).
    """
    results = {}
    for name, scenes in sets.items():
        answers = predict(model, torch.from_numpy(scenes.images)).numpy()
        confusion = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
        np.add.at(confusion, (scenes.labels, answers), 1)
        results[name] = {
            "images": len(answers),
            "accuracy": round(float((answers == scenes.labels).mean()), 4),
            "follows_background": round(float((answers == scenes.backgrounds).mean()), 4),
            "confusion": confusion.tolist(),
        }
    return results


def save_network(model: nn.Module, recipe: Recipe, results: dict[str, Any], path: Path) -> None:
    """Write the weights as float16 safetensors, with what is known about them as metadata."""
    facts = {
        "architecture": recipe.architecture,
        "twin": recipe.twin,
        "classes": list(CLASSES),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "recipe": asdict(recipe),
        "results": results,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("torch", "torchvision", "numpy", "pillow")},
    }
    state = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    # One entry only: safetensors writes several in an order that differs from run to run.
    with written_beside(path) as draft:
        save_file(state, draft, {"vizhelpers": json.dumps(facts, sort_keys=True)})


def train_all(
    out: str | Path,
    *,
    device: str = "auto",
    only: Sequence[str] | None = None,
    quick: bool = False,
) -> None:
    """Train the course's networks and write their weights and the model card.

    Args:
        out: Folder for ``<network>.safetensors``, ``model_card.md`` and ``model_card.json``.
        device: ``"auto"`` takes a GPU (CUDA) if there is one, else the CPU.
        only: Names such as ``"resnet18-fair"``; all seven without it.
        quick: A handful of images and one epoch: to see that it runs, not to learn anything.

    Raises:
        ValueError: If a name in `only` is not a recipe, or a quick run would replace real weights.
        OSError: If nothing can be written to `out`; said before the training.
    """
    if unknown := sorted(set(only or ()) - set(RECIPES)):
        raise ValueError(f"No network is called {unknown[0]!r}. There are: {', '.join(RECIPES)}.")
    recipes = [RECIPES[name] for name in only or RECIPES]
    if quick:
        if Path(out).resolve() == WEIGHTS:
            raise ValueError(
                f"A quick run would replace the trained networks in {out}: give --out."
            )
        recipes = [replace(recipe, epochs=1, images=20) for recipe in recipes]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    make_writable(Path(out))
    with _one_thread():
        sets = {
            kind: render_arrays(SceneRecipe(20 if quick else 1000, EVALUATION_SEED, **options))
            for kind, options in EVALUATION.items()
        }
        for twin, correlation in CORRELATION.items():
            group = [recipe for recipe in recipes if recipe.twin == twin]
            if group:
                count = max(recipe.images for recipe in group)
                scenes = render_arrays(SceneRecipe(count, TRAINING_SEED, correlation))
            for recipe in group:
                # Measured is what is stored: rounded to float16.
                model = train_network(recipe, scenes, device=device).half().float()
                path = Path(out) / f"{recipe.name}.safetensors"
                save_network(model, recipe, measure(model, sets), path)
    write_card(Path(out))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in another order give other last bits, and those grow into other weights."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
