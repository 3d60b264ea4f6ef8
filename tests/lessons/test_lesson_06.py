"""How the training loop of lesson 06 thins out what it logs."""

from pathlib import Path

import torch

import vizhelpers as vh
from vizhelpers.lessons.lesson_06.networks import lenet
from vizhelpers.lessons.lesson_06.training import train


def test_fewer_points_leave_the_training_as_it_is(tmp_path: Path) -> None:
    pictures = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    data = pictures, torch.arange(8).double() % 2
    ends = {}
    for every in (1, 2):
        torch.manual_seed(0)
        ends[every] = train(
            tmp_path / str(every), lenet(), data, data, epochs=4, batch=4, every=every
        )
    assert [len(kept) for kept in ends.values()] == [4, 2]
    for name, weights in ends[1][-1].items():
        assert torch.equal(weights, ends[2][-1][name])
    logged = vh.tensorboard.read_scalars(tmp_path)
    assert logged["2/val"]["accuracy"].steps.tolist() == [1, 3]
    every_step = logged["2/train"]["loss/step"].values
    assert every_step.tolist() == logged["1/train"]["loss/step"].values.tolist()
