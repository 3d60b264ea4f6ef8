"""Save the explorer as one HTML file: a report to read, search and print without Python."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from vizhelpers._utils.paths import written_beside
from vizhelpers._utils.progress_bar import with_progress
from vizhelpers.figures import compressed
from vizhelpers.widgets.explorer.panes import PaneContent, check_pane

if TYPE_CHECKING:
    from vizhelpers.widgets.explorer.explorer import Explorer

LAYERS, PICTURES = 5, 4  # as many are saved if nobody says which
# What a pane depends on; the others depend on both.
WITHOUT_LAYER, WITHOUT_PICTURE = ("saliency",), ("layer", "kernels", "ascent", "weights")
EVERY = "*"
_HERE = Path(__file__).parent
_SCRIPTS = "tree", "tabs", "code_line"
_STYLES = _HERE.parent / "base.css", _HERE / "explorer.css", _HERE / "html_page.css"


class Piece(NamedTuple):
    """One pane of one layer for one picture; `EVERY` where it is the same for all."""

    layer: str
    pane: str
    picture: int | str
    content: PaneContent


def save_html(
    explorer: Explorer,
    path: str | os.PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    images: Sequence[int] | None = None,
    panes: Sequence[str] | None = None,
) -> Path:
    """Save what the explorer shows as one HTML file that needs neither Python nor the network.

    It holds the tree of all layers, and of some of them what each pane shows, with its caption
    and its Python. What is chosen in the explorer, such as a class or a method, is kept.

    Args:
        explorer: The explorer; nothing in it changes.
        path: Where to write, such as ``"report.html"``.
        layers: Names of the layers whose panes are saved; by default the present one and up to
            five others over the depth of the model.
        images: Numbers of the pictures; by default all of up to four, else the present one.
        panes: Names of the panes; all by default.

    Returns:
        The path.

    Raises:
        ValueError: There is no such layer, picture or pane.
        FileNotFoundError: The folder of the path does not exist.
        IsADirectoryError: The path is a folder.

    Example:
        >>> explorer.save_html("report.html", layers=["conv1", "layer4"])  # doctest: +SKIP
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder; name a file in it, such as report.html.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder '{path.parent}' to write {path.name} into.")
    chosen = _chosen(explorer, layers, images, panes)
    jobs = list(_jobs(*chosen))
    pieces = [_piece(explorer, *job) for job in with_progress(jobs, path.name)]
    page = _page(explorer, chosen[1], pieces)
    with written_beside(path) as draft:
        draft.write_text(page, encoding="utf-8")
    return path


# -- what is saved ------------------------------------------------------------------------------


def _chosen(
    explorer: Explorer,
    layers: Sequence[str] | None,
    images: Sequence[int] | None,
    panes: Sequence[str] | None,
) -> tuple[list[str], list[int], list[str]]:
    """Layers and panes in their order, and pictures; what there is not is refused."""
    if layers is None:
        layers = [*some_layers(explorer), explorer.layer]
    if images is None:
        count = len(explorer.names)
        images = range(count) if count <= PICTURES else [explorer.index]
    named = {explorer._known_layer(layer) for layer in layers}
    wanted = {check_pane(pane) for pane in (explorer.panes if panes is None else panes)}
    return (
        [name for name in explorer.layers if name in named],
        [explorer._known_image(image) for image in images],
        [pane for pane in explorer.panes if pane in wanted],
    )


def some_layers(explorer: Explorer) -> list[str]:
    """Choose up to five layers over the depth of a model: its stages, or its convolutions.

    They are taken from the first level of the tree on which at least four layers have maps and
    weights that mix channels.
    """
    levels: dict[int, list[str]] = {}
    for row in explorer.rows:
        weights = explorer.subject.layers[row.name].parameters()
        if row.name and any(w.ndim > 1 for w in weights) and not explorer.why_not(row.name, "maps"):
            levels.setdefault(row.level, []).append(row.name)
    if not levels:
        return []
    best = next((names for names in levels.values() if len(names) >= 4), None)
    names = best or max(levels.values(), key=len)
    count = min(LAYERS, len(names))
    return [names[round(k * (len(names) - 1) / max(count - 1, 1))] for k in range(count)]


def _jobs(
    layers: Sequence[str], images: Sequence[int], panes: Sequence[str]
) -> Iterator[tuple[str, str, int | str]]:
    """Which layer, pane and picture: each of what is the same for several only once."""
    for layer in [*layers, EVERY]:
        for pane in panes:
            if (layer == EVERY) == (pane in WITHOUT_LAYER):
                for image in [EVERY] if pane in WITHOUT_PICTURE else images:
                    yield layer, pane, image


def _piece(explorer: Explorer, layer: str, pane: str, image: int | str) -> Piece:
    """Make what a pane shows; of what fails, the page says so and the others are there."""
    here = explorer.layer if layer == EVERY else layer
    index = explorer.index if isinstance(image, str) else image
    same = here == explorer.layer or pane in ("cam", "saliency")  # a channel is of one layer
    choices = explorer._choices[pane] if same else {}
    try:
        content = explorer.pane_content(here, pane, index, **choices)
    except Exception as error:  # of a library, or of the model
        content = PaneContent(refusal=f"It could not be drawn: {type(error).__name__}: {error}")
    return Piece(layer, pane, image, content)


# -- the page -----------------------------------------------------------------------------------


def _page(explorer: Explorer, images: Sequence[int], pieces: Sequence[Piece]) -> str:
    name = type(explorer.model).__name__
    whole = explorer.rows[0]
    layers = list(dict.fromkeys(piece.layer for piece in pieces if piece.layer != EVERY))
    facts = f"{whole.parameters:,} parameters, {whole.mult_adds:,} mult-adds for one picture."
    data = {
        "rows": [vars(row) for row in explorer.rows],
        "layers": layers,
        "layer": explorer.layer if explorer.layer in layers else (layers or [""])[0],
        "pane": explorer.pane,
        "picture": str(explorer.index if explorer.index in images else (list(images) or [0])[0]),
        "panes": [
            {"key": key, "title": title}
            for key, title in explorer.panes.items()
            if any(piece.pane == key for piece in pieces)
        ],
        "pictures": [
            {**item, "png": _base64(item["png"])}
            for item in (explorer.thumbnails.items[k] for k in images)
        ],
    }
    scripts = {name: _base64((_HERE / f"{name}.js").read_bytes()) for name in _SCRIPTS}
    styles = "\n".join(path.read_text(encoding="utf-8") for path in _STYLES)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(name)}: what it sees, layer by layer</title>
<style>
{styles}
</style>
</head>
<body>
<main class="vh-view vh-explorer">
<header>
<h1>{escape(name)}</h1>
<p>{escape(" ".join([facts, *explorer.notes]))}</p>
</header>
<div class="vh-columns">
<nav id="tree" aria-label="Layers"></nav>
<div class="vh-panes">
<div id="pictures"></div>
{_answers(explorer, images)}
<div id="tabs"></div>
<p id="absent" hidden>
No pictures of <code id="absent-layer"></code> were saved. There are those of:
<span id="saved"></span>
</p>
{"".join(_article(explorer, piece) for piece in pieces)}
</div>
</div>
</main>
<script type="application/json" id="data">{_json(data)}</script>
<script type="application/json" id="scripts">{_json(scripts)}</script>
<script type="module">
{(_HERE / "html_page.js").read_text(encoding="utf-8")}
</script>
</body>
</html>
"""


def _answers(explorer: Explorer, images: Sequence[int]) -> str:
    """What the model says to each picture; the pictures themselves are for paper."""
    answers = []
    for k in images:
        says = f"<b>{escape(explorer.names[k])}</b>: {escape(explorer.subject.answer(k))}"
        small = _image(explorer.thumbnails.items[k]["png"], explorer.names[k])
        answers.append(f'<p class="answer" data-picture="{k}">{small}<span>{says}</span></p>\n')
    return "".join(answers)


def _article(explorer: Explorer, piece: Piece) -> str:
    """A pane of a layer: heading, caption, pictures and Python, or why there are none."""
    layer, pane, picture, content = piece
    where = "" if layer == EVERY else f"<code>{escape(layer or 'the whole model')}</code>, "
    of = "" if picture == EVERY else f", {escape(explorer.names[int(picture)])}"
    title = explorer.panes[pane]
    if content.refusal:
        inside = f'<p class="vh-refusal">{escape(content.refusal)}</p>'
    else:
        pngs = [*content.beside, content.png]
        images = "".join(_image(png, f"{title}: {content.text}") for png in pngs if png)
        code = f'<div class="code"><pre><code>{escape(content.code)}</code></pre></div>'
        inside = f'<p>{escape(content.text)}</p>\n<div class="images">{images}</div>\n{code}'
    return f"""<article data-layer="{escape(layer)}" data-pane="{pane}" data-picture="{picture}">
<h2>{where}{escape(title)}{of}</h2>
{inside}
</article>
"""


def _image(png: bytes, words: str) -> str:
    width, height = Image.open(io.BytesIO(png)).size
    mime, content = compressed(png)
    return (
        f'<span class="vh-frame"><img src="data:{mime};base64,{_base64(content)}" '
        f'width="{width}" height="{height}" alt="{escape(words)}"></span>'
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _json(data: Any) -> str:
    """JSON that may stand inside a script: no name in it can end the script."""
    return json.dumps(data).replace("<", "\\u003c")
