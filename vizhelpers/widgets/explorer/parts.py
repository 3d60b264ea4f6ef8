"""Parts of the explorer's page: tree of layers, tabs, a line of code to copy."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

_HERE = Path(__file__).parent


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


class LayerTree(anywidget.AnyWidget):  # type: ignore[misc]
    """A tree to search and to choose from, by mouse and keyboard, with two bars in each row."""

    _esm = _text("tree.js")
    _css = _text("explorer.css")
    rows = traitlets.List().tag(sync=True)  # a dictionary for each `Row`, in their order
    chosen = traitlets.Unicode().tag(sync=True)
    refused = traitlets.Dict().tag(sync=True)  # why the present pane does not apply, by name
    label = traitlets.Unicode("Layers").tag(sync=True)


class Tabs(anywidget.AnyWidget):  # type: ignore[misc]
    """Tabs, or pictures to choose one of, by mouse and keyboard."""

    _esm = _text("tabs.js")
    items = traitlets.List().tag(sync=True)  # each {key, title} and, for pictures, their png
    chosen = traitlets.Unicode().tag(sync=True)
    refused = traitlets.Dict().tag(sync=True)  # why one does not apply, by key
    label = traitlets.Unicode().tag(sync=True)


class CodeLine(anywidget.AnyWidget):  # type: ignore[misc]
    """Python to read, and a button that copies it."""

    _esm = _text("code_line.js")
    code = traitlets.Unicode().tag(sync=True)
