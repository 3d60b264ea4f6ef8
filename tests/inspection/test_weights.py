"""Statistics of weights by hand and against PyTorch, from every kind of source; their pictures."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vizhelpers._utils.paths import WEIGHTS
from vizhelpers.figures import number_text, to_png
from vizhelpers.inspection.weight_plots import show_kernels, show_weight_stats
from vizhelpers.inspection.weights import weight_stats
from vizhelpers.zoo.loading import load_model


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 4, 3, bias=False),
            bn=nn.BatchNorm2d(4),
            head=nn.Sequential(nn.Flatten(), nn.Linear(16, 2)),
        )
    )


def same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.sort_index().equals(other.sort_index())


# -- numbers ----------------------------------------------------------------------------------


def test_statistics_by_hand() -> None:
    table = weight_stats({"a.weight": torch.tensor([[3.0, -4.0], [0.0, 0.0]])})
    std = ((3.25**2 + 3.75**2 + 2 * 0.25**2) / 3) ** 0.5
    expected = ((2, 2), "linear, no bias", -0.25, pytest.approx(std), -4, 3, 5, 0.5, 0)
    assert tuple(table.loc["a.weight"]) == expected


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
)
def test_statistics_equal_pytorch(dtype: torch.dtype) -> None:
    values = (torch.randn(10, 5, generator=torch.Generator().manual_seed(1)) + 9).to(dtype)
    row = weight_stats({"w": values}).loc["w"]
    exact = values.double()
    for name in ("mean", "std", "min", "max", "norm"):
        assert row[name] == pytest.approx(getattr(exact, name)().item(), rel=1e-12), name


def test_nonfinite_values_are_counted_and_left_out() -> None:
    nan, inf = float("nan"), float("inf")
    table = weight_stats({"w": torch.tensor([1.0, nan, 3.0, -inf]), "none": torch.tensor([nan])})
    assert table.loc["w", ["nonfinite", "mean", "min", "max"]].tolist() == [2, 2, 1, 3]
    assert table.loc["none", ["mean", "std", "min", "max", "norm"]].isna().all()


def test_one_number_has_no_std_and_sparse_is_measured() -> None:
    table = weight_stats({"one": torch.tensor(2.0), "eye": torch.eye(4).to_sparse()})
    assert table.loc["one", ["shape", "mean", "norm"]].tolist() == [(), 2, 2]
    assert np.isnan(table.loc["one", "std"])
    assert table.loc["eye", ["zeros", "norm"]].tolist() == [0.75, 2]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.tensor(3), "int64"),
        (torch.ones(2, dtype=torch.complex64), "complex"),
        (torch.ones(2, device="meta"), "meta device"),
        (nn.LazyLinear(2).weight, "lazy"),
        (torch.ones(0), "empty"),
        ("text", "no tensor but str"),
    ],
)
def test_what_cannot_be_measured_is_named(value: object, reason: str) -> None:
    table = weight_stats({"odd": value, "w": torch.ones(2)})
    assert list(table.index) == ["w"]
    assert reason in table.attrs["skipped"]["odd"]


# -- what a tensor is -------------------------------------------------------------------------


def test_meanings_come_from_names_and_shapes_alone() -> None:
    table = weight_stats(small().state_dict())
    assert table["what it is"].to_dict() == {
        "conv.weight": "conv, no bias",
        "bn.weight": "γ, scale",
        "bn.bias": "β, shift",
        "bn.running_mean": "running mean",
        "bn.running_var": "running var",
        "head.1.weight": "linear",
        "head.1.bias": "bias",
    }
    assert list(table.attrs["skipped"]) == ["bn.num_batches_tracked"]


@pytest.mark.parametrize(
    ("layer", "meaning"),
    [
        (nn.Conv1d(2, 3, 5), "conv"),
        (nn.LayerNorm(4), "γ, scale"),
        (nn.PReLU(), "weight"),
        (nn.LSTM(2, 3), "linear"),
    ],
)
def test_other_layers(layer: nn.Module, meaning: str) -> None:
    assert weight_stats(layer)["what it is"].iloc[0] == meaning


def test_names_of_a_file_do_not_run_in_the_page() -> None:
    page = weight_stats({"l.<img src=x onerror=alert(1)>": torch.ones(2)})._repr_html_()
    assert "l.&lt;img" in page
    assert "<img" not in page


# -- sources ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt"])
def test_a_file_is_enough(tmp_path: Path, suffix: str) -> None:
    model, path = small(), tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)
    assert same(weight_stats(path), weight_stats(model))
    assert same(weight_stats(str(path)), weight_stats(model))


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net"])
def test_checkpoints_are_unwrapped(tmp_path: Path, key: str) -> None:
    model = small()
    checkpoint = {"epoch": 3, "loss": torch.tensor(0.5), key: model.state_dict(), "optimizer": {}}
    if key == "net":
        del checkpoint["loss"]
    torch.save(checkpoint, tmp_path / "c.pt")
    assert same(weight_stats(tmp_path / "c.pt"), weight_stats(model))
    assert same(weight_stats(checkpoint), weight_stats(model))


def test_prefixes_stay() -> None:
    state = {f"module.{name}": value for name, value in small().state_dict().items()}
    table = weight_stats(state)
    assert table.index[0] == "module.conv.weight"
    assert table.loc["module.bn.weight", "what it is"] == "γ, scale"


def test_rows_keep_the_order_of_a_state_dict() -> None:
    model = load_model("resnet18")
    table = weight_stats(model)
    skipped = table.attrs["skipped"]
    assert list(table.index) == [name for name in model.state_dict() if name not in skipped]


def test_a_safetensors_file_is_sorted_by_name_and_number() -> None:
    table = weight_stats(WEIGHTS / "alexnet-fair.safetensors")
    assert list(table.index[:2]) == ["classifier.1.weight", "classifier.1.bias"]
    assert list(table.index[-4:-2]) == ["features.8.weight", "features.8.bias"]
    assert same(table, weight_stats(load_model("alexnet")))


def test_several_state_dicts_are_not_guessed_at() -> None:
    both = {"generator": small().state_dict(), "critic": small().state_dict()}
    with pytest.raises(ValueError, match=r"several state dicts.*generator, critic"):
        weight_stats(both)


def test_broken_sources_are_explained(tmp_path: Path) -> None:
    whole, script, text = tmp_path / "whole.pth", tmp_path / "script.pt", tmp_path / "text.pth"
    torch.save(small(), whole)
    text.write_text("no weights")
    good = tmp_path / "good.safetensors"
    save_file(small().state_dict(), good)
    cut, empty = tmp_path / "cut.safetensors", tmp_path / "empty.pth"
    cut.write_bytes(good.read_bytes()[:-9])
    empty.touch()
    torch.save(torch.ones(3), script)
    for path, words in {
        whole: r"whole\.pth holds a whole model.*torch\.save\(model\.state_dict\(\)",
        text: "damaged",
        cut: r"cut\.safetensors is damaged",
        empty: "is empty",
        script: "holds no state dict but a Tensor",
    }.items():
        with pytest.raises(ValueError, match=words):
            weight_stats(path)
    with pytest.raises(FileNotFoundError, match="no file"):
        weight_stats(tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"no tensors.*epoch"):
        weight_stats({"epoch": 3})
    with pytest.raises(TypeError, match="not int"):
        weight_stats(3)  # type: ignore[arg-type]


# -- pictures ---------------------------------------------------------------------------------


def test_stats_picture_has_a_hill_per_weight_on_a_centred_axis() -> None:
    model = load_model("resnet18")
    ax = show_weight_stats(model, title="all").axes[0]
    weights = [name for name, p in model.named_parameters() if p.ndim > 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == weights
    assert len(ax.patches) == len(weights)
    low, high = ax.get_xlim()
    # The axis holds every value here.
    largest = max(model.get_parameter(name).abs().max().item() for name in weights)
    assert (-low, high) == pytest.approx((largest, largest))


def test_stats_picture_of_chosen_and_of_too_many() -> None:
    model = small()
    ax = show_weight_stats(model, names=["bn.weight", "bn.bias"]).axes[0]
    assert len(ax.patches) == 2
    many = {f"{i}.weight": torch.rand(2, 2) for i in range(61)}
    assert "only the first 60 of 61" in show_weight_stats(many).axes[0].get_xlabel()
    for without in (nn.BatchNorm2d(3), nn.ReLU()):
        with pytest.raises(ValueError, match="no weights"):
            show_weight_stats(without)
    with pytest.raises(ValueError, match=r"no tensor 'bn\.wight'.*'bn\.weight'"):
        show_weight_stats(model, names=["bn.wight"])


def test_far_values_are_left_out_and_said_and_zeros_are_written() -> None:
    values = torch.cat([torch.zeros(1000), torch.linspace(-1, 1, 8999), torch.tensor([50.0])])
    figure = show_weight_stats({"w.weight": values[:, None]})
    figure.draw_without_rendering()
    ax = figure.axes[0]
    assert ax.get_xlim()[1] < 10
    assert "up to 50 lie beyond" in ax.get_xlabel()
    (beside,) = ax.child_axes
    assert [label.get_text() for label in beside.get_yticklabels()] == [
        f"{values.std():.3g}, 10.0%"
    ]


def test_names_are_no_formulas_and_broken_weights_can_be_drawn() -> None:
    name = r"$\bad{$.weight"
    broken = torch.full((2, 2), torch.nan)
    for picture in (
        show_weight_stats({name: torch.eye(2), "b.weight": broken}, title=name),
        show_weight_stats({name: broken}),
        show_weight_stats({name: torch.zeros(2, 2)}),
        show_kernels(torch.rand(2, 3, 3, 3), title=name),
    ):
        to_png(picture)


WEIGHT = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0)) / 10


def test_planes_of_one_kernel_on_the_layers_scale() -> None:
    reach = WEIGHT.abs().max().item()
    for channel in (0, 5):
        figure = show_kernels(WEIGHT, channel=channel, title="conv")
        mosaic, beside = figure.axes[:2]
        assert number_text(reach) in [text.get_text() for text in mosaic.texts]
        assert f"kernel {channel} of 6" in mosaic.get_title("left")
        assert beside.get_xlim() == pytest.approx((-reach, reach))
        assert len(beside.patches) == 2
        stds = [f"std {values.std():.3g}" for values in (WEIGHT, WEIGHT[channel])]
        texts = beside.get_legend().get_texts()
        assert [text.get_text().split(": ")[1] for text in texts] == stds
    assert "conv" in [text.get_text() for text in figure.texts]


def test_without_a_channel_kernel_0_is_shown_and_said() -> None:
    assert "kernel 0 of 6" in show_kernels(WEIGHT).axes[0].get_title("left")


@pytest.mark.parametrize(("depth", "words"), [(3, "in colour"), (1, "one plane each")])
def test_all_kernels_where_a_tile_can_hold_one(depth: int, words: str) -> None:
    mosaic, beside = show_kernels(WEIGHT[:, :depth]).axes[:2]
    assert f"all 6 kernels, {words}" in mosaic.get_title("left")
    assert len(beside.patches) == 1
    assert len(mosaic.texts) == (0 if depth == 3 else 3)  # a colour bar's


@pytest.mark.parametrize("weight", [torch.randn(10, 40), torch.randn(10, 40, 1, 1)])
def test_a_matrix_marks_its_row(weight: torch.Tensor) -> None:
    matrix = show_kernels(weight, channel=9).axes[0]
    assert "a row per output" in matrix.get_title("left")
    (mark,) = [text for text in matrix.texts if "▶" in text.get_text()]
    assert mark.get_position()[1] == 9
    drawn = matrix.images[0].get_array()
    assert np.array_equal(drawn, weight.reshape(10, 40).numpy())


def test_kernels_of_zeros_and_nan_can_be_drawn() -> None:
    broken = WEIGHT.clone()
    broken[0, 0, 0, 0] = torch.nan
    assert "NaN" in show_kernels(broken).axes[0].get_xlabel()
    assert "all zero: 5" in show_kernels(torch.zeros(6, 5, 3, 3)).axes[0].get_xlabel()


def test_wrong_arguments_are_explained() -> None:
    with pytest.raises(ValueError, match="channel must be 0 to 5, not 6"):
        show_kernels(WEIGHT, channel=6)
    with pytest.raises(ValueError, match="0 to 5, not -1"):
        show_kernels(WEIGHT, channel=-1)
    with pytest.raises(TypeError):
        show_kernels(WEIGHT, channel=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Conv1d"):
        show_kernels(WEIGHT[0])
    with pytest.raises(ValueError, match=r"not \[3\]"):
        show_kernels(torch.ones(3))
    with pytest.raises(TypeError, match="real numbers"):
        show_kernels("conv1")
