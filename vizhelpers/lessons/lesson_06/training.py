"""The training loop of lesson 06, with all that it logs."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

import vizhelpers as vh
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.lessons.lesson_06.mystery import Setting
from vizhelpers.lessons.lesson_06.networks import lenet

Data = tuple[Tensor, Tensor]  # inputs [N, 3, H, W] and labels [N]


def judge(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and accuracy. One score means yes or no, above 0 is yes; several are classes."""
    # A few at a time: memory for all at once would cost more time than the network.
    count = 8 if torch.is_grad_enabled() else 16
    scores = torch.cat([model(few) for few in inputs.split(count)])  # type: ignore[no-untyped-call]
    if scores.shape[1] == 1:
        scores = scores[:, 0]
        loss = F.binary_cross_entropy_with_logits(scores, labels)
        return loss, ((scores > 0) == labels).double().mean()
    return F.cross_entropy(scores, labels), (scores.argmax(dim=1) == labels).double().mean()


def train(
    folder: str | Path,
    model: nn.Module,
    data: Data,
    validation: Data,
    *,
    epochs: int = 10,
    lr: float = 2e-3,
    batch: int = 32,
    every: int = 1,
    repeat: int = 1,
) -> list[dict[str, Tensor]]:
    """Train a network, and log its curves, layers, kernels and maps to TensorBoard.

    Two writers: the run ``folder/train`` has ``loss/step``, ``learning rate`` and what
    `log_layers` writes; both it and ``folder/val`` have ``loss/epoch`` and ``accuracy``.

    Args:
        folder: Where the two runs go.
        model: The network; it is changed.
        data: What it learns from.
        validation: What it is judged by.
        epochs: How many.
        lr: The learning rate of AdamW at the start; each epoch has 0.9 times that before.
        batch: Pictures in one step.
        every: After how many epochs, each time, it is judged and its layers are logged.
        repeat: How often it sees each of its pictures in one epoch.

    Returns:
        The state of the network at those epochs: a checkpoint for each point of the curves.
    """
    writers = {part: SummaryWriter(str(Path(folder, part))) for part in ("train", "val")}
    optimizer = torch.optim.AdamW(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    step, kept = 0, []
    for epoch in with_progress(range(epochs), Path(folder).name):
        writers["train"].add_scalar("learning rate", schedule.get_last_lr()[0], epoch)
        count = len(data[0])
        order = torch.randperm(repeat * count) % count
        for chosen in order.split(batch):  # type: ignore[no-untyped-call]
            loss, _ = judge(model, data[0][chosen], data[1][chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            writers["train"].add_scalar("loss/step", loss.item(), step)
            step += 1
        schedule.step()
        if (epoch + 1) % every:
            continue
        for part, (inputs, labels) in {"train": data, "val": validation}.items():
            with torch.no_grad():
                loss, accuracy = judge(model, inputs, labels)
            writers[part].add_scalar("loss/epoch", loss.item(), epoch)
            writers[part].add_scalar("accuracy", accuracy.item(), epoch)
        log_layers(writers["train"], model, validation[0][2:3], epoch)
        kept.append(copy.deepcopy(model.state_dict()))
    for writer in writers.values():
        writer.close()  # writes what still waits
    return kept


def train_mystery(
    folder: str | Path, setting: Setting, data: Data, validation: Data, **options: Any
) -> list[dict[str, Tensor]]:
    """Train network A, B or C: as `train`, with what its setting says."""
    model = lenet(1, setting.activation, setting.extra)
    part = data[0][: setting.pictures], data[1][: setting.pictures]
    options |= {"batch": setting.batch, "repeat": setting.repeat}
    return train(folder, model, part, validation, **options)


def log_layers(writer: SummaryWriter, model: nn.Module, image: Tensor, epoch: int) -> None:
    """Log histograms of weights and gradients of every layer; kernels and maps of the first."""
    # By default there are some 500 bins each, and a reader checks every byte in plain Python.
    log = partial(writer.add_histogram, global_step=epoch, bins=100)
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            log(f"weights/{name[:-7]}", parameter)
            log(f"gradients/{name[:-7]}", parameter.grad)
    kernels = model.get_parameter("conv1.weight").detach()
    maps = vh.capture(model, image, "act1").map
    writer.add_image("kernels", make_grid(kernels, normalize=True), epoch)
    writer.add_image("maps", make_grid(maps[:, None], normalize=True), epoch)
