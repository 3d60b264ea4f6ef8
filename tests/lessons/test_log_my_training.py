"""The template that learners copy: it runs as it is, logs what it says, and is short."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import vizhelpers as vh
from vizhelpers._utils.paths import NOTEBOOKS

TEMPLATE = NOTEBOOKS / "log_my_training.py"


def test_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = runpy.run_path(str(TEMPLATE), run_name="__main__")
    runs = vh.tensorboard.read_scalars("runs")
    assert set(runs) == {"first/train", "first/val"}
    inputs, labels = names["data"]["val"]
    with torch.no_grad():
        right = (names["model"](inputs).argmax(dim=1) == labels).double().mean()
    accuracy = runs["first/val"]["accuracy"]
    assert np.array_equal(accuracy.steps, np.arange(30))
    assert np.isclose(accuracy.values[-1], right), "the last point is that of the finished network"
    loss = runs["first/train"]["loss"].values
    assert loss[-1] < 0.5 * loss[0]
    gradients = vh.tensorboard.read_histograms("runs")["first/train"]
    assert set(gradients) == {f"gradients/{n}" for n, _ in names["model"].named_parameters()}


def test_it_is_short() -> None:
    lines = [line for line in TEMPLATE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 27
