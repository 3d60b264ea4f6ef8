"""What layers cost: against hand calculations and PyTorch's own counts."""

import pytest
import torch
import torchvision
from torch import nn

from vizhelpers.figures import to_png
from vizhelpers.inspection.layer_costs import formula, layer_budget, show_budget


@pytest.fixture(scope="module")
def alexnet() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.alexnet(weights=None)


def test_costs_equal_a_hand_calculation(alexnet: nn.Module) -> None:
    budget = layer_budget(alexnet, (1, 3, 224, 224))
    first = budget["features.0"]
    assert first.parameters == 64 * 3 * 11 * 11 + 64
    assert first.mult_adds == (64 * 3 * 11 * 11 + 64) * 55 * 55
    assert first.input_size == (1, 3, 224, 224)
    assert first.output_size == (1, 64, 55, 55)
    assert budget["classifier.6"].parameters == 4096 * 1000 + 1000


def test_layers_come_in_running_order_and_sum_up(alexnet: nn.Module) -> None:
    budget = layer_budget(alexnet, (1, 3, 224, 224))
    assert budget.names[0] == "features.0"
    assert budget.names[-1] == "classifier.6"
    assert budget.parameters == sum(p.numel() for p in alexnet.parameters())
    assert sum(cost.parameters for cost in budget.layers) == budget.parameters


def test_a_shared_weight_is_counted_once_in_the_total() -> None:
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight
    assert layer_budget(model, (1, 8)).parameters == 64


def test_all_kinds_can_be_listed() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    assert layer_budget(model, (1, 3, 8, 8)).names == ["0"]
    assert layer_budget(model, (1, 3, 8, 8), nn.Module).names == ["0", "1"]


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv2d(64, 128, 3), "3×3×64×128 + 128 = 73,856"),
        (nn.Conv2d(3, 64, 7, bias=False), "7×7×3×64 = 9,408"),
        (nn.Conv2d(8, 8, 3, groups=8, bias=False), "3×3×1×8 = 72"),
        (nn.Linear(10, 5), "10×5 + 5 = 55"),
        (nn.BatchNorm2d(4), "8"),
    ],
)
def test_formula(layer: nn.Module, text: str) -> None:
    assert formula(layer) == text


def test_explanation_names_shapes_and_costs(alexnet: nn.Module) -> None:
    said = layer_budget(alexnet, (1, 3, 224, 224)).explain("features.3")
    assert said.startswith("Conv2d, [1, 64, 27, 27] → [1, 192, 27, 27]")
    assert "5×5×64×192 + 192 = 307,392 parameters" in said


def test_wrong_name_is_answered_with_the_nearest(alexnet: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"nearest: features\.3"):
        layer_budget(alexnet, (1, 3, 224, 224))["feature.3"]


def test_text_ranks_the_largest(alexnet: nn.Module) -> None:
    lines = str(layer_budget(alexnet, (1, 3, 224, 224))).splitlines()
    assert lines[0].startswith("most parameters of 61,100,840: classifier.1 61.8%")
    assert lines[1].startswith("most mult-adds")


def test_picture_shows_shares_and_the_chosen_layer(alexnet: nn.Module) -> None:
    budget = layer_budget(alexnet, (1, 3, 224, 224))
    figure = show_budget(budget, highlight="features.3", titles=("one", "two"))
    top, bottom = figure.axes
    assert [ax.get_title("left") for ax in (top, bottom)] == ["one", "two"]
    heights = [bar.get_height() for bar in top.patches]
    assert heights == pytest.approx([cost.parameters / budget.parameters for cost in budget.layers])
    colours = [bar.get_facecolor() for bar in bottom.patches]
    assert [colour == colours[1] for colour in colours].count(True) == 1
    assert "features.3" in [label.get_text() for label in bottom.get_xticklabels()]
    assert to_png(figure) != to_png(show_budget(budget))


def test_the_chosen_layer_is_named_although_not_all_names_fit() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(30)))
    budget = layer_budget(model, (1, 4))
    _, bottom = show_budget(budget, highlight="3").axes
    shown = [label.get_text() for label in bottom.get_xticklabels()]
    assert "3" in shown
    assert "5" not in shown
    assert len(shown) < 20
