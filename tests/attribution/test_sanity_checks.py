"""Randomisation: what is random when, and that all comes back; ranks: against SciPy."""

import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from vizhelpers.attribution.sanity_checks import randomize_from_top, rank_correlation
from vizhelpers.zoo.loading import load_model


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Names of the layers with anything that is different now."""
    now = model.state_dict()
    return {n.rpartition(".")[0] for n, value in before.items() if not torch.equal(value, now[n])}


def test_layers_become_random_from_the_output_down() -> None:
    model = load_model("vgg11")
    before, seen = snapshot(model), set()
    with randomize_from_top(model) as layers:
        assert not changed(model, before)
        for name in layers:
            seen.add(name)
            assert changed(model, before) == seen
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert seen == set(names)
    assert not changed(model, before)


def test_order_is_that_of_the_declaration_reversed() -> None:
    with randomize_from_top(load_model("resnet18")) as layers:
        names = list(layers)
    assert names[:5] == ["fc", "layer4.1.bn2", "layer4.1.conv2", "layer4.1.bn1", "layer4.1.conv1"]
    assert names[-2:] == ["bn1", "conv1"]


def test_weights_are_what_a_new_layer_would_have() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 50, 5), nn.BatchNorm2d(50), nn.Linear(400, 60))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(30).add_(7)
    model[1].running_mean.fill_(4)
    model[1].running_var.fill_(9)
    model[1].num_batches_tracked.fill_(8)
    with randomize_from_top(model) as layers:
        assert list(layers) == ["2", "1", "0"]
        for layer, inputs in ((model[0], 3 * 5 * 5), (model[2], 400)):
            # PyTorch draws both uniformly between ±1/√inputs.
            weight = layer.weight.detach()
            assert weight.abs().max() == pytest.approx(1 / math.sqrt(inputs), rel=0.02)
            assert weight.std() == pytest.approx(1 / math.sqrt(3 * inputs), rel=0.05)
        norm = model[1]
        assert norm.weight.eq(1).all()
        assert norm.bias.eq(0).all()
        assert norm.running_mean.eq(0).all()
        assert norm.running_var.eq(1).all()
        assert norm.num_batches_tracked == 0
    assert norm.running_var.eq(9).all()
    assert norm.num_batches_tracked == 8


def test_statistics_alone_are_forgotten_too() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False))
    model[1].running_mean.fill_(4)
    with randomize_from_top(model) as layers:
        assert next(layers) == "1"
        assert model[1].running_mean.eq(0).all()
    assert model[1].running_mean.eq(4).all()


def test_seed_decides_whatever_is_drawn_in_between() -> None:
    model = load_model("alexnet")

    def last(seed: int, disturb: bool = False) -> dict[str, Tensor]:
        with randomize_from_top(model, seed=seed) as layers:
            for _ in layers:
                if disturb:
                    torch.rand(5)
            return snapshot(model)

    first, again, other = last(0), last(0, disturb=True), last(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not torch.equal(first[name], other[name]) for name in first)


def test_equal_layers_become_different() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    with randomize_from_top(model) as layers:
        list(layers)
        assert not torch.equal(model[0].weight, model[1].weight)


@pytest.mark.parametrize("leave", ["break", "error", "unused", "return"])
def test_everything_comes_back_however_the_block_is_left(leave: str) -> None:
    model = load_model("resnet18", twin="shortcut")
    model.fc.weight.requires_grad_(False)
    model.layer4.train()
    memory, before = model.fc.weight.data_ptr(), snapshot(model)

    def experiment() -> None:
        with randomize_from_top(model) as layers:
            if leave == "unused":
                return
            for index, _ in enumerate(layers):
                model(torch.rand(2, 3, 32, 32))
                if index == 3 and leave == "error":
                    raise KeyError("a mistake")
                if index == 3 and leave == "return":
                    return
                if index == 3:
                    break
            assert changed(model, before)

    if leave == "error":
        with pytest.raises(KeyError, match="a mistake"):
            experiment()
    else:
        experiment()
    assert not changed(model, before)
    assert model.fc.weight.data_ptr() == memory
    assert not model.fc.weight.requires_grad
    assert model.layer4.training
    assert not model.layer3.training


def test_after_the_block_nothing_more_can_be_drawn() -> None:
    model = load_model("alexnet")
    before = snapshot(model)
    with randomize_from_top(model) as layers:
        next(layers)
    assert list(layers) == []
    assert not changed(model, before)


def test_weights_without_a_recipe_keep_their_spread() -> None:
    torch.manual_seed(0)
    model = nn.MultiheadAttention(64, 4)
    old = model.in_proj_weight.detach().clone()
    with randomize_from_top(model) as layers:
        assert list(layers) == ["out_proj", ""]
        new = model.in_proj_weight.detach()
        assert not torch.equal(new, old)
        assert new.mean() == pytest.approx(float(old.mean()), abs=0.01)
        assert new.std() == pytest.approx(float(old.std()), rel=0.05)
    assert torch.equal(model.in_proj_weight, old)


def pruned(layer: nn.Module) -> nn.Module:
    return prune.random_unstructured(layer, "weight", amount=0.3)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # hook-style norms are old, and still used
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        *(nn.Identity(), pruned, torch.nn.utils.weight_norm, torch.nn.utils.spectral_norm),
        *(
            parametrizations.weight_norm,
            parametrizations.spectral_norm,
            parametrizations.orthogonal,
        ),
    ],
)
def test_weights_that_are_made_of_others(wrap: Callable[..., nn.Module], bias: bool) -> None:
    """The layer computes something else, and a backward pass that was begun before still works."""
    model = nn.Sequential(wrap(nn.Conv2d(3, 4, 3, bias=bias)), nn.BatchNorm2d(4), nn.LeakyReLU())
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    state = {name: value.clone() for name, value in model.eval().state_dict().items()}
    expected = torch.autograd.grad(model(images).square().sum(), images)[0]
    before = model(images)
    with randomize_from_top(model) as layers:
        names = list(layers)
        assert names[0] == "1"
        changed_by = (model(images) - before).abs().max()
    assert changed_by > 0.01
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.autograd.grad(before.square().sum(), images)[0], expected)


class OnlyHead(nn.Sequential):
    """As many fine-tuning scripts do: `parameters()` is what is to be trained."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return self[-1].parameters(recurse)


def test_models_that_hide_parameters() -> None:
    model = OnlyHead(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    before = snapshot(model)
    with randomize_from_top(model) as layers:
        assert list(layers) == ["2", "0"]
        assert changed(model, before) == {"0", "2"}
    assert not changed(model, before)


def test_models_without_weights_are_refused() -> None:
    lazy = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ValueError, match="run the model once"), randomize_from_top(lazy):
        pass
    with pytest.raises(ValueError, match="ReLU has no weights"), randomize_from_top(nn.ReLU()):
        pass
    with pytest.raises(TypeError, match="Module"), randomize_from_top("resnet18"):
        pass


# --- rank_correlation -----------------------------------------------------------------------


@pytest.mark.parametrize("levels", [3, 10, 10**6])
def test_rank_correlation_is_that_of_the_ranks(levels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randint(-levels, levels, (2, 6, 9, 7), generator=generator).float()
    second += first
    for index, value in enumerate(rank_correlation(first, second).tolist()):
        ranks = [rankdata(maps[index].flatten()) for maps in (first, second)]
        assert value == pytest.approx(np.corrcoef(ranks)[0, 1], abs=1e-6)


def test_only_the_order_counts() -> None:
    maps = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rank_correlation(maps, maps.exp() * 5 - 9), torch.ones(3))
    torch.testing.assert_close(rank_correlation(maps, -maps), -torch.ones(3))


def test_a_constant_map_has_no_order() -> None:
    maps = torch.rand(2, 128, 128, generator=torch.Generator().manual_seed(0))
    constant = maps.clone()
    constant[1] = 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rank_correlation(maps, constant).isnan().tolist() == [False, True]


def test_arrays_will_do_and_wrong_maps_are_refused() -> None:
    maps = torch.rand(2, 4, 4)
    assert rank_correlation(maps.numpy(), maps).tolist() == pytest.approx([1, 1])
    half = maps.bfloat16()
    assert rank_correlation(half, half.float()).tolist() == pytest.approx([1, 1])
    with pytest.raises(ValueError, match=r"\[2, 4, 4\], maps_b \[2, 8, 8\]"):
        rank_correlation(maps, torch.rand(2, 8, 8))
    with pytest.raises(ValueError, match=r"maps_b must have the shape \[N, H, W\]"):
        rank_correlation(maps, maps[0])
    with pytest.raises(ValueError, match="finite"):
        rank_correlation(maps, maps * math.nan)
    with pytest.raises(TypeError, match="got list"):
        rank_correlation(maps, [np.ones((4, 4))])  # type: ignore[arg-type]
