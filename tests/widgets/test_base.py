"""What all widgets share, without a browser: what is changed from Python calls back at once."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from html import unescape
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image
from torch import Tensor, nn

from vizhelpers.widgets import base
from vizhelpers.widgets.activation_picker import ascent_picker
from vizhelpers.widgets.base import View
from vizhelpers.widgets.layer_picker import layer_picker
from vizhelpers.widgets.unit_view import linked_view

EVIL = '<img src=x onerror="alert(1)">'


class Net(nn.Module):
    """Two layers, one of a dangerous name; notes in which threads it runs; can be broken."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.add_module("one", nn.Conv2d(3, 5, 3, padding=1))
        self.add_module(EVIL, nn.Conv2d(3, 5, 3, padding=1))
        self.threads: list[threading.Thread] = []
        self.broken = False

    def forward(self, images: Tensor) -> Tensor:
        self.threads.append(threading.current_thread())
        if self.broken:
            raise RuntimeError("no <map> here")
        return getattr(self, EVIL)(self.one(images)[:, :3])


def pick_layers(net: Net) -> View:
    def draw(name: str) -> tuple[Image.Image, str]:
        net(torch.zeros(1, 3, 4, 4))
        return Image.new("RGB", (4, 4), (len(name), 0, 0)), name

    return layer_picker(["one", EVIL], draw, label="Thing")


def link(net: Net) -> View:
    def maps(name: str) -> Tensor:
        return net(torch.ones(1, 3, 4, 4))[0].detach() + len(name)

    return linked_view(torch.rand(3, 8, 8), maps, layers=["one", EVIL])


def ascend(net: Net) -> View:
    return ascent_picker(net, ["one", EVIL], steps=2, shape=(3, 8, 8))


# How it is made, and the list of layers in it.
WIDGETS: list[tuple[Callable[[Net], Any], str]] = [
    (pick_layers, "select"),
    (link, "layers"),
    (ascend, "select"),
]
every_widget = pytest.mark.parametrize(("make", "box"), WIDGETS)


def texts_in(widget: ipywidgets.Widget) -> list[str]:
    """Every piece of HTML in a widget and in what it holds."""
    own = [widget.value] if isinstance(widget, ipywidgets.HTML) else []
    return own + [html for child in getattr(widget, "children", ()) for html in texts_in(child)]


def in_another_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


@every_widget
def test_a_page_without_a_kernel_has_the_picture(make: Callable[[Net], Any], box: str) -> None:
    view, same = make(Net()), make(Net())
    bundle = view._repr_mimebundle_()
    assert bundle["image/png"] == view.picture == same.picture
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert bundle["text/plain"] == repr(view) == f"<{type(view).__name__}: {view.shown} shown>"
    shown = bundle["application/vnd.jupyter.widget-view+json"]
    assert shown["model_id"] == view.widget.model_id
    getattr(view, box).value = EVIL
    assert view._repr_mimebundle_()["image/png"] == view.picture != same.picture


@every_widget
def test_names_and_words_are_escaped(make: Callable[[Net], Any], box: str) -> None:
    view = make(Net())
    getattr(view, box).value = EVIL
    assert EVIL in view.shown
    assert EVIL in view.image.alt
    assert EVIL in unescape(view.status.value)
    assert not [html for html in texts_in(view.widget) if "<img" in html]


def test_what_is_picked_is_escaped() -> None:
    picker = layer_picker(["a"], lambda name: torch.zeros(3, 2, 2), label=f"Thing{EVIL}")
    picker.search.value = EVIL
    htmls = texts_in(picker.widget)
    assert len(htmls) == sum("&lt;img" in html for html in htmls) == 2
    assert not [html for html in htmls if "<img" in html]


@every_widget
def test_an_error_is_said_and_the_picture_stays(make: Callable[[Net], Any], box: str) -> None:
    net = Net()
    view = make(net)
    before = view.picture, view.shown
    net.broken = True
    getattr(view, box).value = EVIL
    assert isinstance(view.last_error, RuntimeError)
    assert EVIL in view.text
    assert "could not be drawn. RuntimeError: no <map> here" in view.text
    assert "<map>" not in view.status.value
    assert f"(The picture is still that of {before[1]}.)" in view.text
    assert (view.picture, view.shown, view.image.stale) == (*before, True)
    net.broken = False
    getattr(view, box).value = "one"
    assert (view.last_error, view.shown, view.image.stale) == (None, before[1], False)
    assert "could not" not in view.text


@every_widget
def test_all_is_drawn_in_the_thread_of_the_cell(make: Callable[[Net], Any], box: str) -> None:
    """As in JupyterLab, where what is clicked may come in another thread."""
    net = Net()

    async def cell() -> None:
        view = make(net)
        before = view.shown
        in_another_thread(lambda: setattr(getattr(view, box), "value", EVIL))
        assert view.shown == before, "its turn comes after the cell"
        await asyncio.sleep(0)
        assert EVIL in view.shown

    asyncio.run(cell())
    assert len(net.threads) >= 2
    assert set(net.threads) == {threading.current_thread()}


class Shell:
    """What a view asks of IPython: which cell is run, and to be told of the next ones."""

    def __init__(self) -> None:
        self.watching: list[Callable[[Any], None]] = []
        self.events = self

    def get_parent(self) -> dict[str, Any]:
        return {"metadata": {"cellId": "one"}}

    def register(self, event: str, callback: Callable[[Any], None]) -> None:
        assert event == "pre_run_cell"
        self.watching.append(callback)

    def unregister(self, event: str, callback: Callable[[Any], None]) -> None:
        assert event == "pre_run_cell"
        self.watching.remove(callback)  # IPython, too, refuses what is not there

    def run(self, cell: str | None) -> None:
        for callback in self.watching[:]:
            callback(SimpleNamespace(cell_id=cell))


@every_widget
def test_running_the_cell_again_lets_go_of_everything(
    make: Callable[[Net], Any], box: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell, widgets = Shell(), set(_instances)
    monkeypatch.setattr(base, "get_ipython", lambda: shell)
    net = Net()
    out = make(net)  # IPython keeps it, in ``Out``
    model, image = weakref.ref(net), weakref.ref(out.image)
    del net
    shell.run("another")
    shell.run(None)
    assert out.picture
    shell.run("one")
    gc.collect()
    assert (model(), image()) == (None, None)
    assert set(_instances) == widgets
    assert shell.watching == []
    assert repr(out) == f"<{type(out).__name__}: closed>"
    out.close()


@every_widget
def test_what_was_clicked_before_it_closed_is_forgotten(
    make: Callable[[Net], Any], box: str
) -> None:
    problems = []

    async def cell() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: problems.append(what))
        view = make(Net())
        in_another_thread(lambda: setattr(getattr(view, box), "value", EVIL))
        view.close()
        await asyncio.sleep(0)

    asyncio.run(cell())
    assert problems == []
