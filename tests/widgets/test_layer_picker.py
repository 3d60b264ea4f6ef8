"""The layer picker without a browser: widgets call back at once when their value is set."""

import io
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from vizhelpers.figures import to_png
from vizhelpers.plotting import show_mosaic
from vizhelpers.widgets.layer_picker import LayerPicker, layer_picker

NAMES = ["features.0", "features.1", "features.3", "classifier.0", "classifier.2"]


def colour_of(name: str) -> tuple[int, int, int]:
    return NAMES.index(name) * 40, 0, 0


class Draw:
    """Draws one colour that tells which layer it is of, and notes each call."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, name: str) -> tuple[Image.Image, str]:
        self.calls.append(name)
        return Image.new("RGB", (4, 4), colour_of(name)), f"caption of {name}"


@pytest.fixture
def draw() -> Draw:
    return Draw()


@pytest.fixture
def picker(draw: Draw) -> LayerPicker:
    return layer_picker(NAMES, draw)


def listed(picker: LayerPicker) -> list[str]:
    return [value for _, value in picker.select.options]


def assert_shows(picker: LayerPicker, name: str) -> None:
    assert picker.last_error is None
    assert picker.layer == picker.select.value == picker.shown == name
    pixels = np.asarray(Image.open(io.BytesIO(picker.picture)).convert("RGB"))
    assert tuple(pixels[0, 0]) == colour_of(name)
    assert f"caption of {name}" in picker.text


def test_a_layer_is_drawn_at_once_and_every_pick_after_it(picker: LayerPicker, draw: Draw) -> None:
    assert picker.layers == tuple(NAMES)
    assert_shows(picker, "features.0")
    picker.select.value = "features.3"  # mouse or keyboard
    assert_shows(picker, "features.3")
    picker.pick("features.1")
    assert_shows(picker, "features.1")
    assert_shows(layer_picker(NAMES, draw, initial="classifier.0"), "classifier.0")


def test_the_text_is_set_after_the_picture(picker: LayerPicker) -> None:
    before, seen = picker.picture, []
    picker.status.observe(lambda change: seen.append(picker.picture != before), "value")
    picker.pick("features.3")
    assert seen == [True]


def test_a_model_lists_names_and_kinds_and_both_are_found() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    picker = layer_picker(model, lambda name: torch.zeros(3, 2, 2))
    lines = [" ".join(label.split()) for label, _ in picker.select.options]
    assert lines == ["0 Conv2d", "1 ReLU", "2 Conv2d"]
    picker.search.value = "conv"
    assert listed(picker) == ["0", "2"]
    assert "<b>0 Conv2d</b>" in picker.status.value
    assert layer_picker(model, lambda name: torch.zeros(3, 2, 2), kind=nn.ReLU).layers == ("1",)


# -- search -----------------------------------------------------------------------------------


def test_search_narrows_the_list_and_draws_the_first_hit(picker: LayerPicker) -> None:
    picker.search.value = "  Classif"
    assert listed(picker) == ["classifier.0", "classifier.2"]
    assert picker.count.value == "2 of 5 layers"
    assert_shows(picker, "classifier.0")
    # What the browser sends when Enter is pressed: the whole list is back, the choice stays.
    picker.search._handle_custom_msg({"event": "submit"}, [])
    assert picker.search.value == ""
    assert listed(picker) == NAMES
    assert_shows(picker, "classifier.0")


def test_the_choice_stays_while_it_is_in_the_list(picker: LayerPicker, draw: Draw) -> None:
    picker.pick("features.3")
    for typed in ("feat", ""):
        picker.search.value = typed
        assert_shows(picker, "features.3")
    assert draw.calls == ["features.0", "features.3"]


def test_a_search_without_hits_says_so_and_keeps_the_picture(picker: LayerPicker) -> None:
    picker.pick("features.3")
    before = picker.picture
    picker.search.value = "featurs.3x"
    assert listed(picker) == []
    assert "No layer matches “featurs.3x”. Did you mean 'features.3'" in picker.text
    assert "still that of features.3" in picker.text
    assert (picker.picture, picker.layer) == (before, "features.3")
    picker.search.value = ""
    assert_shows(picker, "features.3")
    picker.search.value = "zzz"
    picker.search.value = "classifier"
    assert_shows(picker, "classifier.0")


def test_picking_what_the_search_hides_empties_the_search(picker: LayerPicker) -> None:
    picker.search.value = "classifier"
    picker.pick("features.1")
    assert picker.search.value == ""
    assert_shows(picker, "features.1")
    with pytest.raises(
        ValueError, match=r"no layer 'feature\.3' here\. Did you mean 'features\.3'"
    ):
        picker.pick("feature.3")
    assert_shows(picker, "features.1")


def test_what_is_picked_may_be_called_otherwise() -> None:
    words = {"Grad-CAM": "gradients", "Score-CAM": "scores"}
    picker = layer_picker(words, lambda name: torch.zeros(3, 2, 2), label="Method")
    assert (picker.select.description, picker.count.value) == ("Method", "2 methods")
    picker.search.value = "SCORES"
    assert picker.layer == "Score-CAM"
    picker.search.value = "zzz"
    assert "No method matches “zzz”." in picker.text


# -- pictures ---------------------------------------------------------------------------------


def test_whatever_to_png_takes_can_be_returned() -> None:
    figure = Figure()
    figure.subplots().plot([1, 2])
    axes = show_mosaic(torch.rand(4, 5, 5))
    for drawn in (torch.rand(3, 6, 6), figure, axes, (figure, "with a caption")):
        picker = layer_picker(NAMES, lambda name, drawn=drawn: drawn)
        assert picker.last_error is None
        assert picker.picture == to_png(drawn[0] if isinstance(drawn, tuple) else drawn)
    assert "with a caption" in picker.text


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (None, "end with “return”"),
        (b"GIF89a", "real numbers"),
        (torch.zeros(64, 5, 5), "show_mosaic"),
    ],
)
def test_what_is_no_picture_is_explained(drawn: Any, message: str) -> None:
    picker = layer_picker(NAMES, lambda name: drawn)
    assert message in picker.text
    assert "still" not in picker.text, "there is none"
    assert "image/png" not in picker._repr_mimebundle_()
    assert repr(picker) == "<LayerPicker: nothing shown>"


def test_pictures_are_kept_but_not_without_end(draw: Draw) -> None:
    picker = layer_picker(NAMES, draw, keep=2)
    for name in ("features.1", "features.0", "features.3", "features.1"):
        picker.pick(name)
    assert draw.calls == ["features.0", "features.1", "features.3", "features.1"]
    assert_shows(picker, "features.1")
    picker.refresh()
    assert draw.calls[-2:] == ["features.1"] * 2


# -- more controls ----------------------------------------------------------------------------


def test_controls_are_passed_by_name_and_each_choice_is_drawn_once() -> None:
    seen = []

    def draw(name: str, **choices: Any) -> Image.Image:
        seen.append((name, *choices.values()))
        return Image.new("RGB", (2, 2), (choices["channel"], 0, 0))

    slider = ipywidgets.IntSlider(5)
    controls = {"channel": slider, "method": ["a", "b"], "kernel": range(3, 9)}
    picker = layer_picker(NAMES, draw, controls=controls)
    slider.value = 7
    picker.controls["method"].value = "b"
    picker.controls["kernel"].value = 99  # beyond the last one
    picker.pick("features.1", channel=4, method="a")
    picker.pick("features.1", channel=7)
    slider.value = 4  # seen before
    expected = [(5, "a", 3), (7, "a", 3), (7, "b", 3), (7, "b", 8)]
    assert seen == [
        *(("features.0", *choices) for choices in expected),
        *(("features.1", channel, "a", 8) for channel in (4, 7)),
    ]
    assert picker.shown == "features.1, channel 4, method a, kernel 8"
    assert picker.picture == to_png(Image.new("RGB", (2, 2), (4, 0, 0)))


def test_wrong_arguments_are_refused_at_once(draw: Draw) -> None:
    with pytest.raises(TypeError, match="draw must be a function of a method's name, not str"):
        layer_picker(NAMES, "draw", label="Method")  # type: ignore[arg-type]
    for wrong in (3, "features.0"):
        with pytest.raises(TypeError, match="a model or names"):
            layer_picker(wrong, draw)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be a string"):
        layer_picker([1, 2], draw)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no methods to pick"):
        layer_picker([], draw, label="Method")
    with pytest.raises(ValueError, match=r"no layer 'features\.4'"):
        layer_picker(NAMES, draw, initial="features.4")
