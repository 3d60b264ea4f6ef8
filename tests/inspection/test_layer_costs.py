"""What layers cost: against hand calculations and against PyTorch's count of the whole model."""

import warnings

import pytest
import torch
import torchvision
from support.models import ALL
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm
from torch.utils.flop_counter import FlopCounterMode

from vizhelpers.figures import to_png
from vizhelpers.inspection.layer_costs import Budget, formula, layer_budget, show_budget


def conv(kind: type[nn.Module] = nn.Conv2d) -> nn.Module:
    return kind(3, 8, 3, padding=1, bias=False)


class SamePadding(nn.Conv2d):
    """Another class, with a child: as the convolutions of EfficientNet are often written."""

    def __init__(self, *args: int, padding: int, bias: bool) -> None:
        super().__init__(*args, bias=bias)
        self.pad = nn.ZeroPad2d(padding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(self.pad(x))


class Scaled(nn.Linear):
    """Has a parameter that is no weight and no bias."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.scale = nn.Parameter(torch.ones(1))


def old_spectral_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spectral_norm(conv())


CONV = 27 * 8 * 256


@pytest.mark.parametrize(
    ("layer", "shape", "parameters", "mult_adds"),
    [
        (conv(), (1, 3, 16, 16), 216, CONV),
        (conv(SamePadding), (1, 3, 16, 16), 216, CONV),
        (parametrizations.weight_norm(conv()), (1, 3, 16, 16), 216 + 8, CONV),
        (parametrizations.spectral_norm(conv()), (1, 3, 16, 16), 216, CONV),
        (old_spectral_norm(), (1, 3, 16, 16), 216, CONV),
        (prune.random_unstructured(conv(), "weight", 0.5), (1, 3, 16, 16), 216, CONV),
        (conv().half(), (1, 3, 16, 16), 216, CONV),
        (nn.ConvTranspose2d(8, 16, 4, 4), (1, 8, 16, 16), 2064, 16 * 16 * 8 * 16 * 16),
        (nn.Linear(8, 4), (2, 100, 8), 36, 200 * 32),
        (nn.LSTM(10, 20), (7, 10), 80 * 32, 7 * 80 * 30),
        (nn.LSTM(10, 20, bidirectional=True), (7, 3, 10), 160 * 32, 2 * 7 * 3 * 80 * 30),
        (nn.GRU(10, 20), (7, 10), 60 * 32, 7 * 60 * 30),
    ],
)
def test_costs_equal_a_hand_calculation(
    layer: nn.Module, shape: tuple[int, ...], parameters: int, mult_adds: int
) -> None:
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    budget = layer_budget(nn.Sequential(layer), shape)
    assert budget.names == ["0"]
    assert (budget.parameters, budget.mult_adds) == (parameters, mult_adds)
    assert (budget["0"].parameters, budget["0"].mult_adds) == (parameters, mult_adds)
    assert budget["0"].input_size == shape
    budget.explain("0")
    assert all(torch.equal(layer.state_dict()[name], tensor) for name, tensor in before.items())


def test_attention_is_one_layer_with_all_its_weights() -> None:
    model, (image,) = ALL["attention"].build()
    cost = layer_budget(model, image.shape)["attention"]
    assert cost.parameters == 4 * (8 * 8 + 8)
    projections, products = 2 * 16 * 4 * 8 * 8, 2 * 2 * 16 * 16 * 8
    assert cost.mult_adds == projections + products


def test_a_layer_that_runs_twice_costs_twice_and_a_shared_weight_is_there_once() -> None:
    layer = nn.Conv2d(1, 1, 3, bias=False)
    twice = layer_budget(nn.Sequential(layer, layer), (1, 1, 8, 8))
    assert (twice.names, twice["0"].mult_adds, twice.parameters) == (["0"], 9 * (36 + 16), 9)
    assert (twice["0"].input_size, twice["0"].output_size) == ((1, 1, 8, 8), (1, 1, 6, 6))
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight
    assert layer_budget(model, (1, 8)).parameters == 64


class Products(nn.Module):
    """No weights, and a product all the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x.mT


class Forgiving(nn.Sequential):
    """Goes on where a part of it fails."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return super().forward(x)
        except RuntimeError:
            return x


class Token(nn.Module):
    """Gives a layer a parameter as its input."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Forgiving(nn.Linear(4, 4), nn.Linear(5, 4))
        self.token, self.fc = nn.Parameter(torch.ones(1, 4)), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.part(x) @ self.fc(self.token).T


def test_what_is_multiplied_is_where_it_is_multiplied() -> None:
    model = nn.Sequential(Products(), nn.Flatten(), nn.BatchNorm1d(4))  # fails in training
    costs = layer_budget(model, (1, 2, 8), nn.Module)
    assert {cost.name: cost.mult_adds for cost in costs.layers} == {"0": 2 * 2 * 8, "2": 0}
    costs = layer_budget(Token(), (1, 4), nn.Module)
    there = {cost.name: cost.mult_adds for cost in costs.layers}
    assert there == {"": 4, "part.0": 16, "part.1": 0, "fc": 16}


NETWORKS = {
    **{name: case for name, case in ALL.items() if name not in ("words", "two_inputs")},
    "resnet": torchvision.models.resnet18,
    "mobilenet": torchvision.models.mobilenet_v3_small,
    "swin": torchvision.models.swin_t,
    "convnext": torchvision.models.convnext_tiny,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_add_up_to_what_pytorch_counts_for_the_whole_model(name: str) -> None:
    if name in ALL:
        model, (image,) = ALL[name].build()
    else:
        model, image = NETWORKS[name](), torch.rand(1, 3, 64, 64)
    budget = layer_budget(model, image.shape, nn.Module)
    model.eval()
    mha = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    torch.backends.mha.set_fastpath_enabled(mha)
    lstm = 2 * 16 * 4 * 4 * (3 + 4) if name == "recurrent" else 0  # PyTorch has no formula for it
    assert budget.mult_adds == counter.get_total_flops() // 2 + lstm > 0
    assert sum(cost.mult_adds for cost in budget.layers) == budget.mult_adds
    assert budget.parameters == sum(p.numel() for p in model.parameters())
    assert sum(cost.parameters for cost in budget.layers) == budget.parameters


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv2d(64, 128, 3), "3×3×64×128 + 128 = 73,856"),
        (nn.Conv2d(3, 64, 7, bias=False), "7×7×3×64 = 9,408"),
        (nn.Conv2d(8, 8, 3, groups=8, bias=False), "3×3×1×8 = 72"),
        (nn.Linear(10, 5), "10×5 + 5 = 55"),
        (nn.BatchNorm2d(4), "8"),
        (parametrizations.weight_norm(conv()), "224"),
        (Scaled(10, 5), "56"),
    ],
)
def test_formula(layer: nn.Module, text: str) -> None:
    assert formula(layer) == text


# -- text and picture -------------------------------------------------------------------------


@pytest.fixture
def budget() -> Budget:
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)]
    return layer_budget(nn.Sequential(*layers), (1, 3, 8, 8))


def test_text_names_the_largest_and_what_is_in_no_layer(budget: Budget) -> None:
    assert str(budget) == (
        "most parameters of 845: 4 85.8%, 0 13.3%, in none of these layers 0.9%\n"
        "most mult-adds of 4,608: 0 84.4%, 4 15.6%"
    )
    said = "Conv2d, [1, 3, 8, 8] → [1, 4, 6, 6], 3×3×3×4 + 4 = 112 parameters, 3,888 mult-adds"
    assert budget.explain("0") == said


def test_picture_shows_shares_and_the_chosen_layer(budget: Budget) -> None:
    figure = show_budget(budget, highlight="4", titles=("$\\bad{$", "two"))
    left, right = figure.axes
    assert [ax.get_title("left") for ax in (left, right)] == ["$\\bad{$", "two"]
    lengths = [bar.get_width() for bar in left.patches]
    assert lengths == pytest.approx([112 / 845, 725 / 845])
    first, chosen = (bar.get_facecolor() for bar in right.patches)
    assert first != chosen
    assert to_png(figure) != to_png(show_budget(budget))
    nothing = layer_budget(nn.Sequential(nn.ReLU()), (1, 4))
    assert to_png(show_budget(nothing))


def test_the_chosen_layer_is_named_although_not_all_names_fit() -> None:
    names = [f"$\\bad{i}{{$" for i in range(30)]
    model = nn.Sequential()
    for name in names:
        model.add_module(name, nn.Linear(4, 4))
    figure = show_budget(layer_budget(model, (1, 4)), highlight=names[3])
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[3] in shown
    assert names[5] not in shown
    assert len(shown) < 20
    assert to_png(figure)


def test_wrong_arguments_are_explained(budget: Budget) -> None:
    with pytest.raises(ValueError, match="no layer '3' in this budget; the nearest: 4, 0"):
        budget["3"]
    with pytest.raises(ValueError, match="no layer 'fc'"):
        show_budget(budget, highlight="fc")
    with pytest.raises(TypeError, match=r"shape of the input.*got 224"):
        layer_budget(nn.Linear(4, 4), 224)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="kind must be"):
        layer_budget(nn.Linear(4, 4), (1, 4), "Conv2d")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"(?s)stopped in layer '1' \(Linear\).*It got \[1, 4\]"):
        layer_budget(nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 4)), (1, 4))
