"""Whatever happens inside `preserve_state`, the model comes out as it went in."""

from __future__ import annotations

import contextlib
import random
import signal
import sys

import numpy as np
import pytest
import torch
from support.models import ALL, BROKEN, BatchNormNet, Plain, ResidualBlock
from support.portrait import portrait, some_grads
from torch import nn

from vizhelpers.hooks import capture
from vizhelpers.state import preserve_state


def do_everything(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """Every careless thing that the libraries of this course do, and a few more."""
    model.train()
    with torch.no_grad():
        model(*inputs)
    for module in list(model.modules()):
        module.register_forward_hook(lambda *_: None, with_kwargs=True, always_call=True)
        module.register_forward_pre_hook(lambda *_: None, with_kwargs=True)
        module.register_full_backward_hook(lambda *_: None)
        module.register_full_backward_pre_hook(lambda *_: None)
        module.register_state_dict_post_hook(lambda *_: None)
        module.register_load_state_dict_pre_hook(lambda *_: None)
        if isinstance(module, nn.ReLU):
            module.inplace = not module.inplace
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.register_hook(lambda grad: grad * 2)
        if parameter.grad is not None:
            parameter.grad.mul_(7)
        else:
            parameter.grad = torch.ones_like(parameter)
    model.requires_grad_(False)
    model.add_module("extra", nn.Linear(1, 1))
    for buffer in model.buffers():
        buffer.zero_()
    model.double()
    model.to("meta")
    model.eval()


@pytest.mark.parametrize("error", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_everything_is_put_back(name, error):
    model, inputs = ALL[name].build()
    some_grads(model)
    before = portrait(model)
    with contextlib.suppress(KeyError), preserve_state(model):
        do_everything(model, inputs)
        if error:
            raise KeyError
    assert portrait(model) == before


def test_a_model_that_raises_is_put_back():
    model, inputs = BROKEN["refuses"].build()
    before = portrait(model)
    with pytest.raises(RuntimeError, match="never answers"), preserve_state(model):
        model(*inputs)
    assert portrait(model) == before


def test_modes_are_kept_per_submodule():
    model, _ = ALL["frozen_backbone"].build()
    with preserve_state(model):
        model.eval()
    assert (model.training, model.bn.training, model.drop.training) == (True, False, True)


def test_batch_norm_statistics_come_back_in_place():
    model = BatchNormNet()
    mean = model.bn.running_mean
    with preserve_state(model):
        model(torch.rand(4, 3, 8, 8))
        assert model.bn.num_batches_tracked == 1
        assert mean.abs().max() > 0
    assert model.bn.running_mean is mean
    assert mean.abs().max() == 0
    assert model.bn.num_batches_tracked == 0


def test_what_was_computed_inside_can_be_differentiated_outside():
    model = BatchNormNet()
    with preserve_state(model):
        model.eval()
        output = model(torch.rand(4, 3, 8, 8))
    output.sum().backward()
    assert model.conv.weight.grad is not None


def test_hooks_that_were_there_stay_and_work():
    model, inputs = ALL["plain"].build()
    calls = []
    kept = model.features[0].register_forward_hook(lambda *_: calls.append("kept"))
    weight_hook = model.classifier.weight.register_hook(lambda grad: calls.append("weight"))
    with preserve_state(model):
        kept.remove()
        weight_hook.remove()
        new = model.features[0].register_forward_hook(lambda *_: calls.append("new"))
        model(*inputs).sum().backward()
        assert calls == ["new"]
    calls.clear()
    model(*inputs).sum().backward()
    assert calls == ["kept", "weight"]
    new.remove()  # its handle is harmless
    model.features[0].register_forward_hook(lambda *_: calls.append("late")).remove()
    calls.clear()
    model(*inputs)
    assert calls == ["kept"]


def test_a_tensor_hook_from_inside_fires_no_more():
    model, inputs = ALL["plain"].build()
    calls = []
    with preserve_state(model):
        model.classifier.weight.register_hook(lambda grad: calls.append("hook"))
        model.classifier.weight.register_post_accumulate_grad_hook(lambda p: calls.append("post"))
    model(*inputs).sum().backward()
    assert calls == []


def test_replaced_layers_and_tensors_return():
    model = Plain()
    relu, weight = model.features[1], model.classifier.weight
    with preserve_state(model):
        model.features[1] = nn.Tanh()
        model.classifier.weight = nn.Parameter(torch.zeros(1, 48))
        model.note = "written inside"
        del model.classifier.bias
    assert model.features[1] is relu
    assert model.classifier.weight is weight
    assert model.classifier.bias is not None
    assert not hasattr(model, "note")


def test_numbers_in_weights_on_request_only():
    model = Plain()
    weight = model.classifier.weight
    before = weight.detach().clone()
    with preserve_state(model, weights=True), torch.no_grad():
        weight.zero_()
    assert torch.equal(weight, before)
    with preserve_state(model), torch.no_grad():
        weight.zero_()
    assert torch.equal(weight, torch.zeros_like(before))


def test_random_numbers_continue_as_if_nothing_had_happened():
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(1)
        np.random.seed(2)
        torch.manual_seed(3)

    model = Plain()
    seed()
    expected = [draw(), draw()]
    seed()
    got = [draw()]
    with preserve_state(model):
        draw()
        torch.manual_seed(99)
    assert [*got, draw()] == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device_and_cuda_random_numbers():
    model = ALL["batch_norm"].build()[0].cuda()
    before = portrait(model)
    torch.cuda.manual_seed(0)
    first = torch.rand(1, device="cuda")
    torch.cuda.manual_seed(0)
    with preserve_state(model):
        model.cpu()
        torch.rand(1, device="cuda")
    assert portrait(model) == before
    assert torch.equal(torch.rand(1, device="cuda"), first)


def test_a_model_made_in_inference_mode() -> None:
    with torch.inference_mode():
        model = nn.Linear(3, 2)
    with preserve_state(model):
        model.eval()
    assert model.training


def test_lazy_layers_stay_undecided():
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d())
    with preserve_state(model):
        model(torch.rand(1, 3, 8, 8))
    assert isinstance(model[0], nn.LazyConv2d)
    assert model(torch.rand(1, 5, 8, 8)).shape == (1, 4, 6, 6)
    assert model[0].weight.shape == (4, 5, 3, 3)


def test_parametrizations_and_blocks_inside_blocks():
    model = ResidualBlock(4)
    before = portrait(model)
    with preserve_state(model):
        nn.utils.parametrizations.weight_norm(model.conv1)
        half_way = portrait(model)
        with preserve_state(model):
            do_everything(model, (torch.rand(2, 4, 8, 8),))
        assert portrait(model) == half_way
    assert portrait(model) == before


def test_only_models():
    with (
        pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got dict"),
        preserve_state({}),
    ):
        pass


def test_tensors_that_overlap_themselves_and_methods_that_are_overridden():
    class Head(nn.Sequential):
        def parameters(self, recurse=True):
            return self[-1].parameters(recurse)

    model = Head(nn.Linear(3, 3), nn.Linear(3, 2))
    model.register_buffer("mean", torch.tensor([0.5]).expand(3))
    model[0].weight.grad = torch.ones(1, 1).expand(3, 3)
    before = portrait(model[0]), portrait(model)
    with preserve_state(model, weights=True):
        model[0].requires_grad_(False)
        nn.init.zeros_(model[0].weight.data)
        model[0].weight.grad = None
        model.mean = torch.zeros(3)
    assert (portrait(model[0]), portrait(model)) == before


def interrupted(work, at: int) -> bool:
    """Whether Ctrl-C, pressed before the `at`-th line of Python inside `work()`, came through."""
    left = at

    def count(frame, event, arg):
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                signal.raise_signal(signal.SIGINT)
        return count

    sys.settrace(count)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_an_interrupt_at_any_moment_leaves_all_whole():
    """At every eleventh line that Python runs, inside PyTorch and contextlib, too."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(inplace=True)).train()
    some_grads(model)
    handler, before = signal.getsignal(signal.SIGINT), portrait(model)
    image = torch.rand(3, 2)

    def work():
        capture(model, image, "1", gradients=lambda out: out.sum())

    came_through, at = 0, 1
    while True:
        stopped = interrupted(work, at)
        assert portrait(model) == before, f"stopped before line {at}"
        assert signal.getsignal(signal.SIGINT) is handler
        came_through += stopped
        if not stopped and at > 3000:  # past the end of the work
            break
        at += 11
    assert came_through > 50
