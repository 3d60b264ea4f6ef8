"""Summaries: numbers against counts made by hand, notes, errors, and a model left alone."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest
import torch
import torchvision
from support.models import ALL, BROKEN, BatchNormNet, Plain
from support.portrait import portrait, random_numbers
from torch import nn

from vizhelpers.inspection.summary import summarize


@pytest.fixture(scope="module")
def resnet18():
    return summarize(torchvision.models.resnet18(), (1, 3, 224, 224), depth=2)


def test_the_known_numbers_of_resnet18(resnet18):
    assert resnet18.total_params == resnet18.trainable_params == 11_689_512
    assert f"{resnet18.total_mult_adds / 1e9:.2f}" == "1.81"
    sizes = (resnet18.input_mb, resnet18.forward_backward_mb, resnet18.params_mb)
    assert [f"{size:.2f}" for size in (*sizes, resnet18.total_mb)] == [
        "0.60",
        "39.75",
        "46.76",
        "87.11",
    ]
    assert resnet18.notes == ()


def test_the_text_has_units_in_words_not_in_python(resnet18):
    text = repr(resnet18)
    assert "Total mult-adds (G): 1.81\n" in text
    assert "Units" not in text
    for line in (
        "Total params: 11,689,512",
        "Input size (MB): 0.60",
        "Forward/backward pass size (MB): 39.75",
        "Params size (MB): 46.76",
        "Estimated Total Size (MB): 87.11",
    ):
        assert line in text.splitlines()


def test_the_text_is_otherwise_what_torchinfo_prints(resnet18):
    theirs = str(resnet18.statistics).replace("Units.GIGABYTES", "G")
    assert repr(resnet18) == str(resnet18) == theirs


def test_one_convolution_counted_by_hand():
    # 8 kernels of 3×5×5 and 8 biases; each kernel's 75 products at 10×12 places, twice.
    summary = summarize(nn.Conv2d(3, 8, 5), (2, 3, 14, 16))
    assert summary.total_params == 8 * 75 + 8
    assert summary.flop_counter_mult_adds == 2 * 8 * 75 * 10 * 12
    assert summary.total_mult_adds == 2 * 8 * (75 + 1) * 10 * 12  # torchinfo adds the biases
    assert summary.params_mb == 608 * 4 / 1e6


def test_attention_counted_by_hand():
    batch, tokens, width = 2, 16, 8
    model, inputs = ALL["attention"].build()
    summary = summarize(model, input_data=inputs[0])
    patches = batch * tokens * width * 3 * 4 * 4
    projections = batch * tokens * 4 * width * width  # query, key, value and output
    scores_and_mixing = 2 * batch * tokens * tokens * width  # all heads together
    head = batch * width * 5
    assert summary.flop_counter_mult_adds == patches + projections + scores_and_mixing + head
    assert summary.notes == (
        "torch.utils.flop_counter counts 28,752 mult-adds, torchinfo 12,634. They differ at "
        "attention (16,384, not 0), patches (12,288, not 12,544), fc (80, not 90).",
    )


def test_vit_b_16_whose_real_cost_torchinfo_misses():
    summary = summarize(torchvision.models.vit_b_16(), (1, 3, 224, 224), device="meta")
    assert f"{summary.total_mult_adds / 1e9:.2f}" == "0.17"
    assert f"{summary.flop_counter_mult_adds / 1e9:.1f}" == "17.6"
    words = "17.56 G mult-adds, torchinfo 173.23 M. They differ at encoder.layers.encoder_layer_0."
    assert words in repr(summary)
    # 86,567,656 parameters of four bytes, where torchinfo itself says 232 MB
    assert f"{summary.params_mb:.2f}" == "346.27"
    assert "Params size (MB): 346.27" in repr(summary)
    assert "torchinfo itself says 232.27 MB" in repr(summary)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_is_counted_once(name):
    model, inputs = ALL[name].build()
    summary = summarize(model, input_data=inputs)
    assert summary.total_params == sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert summary.trainable_params == trainable
    assert summary.params_mb == pytest.approx(4e-6 * summary.total_params)


@pytest.mark.parametrize("device", [None, "meta"])
def test_weights_that_two_layers_share_are_counted_once_and_noted(device):
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10, bias=False))
    model[1].weight = model[0].weight
    summary = summarize(model, (2, 3), dtypes=[torch.long], device=device)
    assert summary.total_params == 40
    assert "Total params: 40\nTrainable params: 40\n" in repr(summary)
    assert "torchinfo itself says 80 parameters" in repr(summary)


def test_a_difference_has_its_place():
    summary = summarize(nn.Conv2d(1, 1, 1), (1, 1, 8, 8))
    assert summary.notes == (
        "torch.utils.flop_counter counts 64 mult-adds, torchinfo 128. They differ at the model "
        "itself (64, not 128).",
    )
    summary = summarize(nn.Sequential(nn.LSTM(10, 20)), (7, 10))
    assert summary.flop_counter_mult_adds == 7 * 80 * 30
    assert summary.notes[-1].endswith("torchinfo 358,400. They differ at 0 (16,800, not 358,400).")


@pytest.mark.parametrize("name", ["batch_norm", "frozen_backbone", "vit", "residual"])
@pytest.mark.parametrize("options", [{}, {"mode": "train", "device": "meta"}])
def test_the_model_its_input_and_the_random_numbers_are_left_alone(name, options):
    model, inputs = ALL[name].build()
    before = portrait(model), random_numbers()
    summarize(model, tuple(inputs[0].shape), **options)
    assert (portrait(model), random_numbers()) == before
    model(*inputs)


def test_the_model_is_given_a_copy():
    class Writes(nn.Module):
        def forward(self, x):
            return x.sub_(0.5)

    image = torch.ones(1, 3, 8, 8)
    summarize(Writes(), input_data=image)
    assert image.unique().tolist() == [1]


def test_the_meta_device_gives_the_same_table():
    model, _ = ALL["residual"].build()
    size = (2, 3, 16, 16)
    assert repr(summarize(model, size, device="meta")) == repr(summarize(model, size))


def test_several_inputs_and_keyword_inputs():
    model, (image, facts) = ALL["two_inputs"].build()
    by_size = summarize(model, [(2, 3, 16, 16), (2, 4)])
    by_data = summarize(model, input_data=[image, facts])
    by_name = summarize(model, input_data={"facts": facts, "image": image})
    assert by_size.total_mult_adds == by_data.total_mult_adds == by_name.total_mult_adds > 0
    assert by_size.input_mb == pytest.approx((2 * 3 * 16 * 16 + 2 * 4) * 4e-6)


@pytest.mark.parametrize(
    "image", [torch.rand(64, 3, 8, 8)[:1], torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8)]
)
def test_the_input_is_measured_not_the_memory_around_it(image):
    summary = summarize(nn.Conv2d(3, 8, 3), input_data=image)
    assert summary.input_mb == pytest.approx(3 * 8 * 8 * 4e-6)
    assert "Input size (MB): 0.00\n" in repr(summary)
    assert summary.total_mb == pytest.approx(
        summary.input_mb + summary.params_mb + summary.forward_backward_mb
    )


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x, mask=None, negate=False):
        x = self.fc(x) if mask is None else self.fc(x) * mask
        return -x if negate else x


@pytest.mark.parametrize(
    "data",
    [
        [torch.rand(1, 4), None],
        (torch.rand(1, 4), None, True),
        {"x": torch.rand(1, 4), "mask": None},
        {"x": torch.rand(1, 4), "mask": torch.ones(4), "negate": True},
    ],
)
def test_none_and_flags_are_passed_on(data):
    assert summarize(Masked(), input_data=data).flop_counter_mult_adds == 16
    assert summarize(Masked(), (1, 4), negate=True).total_params == 20


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.double])
def test_the_input_has_the_type_of_the_weights(dtype):
    summary = summarize(nn.Linear(4, 4).to(dtype), (1, 4))
    assert summary.params_mb == pytest.approx(20 * dtype.itemsize / 1e6)
    assert summary.input_mb == pytest.approx(4 * dtype.itemsize / 1e6)


def test_without_an_input_only_parameters_are_counted():
    summary = summarize(Plain())
    assert summary.total_params == sum(p.numel() for p in Plain().parameters())
    assert summary.total_mult_adds is None
    assert summary.flop_counter_mult_adds is None
    assert "mult-adds" not in repr(summary) + summary._repr_html_()


def test_the_mode_is_the_one_that_was_asked_for():
    class Says(nn.Module):
        def forward(self, x):
            seen.append(self.training)
            return x

    seen: list[bool] = []
    for mode in ("eval", "train"):
        summarize(Says(), (1,), mode=mode)
    assert seen == [False, True]


def test_lazy_layers_are_counted_and_stay_lazy():
    model = nn.Sequential(nn.LazyConv2d(4, 3))
    assert summarize(model, (1, 5, 8, 8)).total_params == 4 * 5 * 9 + 4
    assert isinstance(model[0], nn.LazyConv2d)
    assert summarize(model).total_params == 0  # nobody knows yet


# --- errors ---------------------------------------------------------------------------------


def message_of(name: str) -> tuple[str, BaseException | None]:
    model, inputs = BROKEN[name].build()
    with pytest.raises(RuntimeError) as error:
        summarize(model, input_data=inputs)
    return str(error.value), error.value.__cause__


def test_a_wrong_linear_is_named_with_what_it_got_and_expects():
    message, cause = message_of("wrong_linear")
    assert "stopped in layer 'fc1' (Linear)" in message
    assert "got [2, 256]" in message
    assert "expects 1600 in the last dimension" in message
    assert re.search(r"conv2 \(Conv2d\) +\[2, 8, 8, 8\] → \[2, 16, 8, 8\]", message)
    assert "fc2" not in message
    assert "torchinfo" not in message
    assert isinstance(cause, RuntimeError)
    assert "mat1 and mat2" in str(cause)
    assert str(cause) in message


def test_wrong_channels_one_level_down():
    message, _ = message_of("wrong_channels")
    assert "stopped in layer 'body.1' (Conv2d)" in message
    assert "got [2, 8, 14, 14]" in message
    assert "expects 12 channels" in message


def test_an_error_between_the_layers():
    message, cause = message_of("refuses")
    assert "in the forward method of Refuses, between its layers" in message
    assert "drop (Dropout)" in message
    assert str(cause) == "this network never answers"


def test_a_missing_batch_size_is_suspected():
    with pytest.raises(RuntimeError, match=r"batch size missing\? input_size=\(1, 3, 16, 16\)"):
        summarize(BatchNormNet(), (3, 16, 16))


@dataclasses.dataclass
class Output:
    logits: torch.Tensor


class Inner(nn.Sequential):
    def forward(self, x):
        return Output(super().forward(x))


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner(nn.Linear(4, 4))

    def forward(self, x):
        return self.inner(x).logits


def test_what_torchinfo_cannot_read_is_not_blamed_on_the_model():
    with pytest.raises(RuntimeError, match="torchinfo cannot read what 'inner' takes or returns"):
        summarize(Outer(), (1, 4))
    scripted = nn.Sequential(torch.jit.trace(nn.ReLU(), torch.rand(1, 4)), nn.Linear(4, 2))
    with pytest.raises(TypeError, match="scripted or traced model, and its layer '0' is one"):
        summarize(scripted, (1, 4))
    deep = nn.ReLU()
    for _ in range(30):
        deep = nn.Sequential(deep)
    with pytest.raises(ValueError, match=r"nested 30 deep.*layer_budget has no such limit"):
        summarize(deep, (1, 4))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"input_size": 224}, TypeError, "batch included, such as"),
        ({"input_size": torch.rand(1, 3)}, TypeError, r"shape of the input.*Tensor \[1, 3\]"),
        ({"colums": ["num_params"]}, TypeError, "summarize nor Plain.forward takes it.*'colums'"),
        ({"columns": ["params"]}, ValueError, "num_params"),
        ({"columns": "num_params"}, ValueError, "columns is a list"),
        ({"mode": "test"}, ValueError, "'test' is not a valid Mode"),
        ({"input_size": (1, 3, 8, 8), "input_data": torch.rand(1)}, ValueError, "Only one"),
    ],
)
def test_wrong_options(options, error, words):
    with pytest.raises(error, match=words):
        summarize(Plain(), **options)


def test_only_models():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        summarize({}, (1, 3, 8, 8))


# --- the notebook's table ---------------------------------------------------------------------


class Table(HTMLParser):
    """Reads rows of cells, and complains about tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] in (["td"], ["th"]):
            self.rows[-1][-1] += data


def test_the_table_says_what_the_text_says(resnet18):
    rows = Table(resnet18._repr_html_()).rows
    assert rows[0] == [*("Layer", "Input Shape", "Output Shape", "Param #", "Mult-Adds", "Param %")]
    assert [cell.strip() for cell in rows[2]] == [
        *("conv1 (Conv2d)", "[1, 3, 224, 224]", "[1, 64, 112, 112]", "9,408", "118,013,952"),
        "0.08%",  # 9,408 of 11,689,512
    ]
    assert len(rows) == 1 + len([i for i in resnet18.statistics.summary_list if i.depth <= 2])
    counts = (row[3].replace(",", "").replace("--", "0") for row in rows[1:])
    assert sum(map(int, counts)) == 11_689_512
    for line in repr(resnet18).splitlines()[-8:]:
        assert line in resnet18._repr_html_() or set(line) == {"="}


def test_the_table_shows_notes_and_the_columns_asked_for():
    vit = summarize(ALL["vit"].build()[0], (1, 3, 16, 16))
    assert vit.notes
    assert all(note in vit._repr_html_() for note in vit.notes)
    columns = ["kernel_size", "trainable", "params_percent"]
    summary = summarize(Plain(), (1, 3, 16, 16), columns=columns)
    row = [cell.strip() for cell in Table(summary._repr_html_()).rows[3]]
    assert row == ["0 (Conv2d)", "[3, 3]", "True", "16.65%"]  # 224 of 1345
    assert "Kernel Shape" in repr(summary)


def test_names_and_notes_are_escaped():
    model = nn.Sequential()
    model.add_module("<img src=x>", nn.LSTM(4, 4))
    summary = summarize(model, (7, 4))
    assert "<img src=x>" in summary.notes[-1]
    assert "<img" not in summary._repr_html_()
    assert summary._repr_html_().count("&lt;img src=x&gt;") == 2
