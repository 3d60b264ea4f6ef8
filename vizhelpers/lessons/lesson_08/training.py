"""Train the network in `data/own_model` again, and write its checkpoint as strangers write them.

For maintainers: ``python -m vizhelpers.lessons.lesson_08.training`` (three core-minutes).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers._utils.paths import written_beside
from vizhelpers.lessons.lesson_08.networks import OWN_MODEL, OWN_SIZE
from vizhelpers.scenes.render import Recipe, render_arrays

EPOCHS, BATCH, RATE = 14, 64, 6e-3
SEED = 8  # not 0, with which `load_your_model` draws the weights that a checkpoint lacks
TRAINING, VALIDATION = (6000, 8001), (500, 8002)  # scenes and their seed: no lesson's own


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw scenes of 32×32 pixels, as bytes, and their classes."""
    drawn = render_arrays(Recipe(count, seed, size=OWN_SIZE))
    return torch.from_numpy(drawn.images), torch.from_numpy(drawn.labels)


def as_input(images: Tensor) -> Tensor:
    """Normalise pictures that are bytes."""
    return vh.normalize(images.float() / 255)


def augment(x: Tensor) -> Tensor:
    """Flip half of the pictures, shift all of them, change the colours of each."""
    count = len(x)
    x = torch.where(torch.rand(count, 1, 1, 1) < 0.5, x.flip(3), x)
    x = x.roll(torch.randint(-2, 3, (2,)).tolist(), (2, 3))
    return x * (0.8 + 0.4 * torch.rand(count, 3, 1, 1)) + 0.6 * (torch.rand(count, 3, 1, 1) - 0.5)


def train(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Train a classifier in place."""
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": 0.05},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    steps = len(images) // BATCH * EPOCHS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.2)
    for _ in range(EPOCHS):
        order = torch.randperm(len(images))
        for chosen in torch.split(order[: len(images) // BATCH * BATCH], BATCH):
            x = augment(as_input(images[chosen])).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(x), labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()


def write_checkpoint() -> None:
    """Train, measure and write: half precision, and names as DataParallel makes them."""
    torch.set_num_threads(1)
    images, labels = scenes(*TRAINING)
    torch.manual_seed(SEED)
    model = vh.zoo.load_your_model(f"{OWN_MODEL / 'resnet_cifar.py'}:ResNetCifar", seed=SEED)
    train(model.to(memory_format=torch.channels_last).train(), images, labels)
    images, labels = scenes(*VALIDATION)
    with torch.no_grad():
        right = (model.eval()(as_input(images)).argmax(dim=1) == labels).float().mean().item()
    save(model, right)


def save(model: nn.Module, accuracy: float) -> None:
    """Write the checkpoint."""
    state = {
        f"module.{name}": value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    content = {"epoch": EPOCHS, "accuracy": accuracy, "state_dict": state}
    with written_beside(OWN_MODEL / "checkpoint.pth") as draft:
        torch.save(content, draft)


if __name__ == "__main__":
    write_checkpoint()
