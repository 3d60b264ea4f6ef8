"""The layer picker without a browser: widgets call back at once when their value is set."""

import asyncio
import io
import re
import threading
from html import unescape

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from vizhelpers.figures import to_png
from vizhelpers.plotting import show_mosaic
from vizhelpers.widgets import base
from vizhelpers.widgets import layer_picker as module
from vizhelpers.widgets.base import at_home
from vizhelpers.widgets.layer_picker import layer_picker

NAMES = ["features.0", "features.1", "features.3", "classifier.0", "classifier.2"]


def colour_of(name):
    return (NAMES.index(name) * 40, 0, 0)


def plain(name):
    """A picture of one colour that tells which layer it is of."""
    return Image.new("RGB", (4, 4), colour_of(name)), f"caption of {name}"


def shown(picker):
    return tuple(np.asarray(Image.open(io.BytesIO(picker.picture)).convert("RGB"))[0, 0])


def text(picker):
    return unescape(re.sub(r"<[^>]*>", " ", picker.status.value))


def data_layer(picker):
    return unescape(re.search(r'data-layer="([^"]*)"', picker.status.value)[1])


@pytest.fixture
def picker():
    return layer_picker(NAMES, plain)


def test_first_layer_is_drawn_at_once(picker):
    assert picker.layers == tuple(NAMES)
    assert picker.layer == picker.select.value == "features.0"
    assert shown(picker) == colour_of("features.0")
    assert "features.0" in text(picker)
    assert "caption of features.0" in text(picker)


def test_initial_layer():
    picker = layer_picker(NAMES, plain, initial="classifier.0")
    assert picker.select.value == data_layer(picker) == "classifier.0"
    assert shown(picker) == colour_of("classifier.0")


@pytest.mark.parametrize("way", ["mouse or keyboard", "python"])
def test_a_pick_changes_picture_and_text(picker, way):
    if way == "python":
        picker.pick("features.3")
    else:
        picker.select.value = "features.3"
    assert picker.last_error is None
    assert picker.layer == picker.select.value == data_layer(picker) == "features.3"
    assert shown(picker) == colour_of("features.3")
    assert "caption of features.3" in text(picker)


def test_the_text_is_set_after_the_picture(picker):
    seen = []
    picker.status.observe(lambda change: seen.append(shown(picker)), "value")
    picker.pick("features.3")
    assert seen == [colour_of("features.3")]


def test_a_model_lists_names_and_kinds():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    picker = layer_picker(model, lambda name: torch.zeros(3, 2, 2))
    assert picker.layers == ("0", "1", "2")
    assert [label.split() for label, _ in picker.select.options] == [
        ["0", "Conv2d"],
        ["1", "ReLU"],
        ["2", "Conv2d"],
    ]
    assert "Conv2d" in text(picker)
    assert layer_picker(model, lambda name: torch.zeros(3, 2, 2), kind=nn.ReLU).layers == ("1",)


def test_names_with_a_word_about_each():
    picker = layer_picker({"a": "first", "b": "second"}, lambda name: torch.zeros(3, 2, 2))
    picker.search.value = "SECOND"
    assert picker.layer == "b"


# -- search -----------------------------------------------------------------------------------


def listed(picker):
    return [value for _, value in picker.select.options]


def test_search_narrows_the_list_and_draws_the_first_hit(picker):
    picker.search.value = "  Classif"
    assert listed(picker) == ["classifier.0", "classifier.2"]
    assert picker.select.value == picker.layer == data_layer(picker) == "classifier.0"
    assert shown(picker) == colour_of("classifier.0")
    assert "2 of 5 layers" in picker.count.value


def test_search_finds_kinds():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    picker = layer_picker(model, lambda name: torch.zeros(3, 2, 2))
    picker.search.value = "conv"
    assert listed(picker) == ["0", "2"]


def test_the_choice_stays_while_it_is_in_the_list(picker):
    calls = []
    picker = layer_picker(NAMES, lambda name: calls.append(name) or plain(name))
    picker.pick("features.3")
    picker.search.value = "feat"
    assert picker.select.value == picker.layer == "features.3"
    picker.search.value = ""
    assert listed(picker) == NAMES
    assert picker.select.value == picker.layer == "features.3"
    assert calls == ["features.0", "features.3"]


def test_a_search_without_hits_says_so_and_keeps_the_picture(picker):
    picker.pick("features.3")
    picker.search.value = "featurs.3x"
    assert listed(picker) == []
    assert "No layer matches “featurs.3x”. Nearest: features.3" in text(picker)
    assert "still that of features.3" in text(picker)
    assert shown(picker) == colour_of("features.3")
    assert data_layer(picker) == picker.layer == "features.3"
    picker.search.value = ""
    assert picker.select.value == "features.3"
    assert "caption of features.3" in text(picker)


def test_a_search_with_hits_after_one_without(picker):
    picker.pick("features.3")
    picker.search.value = "zzz"
    picker.search.value = "classifier"
    hit = listed(picker)[0]
    assert picker.select.value == picker.layer == hit
    assert shown(picker) == colour_of(hit)
    assert picker.last_error is None


def test_enter_restores_the_whole_list(picker):
    picker.search.value = "classifier.2"
    # what the browser sends when Enter is pressed
    picker.search._handle_custom_msg({"event": "submit"}, [])
    assert picker.search.value == ""
    assert listed(picker) == NAMES
    assert picker.select.value == picker.layer == "classifier.2"


def test_picking_a_layer_that_the_search_hides_empties_the_search(picker):
    picker.search.value = "classifier"
    picker.pick("features.1")
    assert picker.search.value == ""
    assert picker.select.value == picker.layer == "features.1"
    assert shown(picker) == colour_of("features.1")


def test_picking_an_unknown_layer_names_the_nearest(picker):
    with pytest.raises(ValueError, match=r"no layer 'feature\.3' here\. Nearest: features\.3"):
        picker.pick("feature.3")
    assert picker.layer == "features.0"


def test_what_is_picked_may_be_called_otherwise():
    words = {"Grad-CAM": "gradients", "Score-CAM": "scores"}
    picker = layer_picker(words, lambda name: torch.zeros(3, 2, 2), label="Method")
    assert picker.select.description == "Method"
    assert picker.count.value == "2 methods"
    assert repr(picker) == "<LayerPicker: 2 methods, Grad-CAM shown>"
    picker.search.value = "score"
    assert picker.count.value == "1 of 2 methods"
    picker.search.value = "zzz"
    assert "No method matches “zzz”." in text(picker)
    with pytest.raises(ValueError, match=r"there is no method 'Grad' here\."):
        picker.pick("Grad")
    with pytest.raises(ValueError, match="there are no methods to pick"):
        layer_picker([], plain, label="Method")
    with pytest.raises(TypeError, match="a function of a method's name"):
        layer_picker(words, 3, label="Method")


# -- what goes wrong --------------------------------------------------------------------------


def fails_at(bad):
    def draw(name):
        if name == bad:
            raise RuntimeError("no <map> here")
        return plain(name)

    return draw


def test_an_error_is_said_and_kept():
    picker = layer_picker(NAMES, fails_at("features.3"))
    picker.pick("features.3")
    assert isinstance(picker.last_error, RuntimeError)
    assert "features.3 could not be drawn. RuntimeError: no <map> here" in text(picker)
    assert "still that of features.0" in text(picker)
    assert data_layer(picker) == picker.layer == "features.0"
    assert shown(picker) == colour_of("features.0")
    assert "layer-picker-stale" in picker.image._dom_classes
    picker.pick("features.1")
    assert picker.last_error is None
    assert "could not" not in text(picker)
    assert "layer-picker-stale" not in picker.image._dom_classes


def test_an_error_in_the_first_picture():
    picker = layer_picker(NAMES, fails_at("features.0"))
    assert isinstance(picker.last_error, RuntimeError)
    assert picker.picture == b""
    assert "still" not in text(picker)
    picker.pick("features.1")
    assert shown(picker) == colour_of("features.1")


def test_an_error_is_not_remembered():
    broken = [True]

    def draw(name):
        if broken[0]:
            raise RuntimeError("not yet")
        return plain(name)

    picker = layer_picker(NAMES, draw)
    broken[0] = False
    picker.refresh()
    assert picker.last_error is None
    assert shown(picker) == colour_of("features.0")


def texts_in(widget):
    """Every piece of HTML in a widget and in what it holds."""
    if isinstance(widget, ipywidgets.HTML):
        yield widget.value
    for child in getattr(widget, "children", ()):
        yield from texts_in(child)


def test_everything_shown_is_escaped():
    evil = '<img src=x onerror="alert(1)">'
    picker = layer_picker({evil: evil}, lambda name: (torch.zeros(3, 2, 2), evil))
    found = list(texts_in(picker.widget))
    assert sum("&lt;img" in value for value in found) == 1
    picker.search.value = "<script>"
    found += texts_in(picker.widget)
    assert len(found) == 4
    assert not any("<img" in value or "<script" in value for value in found)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (None, "end with “return”"),
        (b"GIF89a", "real numbers"),
        (torch.zeros(64, 5, 5), "show_mosaic"),
        ("text", "real numbers"),
    ],
)
def test_what_is_no_picture_is_explained(drawn, message):
    assert message in text(layer_picker(NAMES, lambda name: drawn))


def test_wrong_arguments_are_refused_at_once():
    with pytest.raises(TypeError, match="draw must be a function"):
        layer_picker(NAMES, "draw")
    with pytest.raises(TypeError, match="a model or names"):
        layer_picker(3, plain)
    with pytest.raises(TypeError, match="a model or names"):
        layer_picker("features.0", plain)
    with pytest.raises(TypeError, match="must be a string"):
        layer_picker([1, 2], plain)
    with pytest.raises(ValueError, match="no layers to pick"):
        layer_picker([], plain)
    with pytest.raises(ValueError, match=r"no layer 'features\.4'"):
        layer_picker(NAMES, plain, initial="features.4")


# -- pictures of every kind -------------------------------------------------------------------


def test_whatever_to_png_takes_can_be_returned():
    pixels = torch.rand(3, 6, 6)
    figure = Figure()
    figure.subplots().plot([1, 2])
    axes = show_mosaic(torch.rand(4, 5, 5))
    for drawn in (pixels, figure, axes, (figure, "with a caption")):
        picker = layer_picker(NAMES, lambda name, drawn=drawn: drawn)
        assert picker.last_error is None
        expected = drawn[0] if isinstance(drawn, tuple) else drawn
        assert picker.picture == to_png(expected)
    assert "with a caption" in text(picker)


def test_pictures_are_kept_but_not_without_end(monkeypatch):
    monkeypatch.setattr(module, "CACHED_PICTURES", 2)
    calls = []
    picker = layer_picker(NAMES, lambda name: calls.append(name) or plain(name))
    for name in ("features.1", "features.0", "features.3", "features.0"):
        picker.pick(name)
    assert calls == ["features.0", "features.1", "features.3", "features.0"]
    assert shown(picker) == colour_of("features.0")


def test_refresh_draws_again():
    calls = []
    picker = layer_picker(NAMES, lambda name: calls.append(name) or plain(name))
    picker.refresh()
    assert calls == ["features.0"] * 2


# -- more controls ----------------------------------------------------------------------------


def test_controls_are_passed_by_name():
    seen = []

    def draw(name, channel, method):
        seen.append((name, channel, method))
        return Image.new("RGB", (2, 2), (channel, 0, 0))

    slider = ipywidgets.IntSlider(5, description="Channel")
    picker = layer_picker(NAMES, draw, controls={"channel": slider, "method": ["a", "b"]})
    assert picker.controls["channel"] is slider
    slider.value = 7
    picker.controls["method"].value = "b"
    picker.pick("features.1")
    slider.value = 5
    expected = [(5, "a", 0), (7, "a", 0), (7, "b", 0), (7, "b", 1), (5, "b", 1)]
    assert seen == [(f"features.{layer}", channel, method) for channel, method, layer in expected]
    assert shown(picker) == (5, 0, 0)
    slider.value = 7
    assert len(seen) == 5  # seen before
    assert shown(picker) == (7, 0, 0)


def test_layer_and_controls_are_picked_at_once():
    seen = []

    def draw(name, channel):
        seen.append((name, channel))
        return plain(name)

    picker = layer_picker(NAMES, draw, controls={"channel": range(5)})
    picker.pick("features.3", channel=4)
    picker.pick("features.3", channel=2)
    picker.pick("features.3", channel=2)
    assert seen == [("features.0", 0), ("features.3", 4), ("features.3", 2)]
    assert (picker.layer, picker.controls["channel"].value) == ("features.3", 2)


def test_without_keeping_each_pick_draws():
    calls = []
    picker = layer_picker(NAMES, lambda name: calls.append(name) or plain(name), keep=False)
    for name in ("features.1", "features.0"):
        picker.pick(name)
    assert calls == ["features.0", "features.1", "features.0"]


def in_another_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_all_is_drawn_in_the_thread_of_the_cell():
    """As in JupyterLab, where what is clicked may come in another thread."""
    threads = []

    def draw(name):
        threads.append(threading.current_thread())
        return plain(name)

    async def cell():
        picker = layer_picker(NAMES, draw)
        in_another_thread(lambda: setattr(picker.select, "value", "features.3"))
        assert shown(picker) == colour_of("features.0")  # its turn comes after the cell
        await asyncio.sleep(0)
        assert shown(picker) == colour_of("features.3")
        in_another_thread(lambda: setattr(picker.search, "value", "classifier"))
        await asyncio.sleep(0)
        assert shown(picker) == colour_of("classifier.0")

    asyncio.run(cell())
    assert threads == [threading.current_thread()] * 3


def test_without_a_loop_a_callback_is_called_at_once():
    seen = []
    callback = at_home(seen.append)
    in_another_thread(lambda: callback(1))
    callback(2)
    assert seen == [1, 2]


# -- in a page --------------------------------------------------------------------------------


def test_labels_classes_and_text_for_a_page_without_a_kernel(picker):
    assert (picker.search.description, picker.select.description) == ("Search", "Layer")
    assert "layer-picker" in picker.widget._dom_classes
    bundle = picker._repr_mimebundle_()
    assert bundle["text/plain"] == "<LayerPicker: 5 layers, features.0 shown>" == repr(picker)
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == picker.widget.model_id


def test_script_and_style_are_shipped():
    assert "data-lm-suppress-shortcuts" in base.KeepKeys._esm
    assert "aria-live" in base.KeepKeys._esm
    assert ".layer-picker" in base.KeepKeys._css
