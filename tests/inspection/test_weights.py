"""Statistics of weights against NumPy and by hand, from every kind of source; their pictures."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vizhelpers._utils.paths import WEIGHTS
from vizhelpers.inspection.weight_plots import show_kernels, show_weight_stats
from vizhelpers.inspection.weights import WeightTable, weight_stats
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


def same(one: WeightTable, other: WeightTable) -> bool:
    return {row.name: repr(row) for row in one} == {row.name: repr(row) for row in other}


# -- numbers ----------------------------------------------------------------------------------


def test_statistics_by_hand() -> None:
    row = weight_stats({"a.weight": torch.tensor([[3.0, -4.0], [0.0, 0.0]])})[0]
    assert (row.count, row.min, row.max, row.zeros, row.nonfinite) == (4, -4, 3, 0.5, 0)
    assert row.mean == pytest.approx(-0.25)
    assert row.norm == pytest.approx(5)
    # (3.25² + 3.75² + 2 · 0.25²) / 3
    assert row.std == pytest.approx((24.75 / 3) ** 0.5)
    assert row.histogram.counts.sum() == 4
    assert row.histogram.counts[[0, -1]].tolist() == [1, 1]
    assert row.histogram.edges[[0, -1]].tolist() == [-4, 3]


def test_statistics_equal_numpy_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vizhelpers.inspection.weights.PIECE", 7)
    values = torch.randn(10, 5, generator=torch.Generator().manual_seed(1)) + 100
    row = weight_stats({"w": values})[0]
    reference = values.double().numpy()
    assert row.mean == pytest.approx(reference.mean(), rel=1e-12)
    assert row.std == pytest.approx(reference.std(ddof=1), rel=1e-9)
    assert row.std == pytest.approx(values.std().item(), rel=1e-4)
    assert row.norm == pytest.approx(np.linalg.norm(reference), rel=1e-12)
    counts, edges = np.histogram(reference, 100)
    assert np.array_equal(row.histogram.counts, counts)
    assert row.histogram.edges == pytest.approx(edges)


def test_nonfinite_values_are_counted_and_left_out() -> None:
    table = weight_stats({"w": torch.tensor([1.0, float("nan"), 3.0, -float("inf")])})
    assert (table[0].nonfinite, table[0].mean, table[0].min, table[0].max) == (2, 2, 1, 3)
    assert "w: 2 of 4 are NaN or infinite" in repr(table)
    broken = weight_stats({"w": torch.full((2,), float("nan"))})[0]
    assert np.isnan(broken.mean)
    assert broken.nonfinite == 2


def test_one_number_and_equal_numbers() -> None:
    one, level = weight_stats({"one": torch.tensor(2.0), "level": torch.full((3,), 0.5)})
    assert np.isnan(one.std)
    assert (one.shape, one.mean, level.std, level.histogram.counts.sum()) == ((), 2, 0, 3)
    assert level.histogram.edges[[0, -1]].tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_small_floats_are_measured_exactly(dtype: torch.dtype) -> None:
    row = weight_stats({"w": torch.tensor([1.5, -0.25, 0.0]).to(dtype)})[0]
    assert (row.mean, row.min, row.max) == (pytest.approx(1.25 / 3), -0.25, 1.5)


def test_sparse_is_measured() -> None:
    row = weight_stats({"w": torch.eye(4).to_sparse()})[0]
    assert (row.zeros, row.norm) == (0.75, 2)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.tensor(3), "integers"),
        (torch.ones(2, dtype=torch.complex64), "complex"),
        (torch.ones(2, device="meta"), "meta device"),
        (nn.LazyLinear(2).weight, "lazy"),
        (torch.ones(0), "empty"),
        ("text", "no tensor but str"),
    ],
)
def test_what_cannot_be_measured_is_named(value: object, reason: str) -> None:
    table = weight_stats({"odd": value, "w": torch.ones(2)})
    assert table.names == ["w"]
    assert reason in table.skipped["odd"]
    assert "Without statistics: odd" in repr(table)
    with pytest.raises(ValueError, match="odd"):
        table["odd"]


# -- what a tensor is -------------------------------------------------------------------------


def test_meanings_and_axes_come_from_names_and_shapes_alone() -> None:
    table = weight_stats(small().state_dict())
    assert [(row.name, row.meaning) for row in table] == [
        ("conv.weight", "conv, no bias"),
        ("bn.weight", "γ, scale"),
        ("bn.bias", "β, shift"),
        ("bn.running_mean", "running mean"),
        ("bn.running_var", "running var"),
        ("head.1.weight", "linear"),
        ("head.1.bias", "bias"),
    ]
    axes = ("kernel_number", "kernel_channel", "kernel_height", "kernel_width")
    assert table["conv.weight"].axes == axes
    assert table["head.1.weight"].axes == ("out_features", "in_features")
    assert table["bn.weight"].axes == ()
    assert table["bn.running_mean"].kind == "running_mean"
    assert list(table.skipped) == ["bn.num_batches_tracked"]


@pytest.mark.parametrize(
    ("layer", "meaning", "axes"),
    [
        (nn.Conv1d(2, 3, 5), "conv", ("kernel_number", "kernel_channel", "kernel_width")),
        (nn.LayerNorm(4), "γ, scale", ()),
        (nn.PReLU(), "weight", ()),
        (nn.LSTM(2, 3), "linear", ("out_features", "in_features")),
    ],
)
def test_other_layers(layer: nn.Module, meaning: str, axes: tuple[str, ...]) -> None:
    row = weight_stats(layer)[0]
    assert (row.meaning, row.axes) == (meaning, axes)


def test_the_model_stays_as_it_was() -> None:
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weight_stats(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


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
    assert table.names[0] == "module.conv.weight"
    assert table["module.bn.weight"].meaning == "γ, scale"


def test_rows_keep_the_order_of_a_state_dict() -> None:
    model = load_model("resnet18")
    table = weight_stats(model)
    measured = [name for name in model.state_dict() if name not in table.skipped]
    assert table.names == measured


def test_a_safetensors_file_is_sorted_by_name_and_number() -> None:
    table = weight_stats(WEIGHTS / "alexnet-fair.safetensors")
    assert table.names[:2] == ["classifier.1.weight", "classifier.1.bias"]
    assert table.names[-4:-2] == ["features.8.weight", "features.8.bias"]
    assert "sorted" in repr(table)
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


# -- the table --------------------------------------------------------------------------------


def test_rows_by_place_name_and_slice() -> None:
    table = weight_stats(small())
    assert table[0] is table["conv.weight"]
    assert len(table) == 7
    assert table[:2].names == ["conv.weight", "bn.weight"]
    with pytest.raises(ValueError, match=r"nearest: head\.1\.weight"):
        table["head.weight"]


def test_text_and_html() -> None:
    table = weight_stats(load_model("resnet18"))
    lines = repr(table).splitlines()
    assert max(map(len, lines)) <= 106
    assert len({len(line) for line in lines[:-1]}) == 1, "columns do not line up"
    assert "layer4.0.downsample.0.weight" in repr(table)
    page = table._repr_html_()
    assert page.count("<tr>") == len(table) + 1
    assert "conv, no bias" in page
    assert "and 19 more (integers)" in page


def test_html_is_escaped() -> None:
    page = weight_stats({"<b>.weight": torch.ones(2)})._repr_html_()
    assert "&lt;b&gt;.weight" in page


# -- pictures ---------------------------------------------------------------------------------


def test_stats_picture_has_a_hill_per_weight_on_a_centred_axis() -> None:
    table = weight_stats(load_model("resnet18"))
    (ax,) = show_weight_stats(table, title="all").axes
    low, high = ax.get_xlim()
    assert low == -high
    weights = [row for row in table if row.axes]
    assert len(ax.collections[0].get_paths()) == len(weights) == 21
    texts = [text.get_text() for text in ax.texts]
    assert all(row.name in texts for row in weights)
    # The axis holds every value here.
    assert high == pytest.approx(max(max(-row.min, row.max) for row in weights))


def test_stats_picture_of_chosen_and_of_too_many() -> None:
    table = weight_stats(load_model("resnet18"))
    (ax,) = show_weight_stats(table, names=["bn1.weight", "bn1.bias"]).axes
    assert len(ax.collections[0].get_paths()) == 2
    many = weight_stats({f"{i}.weight": torch.rand(2, 2) for i in range(61)})
    assert "only the first 60 of 61" in show_weight_stats(many).axes[0].get_xlabel()
    with pytest.raises(ValueError, match="no weights"):
        show_weight_stats(table[1:2])


def test_far_values_are_left_out_and_said() -> None:
    values = torch.linspace(-1, 1, 9999).tolist()
    table = weight_stats({"w.weight": torch.tensor([*values, 50.0])[:, None]})
    (ax,) = show_weight_stats(table).axes
    assert ax.get_xlim()[1] < 10
    assert "lie beyond" in ax.get_xlabel()


def test_zeros_are_written() -> None:
    table = weight_stats({"w.weight": torch.tensor([[0.0, 1.0], [0.0, 0.0]])})
    (ax,) = show_weight_stats(table).axes
    assert "75.0%" in [text.get_text() for text in ax.texts]


WEIGHT = torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0)) / 10


def test_planes_of_one_kernel_on_the_layers_scale() -> None:
    reach = WEIGHT.abs().max().item()
    for channel in (0, 5):
        figure = show_kernels(WEIGHT, channel=channel, title="conv")
        mosaic, beside = figure.axes[:2]
        assert mosaic.images[0].get_clim() == pytest.approx((-reach, reach))
        assert f"kernel {channel} of 6" in mosaic.get_title("left")
        assert beside.get_xlim() == pytest.approx((-reach, reach))
        assert len(beside.patches) == 2
        stds = [f"std {values.std():.4f}" for values in (WEIGHT, WEIGHT[channel])]
        assert [text.get_text().split(": ")[1] for text in beside.texts] == stds
    assert "conv  [6, 5, 3, 3]" in [text.get_text() for text in figure.texts]


def test_without_a_channel_kernel_0_is_shown_and_said() -> None:
    assert "kernel 0 of 6" in show_kernels(WEIGHT).axes[0].get_title("left")


@pytest.mark.parametrize(("depth", "words"), [(3, "in colour"), (1, "one plane each")])
def test_all_kernels_where_a_tile_can_hold_one(depth: int, words: str) -> None:
    mosaic, beside = show_kernels(WEIGHT[:, :depth]).axes[:2]
    assert f"all 6 kernels, {words}" in mosaic.get_title("left")
    assert len(beside.patches) == 1
    assert np.asarray(mosaic.images[0].get_array()).ndim == (3 if depth == 3 else 2)


@pytest.mark.parametrize("weight", [torch.randn(10, 40), torch.randn(10, 40, 1, 1)])
def test_a_matrix_marks_its_row(weight: torch.Tensor) -> None:
    matrix = show_kernels(weight, channel=9).axes[0]
    assert "a row per output" in matrix.get_title("left")
    (mark,) = [text for text in matrix.texts if "▶" in text.get_text()]
    bottom = matrix.get_ylim()[0] + 0.5
    assert mark.xy[1] == pytest.approx(0.95 * bottom - 0.5)


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
