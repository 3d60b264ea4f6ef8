"""Screenshots in a real browser: TensorBoard's tabs, from lesson 06's own runs, and the explorer.

Run: ``python tests/support/screenshots.py`` makes all of them again, or those that are named, such
as ``images`` or ``explorer``. It needs a Chromium.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from PIL import Image, ImageDraw
from playwright.sync_api import FrameLocator, Locator, Page, Route
from support.lab import run, running_browser, running_lab

from vizhelpers._utils.paths import NOTEBOOKS, written_beside
from vizhelpers.course.refresh import CELL_SECONDS, lesson_environment
from vizhelpers.figures import letters
from vizhelpers.tensorboard.server import Board, start_tensorboard

PICTURES = NOTEBOOKS / "pictures"
LESSON = "06_tensorboard.ipynb", "in_depth/06_tensorboard_in_depth.ipynb"
WIDE, HIGH, MARGIN = 940, 600, 220  # screen pixels of the page, and of the strip of labels
MARK, INK, PAPER = (20, 60, 160), (30, 30, 30), (255, 255, 255)
COLOURS, MOST_BYTES = (128, 64, 32), 80_000
SECONDS = 60
EXPLORER, EXPLORER_LESSON = "explorer", "08_your_own_model.ipynb"


class Mark(NamedTuple):
    """A number: what it says, what it is about, and where on it (shares of width and height)."""

    words: str
    target: str
    place: tuple[float, float] = (0.9, 0.5)


class Shot(NamedTuple):
    """One picture: which tab, how to get the page there, and what is marked."""

    name: str
    tab: str
    prepare: Callable[[Page], Any]
    marks: tuple[Mark, ...]
    notebook: int = 0  # of LESSON: whose runs
    query: str = ""
    high: int = HIGH


def make_screenshots(only: Sequence[str] | None = None, folder: Path = PICTURES) -> list[Path]:
    """Run lesson 06, open its runs in TensorBoard, and write a marked picture of each tab.

    Args:
        only: Names of pictures, such as ``"images"``; by default all.
        folder: Where the files ``tensorboard_….png`` go.

    Returns:
        The files that were written.

    Raises:
        ValueError: there is no picture of that name.
        FileNotFoundError: no Chromium was found.
        RuntimeError: a picture is larger than what is allowed.
    """
    unknown = set(only or ()) - {shot.name for shot in SHOTS}
    if unknown:
        names = ", ".join(shot.name for shot in SHOTS)
        raise ValueError(f"no picture is called {', '.join(sorted(unknown))}; there are {names}.")
    wanted = [shot for shot in SHOTS if not only or shot.name in only]
    written = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        for number in sorted({shot.notebook for shot in wanted}):
            runs = Path(scratch, str(number))
            _keep_runs(NOTEBOOKS / LESSON[number], runs)
            shots = [shot for shot in wanted if shot.notebook == number]
            written += _photograph(shots, runs, folder)
    return written


def _keep_runs(notebook: Path, runs: Path) -> None:
    """Run a notebook, and copy the folder ``RUNS`` that it logged to."""
    cells = nbformat.read(notebook, as_version=4)
    copy = f"import shutil; shutil.copytree(RUNS, {str(runs)!r})"
    cells.cells = [*filter(_is_wanted, cells.cells), nbformat.v4.new_code_cell(copy)]
    with tempfile.TemporaryDirectory() as scratch:
        manager = AsyncKernelManager(
            kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager()
        )
        place = {"metadata": {"path": str(notebook.parent)}}
        client = NotebookClient(cells, km=manager, timeout=CELL_SECONDS, resources=place)
        client.execute(env=lesson_environment(Path(scratch)))


def _is_wanted(cell: NotebookNode) -> bool:
    """Exercises and what comes after them log nothing that is photographed."""
    return cell.cell_type == "code" and not cell.source.startswith("answer")


def _photograph(shots: Sequence[Shot], runs: Path, folder: Path) -> list[Path]:
    written = []
    with start_tensorboard(runs) as board, running_browser() as browser:
        for shot in shots:
            page = browser.new_page(viewport={"width": WIDE, "height": shot.high})
            page.set_default_timeout(SECONDS * 1000)
            page.route("**/data/environment*", _without_a_path)
            path = folder / f"tensorboard_{shot.name}.png"
            _save(_marked(_opened(page, board, shot), shot), path)
            page.close()
            written.append(path)
    return written


def _without_a_path(route: Route) -> None:
    """Let the page say that it shows "runs", not in which folder of this machine they are."""
    answer = route.fetch()
    route.fulfill(response=answer, json=answer.json() | {"data_location": "runs"})


def _opened(page: Page, board: Board, shot: Shot) -> Page:
    page.goto(f"{board.url}{shot.query}#{shot.tab}")
    shot.prepare(page)
    page.wait_for_timeout(1500)  # charts come without any sign of it
    return page


def _marked(page: Page, shot: Shot) -> Image.Image:
    """The page with numbers on it, and at its right a strip that says what each of them is."""
    file = tempfile.SpooledTemporaryFile()  # noqa: SIM115  (in memory)
    file.write(page.screenshot())
    file.seek(0)
    picture = Image.new("RGB", (WIDE + MARGIN, shot.high), PAPER)
    picture.paste(Image.open(file).convert("RGB"))
    draw = ImageDraw.Draw(picture)
    draw.line([(WIDE, 0), (WIDE, shot.high)], fill=(190, 190, 190))
    aims = sorted(((_point(page, mark), mark.words) for mark in shot.marks), key=_height)
    below = 0.0
    for number, (place, words) in enumerate(aims, start=1):
        half = 10 * len(words.splitlines())  # of the label's height
        middle = min(max(place[1], below + half), shot.high - half)
        below = middle + half + 12
        _disc(draw, place, number)
        _disc(draw, (WIDE + 22, middle), number)
        draw.multiline_text((WIDE + 42, middle), words, INK, letters(11), anchor="lm", spacing=3)
    return picture


def _height(aim: tuple[tuple[float, float], str]) -> float:
    return aim[0][1]


def _point(page: Page, mark: Mark) -> tuple[float, float]:
    """Where on the screen a mark points to; in the projector, inside its frames."""
    found = _locator(page, mark.target).first
    box = found.bounding_box()
    if box is None:
        raise RuntimeError(f"nothing on the page is {mark.target!r} for {mark.words!r}.")
    across, down = mark.place
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def _locator(page: Page, target: str) -> Locator:
    *frames, inside = target.split(" >>> ")
    where: Page | FrameLocator = page
    for frame in frames:
        where = where.frame_locator(frame)
    return where.locator(inside)


def _disc(draw: ImageDraw.ImageDraw, place: tuple[float, float], number: int) -> None:
    """A number on a disc, edged with white, so that it is seen on any ground."""
    draw.circle(place, 13, fill=PAPER)
    draw.circle(place, 11, fill=MARK)
    draw.text(place, str(number), PAPER, letters(11), anchor="mm")


def _save(picture: Image.Image, path: Path) -> None:
    """As a PNG with a palette, the largest that is small enough."""
    for colours in COLOURS:
        few = picture.quantize(colours, dither=Image.Dither.NONE)
        with written_beside(path) as beside:
            few.save(beside, format="png", optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
    raise RuntimeError(f"{path.name} has {path.stat().st_size} bytes, more than {MOST_BYTES}.")


def photograph_explorer(folder: Path = PICTURES) -> Path:
    """Run the cell of lesson 08 that opens the explorer, in JupyterLab, and write its picture."""
    cells = nbformat.read(NOTEBOOKS / EXPLORER_LESSON, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.id == "explore-code")
    opened = nbformat.v4.new_code_cell(f"import vizhelpers as vh\n{code}")
    path = folder / f"{EXPLORER}.jpg"
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_browser() as browser,
        running_lab(Path(scratch)) as lab,
    ):
        page = browser.new_page(viewport={"width": 1700, "height": 1200})
        page.set_default_timeout(SECONDS * 1000)
        lab.open(page, [opened])
        run(page, 0)
        page.wait_for_timeout(2000)  # its pictures come one by one
        page.locator(".vh-explorer").first.screenshot(path=path, type="jpeg", quality=85)
    return path


# -- what each picture shows ------------------------------------------------------------------

RUNS_FILTER, TAG_FILTER = "tf-runs-selector input", "tf-tag-filterer input"
INSIDE = "iframe >>> iframe >>> "  # one frame for the plugin, and in it the projector's own


def _filter(runs: str, tags: str, card: str) -> Callable[[Page], None]:
    """Show some runs and tags only, on a page of the older kind, and wait for a card."""

    def prepare(page: Page) -> None:
        page.locator(RUNS_FILTER).first.fill(runs)
        page.locator(TAG_FILTER).first.fill(tags)
        page.locator(card).first.wait_for()

    return prepare


def _open_graph(page: Page) -> None:
    page.locator("[data-name='Sequential'] rect").first.dblclick()
    page.locator("[data-name='Sequential/Linear[fc1]']").first.wait_for()
    page.wait_for_timeout(1500)
    page.get_by_text("Fit to screen").click()
    page.evaluate("window.getSelection().removeAllRanges()")  # the double click marked a word


def _colour_and_spread(page: Page) -> None:
    """Colour the points by label, and let T-SNE run for some time."""
    inside = page.frame_locator("iframe").frame_locator("iframe")
    inside.locator("#total-variance", has_text="described").wait_for()
    inside.locator("vz-projector-data-panel paper-dropdown-menu", has_text="Color by").click()
    inside.locator("paper-item:visible", has_text="label").last.click()
    inside.locator(
        "vz-projector-projections-panel .ink-tab", has_text=re.compile("t-sne", re.I)
    ).first.click()
    page.wait_for_timeout(25_000)
    inside.locator(".run-tsne").first.click()


def _wait_for(card: str) -> Callable[[Page], None]:
    return lambda page: page.locator(card).first.wait_for()


SHOTS: tuple[Shot, ...] = (
    Shot(
        "scalars",
        "timeseries",
        _wait_for("scalar-card line-chart"),
        (
            Mark("the tabs;\nmore behind ›", "plugin-selector .mat-mdc-tab >> nth=1", (0.5, 0.9)),
            Mark("load what is new", "app-header-reload button", (0.5, 1.1)),
            Mark("show some tags only", "metrics-tag-filter input", (0.5, 0.7)),
            Mark(
                "the runs: folders\nwith an event file",
                "tb-data-table-content-row >> nth=1",
                (0.65, 0.5),
            ),
            Mark(
                "the tag: one chart\nfor all its runs", "scalar-card tb-truncated-path", (1.3, 0.5)
            ),
            Mark("pale: as logged\nstrong: smoothed", "scalar-card line-chart", (0.7, 0.5)),
            Mark("smoothing:\nset it to 0", "text=/^\\s*Smoothing\\s*$/", (0.5, 2.2)),
        ),
        query="?tagFilter=loss/epoch&runFilter=%5Eten/",
        high=660,
    ),
    Shot(
        "images",
        "images",
        _filter("ten/train", "maps|kernels", "tf-image-loader img"),
        (
            Mark("brightness,\ncontrast", "text=Brightness adjustment", (0.8, 0.5)),
            Mark(
                "the tag, and the step\nthat is shown",
                'tf-image-loader >> text="kernels"',
                (0.3, 0.9),
            ),
            Mark("move through\nthe steps", "tf-image-loader paper-slider", (0.7, 0.5)),
            Mark("the run", "tf-image-loader >> text=ten/train >> nth=1", (1.4, 0.5)),
            Mark("choose the runs", RUNS_FILTER, (0.6, 0.5)),
        ),
    ),
    Shot(
        "histograms",
        "histograms",
        _filter("B/train", "weights/(fc1|last)", "tf-histogram-loader path.outline"),
        (
            Mark("the tag", "tf-histogram-loader tf-card-heading", (0.3, 0.3)),
            Mark(
                "one ridge for each\nstep, the last in front", "tf-histogram-loader svg", (0.5, 0.5)
            ),
            Mark("the step", "tf-histogram-loader .axis.y .tick >> nth=1", (0.5, 0.5)),
            Mark("the values", "tf-histogram-loader .axis.x .tick >> nth=6", (0.5, 2.6)),
        ),
    ),
    Shot(
        "distributions",
        "distributions",
        _filter("B/train", "weights/(fc1|last)", "tf-distribution-loader path.line"),
        (
            Mark("the tag", "tf-distribution-loader tf-card-heading", (0.3, 0.3)),
            Mark(
                "a band: between these\nlines lie 38, 68, 87 or\n100 of 100 values",
                "tf-distribution-loader svg.main, tf-distribution-loader svg",
                (0.8, 0.35),
            ),
            Mark("the values", "tf-distribution-loader .y-axis .tick-label >> nth=1", (0.9, 0.5)),
            Mark("the step", "tf-distribution-loader .x-axis .tick-label >> nth=6", (0.5, 0.5)),
        ),
    ),
    Shot(
        "graphs",
        "graphs",
        _open_graph,
        (
            Mark("choose the run", "text=Upload file", (2.0, 2.3)),
            Mark(
                "a layer: a double\nclick opens it",
                "[data-name='Sequential/Linear[fc1]'] rect",
                (1.4, 0.5),
            ),
            Mark("the shape of\nwhat goes in", "text=1×3×32×32 >> nth=-1", (-0.3, 0.5)),
            Mark("data goes upwards,\nfrom here", "[data-name^='input'] rect", (1.4, 0.5)),
        ),
    ),
    Shot(
        "projector",
        "projector",
        _colour_and_spread,
        (
            Mark(
                "colour by: label",
                INSIDE + "vz-projector-data-panel paper-dropdown-menu >> nth=2",
                (0.8, 0.7),
            ),
            Mark(
                "PCA, or T-SNE",
                INSIDE + "vz-projector-projections-panel .ink-tab >> nth=1",
                (0.5, 0.95),
            ),
            Mark(
                "drag: the cloud turns;\nclick: the neighbours\nof a picture",
                INSIDE + "#scatter canvas, canvas",
                (0.6, 0.5),
            ),
            Mark("search a label", INSIDE + "vz-projector-inspector-panel input", (0.5, 0.5)),
        ),
        high=680,
    ),
    Shot(
        "pr_curves",
        "pr_curves",
        _wait_for("tf-pr-curve-card path.line"),
        (
            Mark("precision", "tf-pr-curve-card .y-axis .tick-label >> nth=-2", (0.9, 0.5)),
            Mark("recall", "tf-pr-curve-card .x-axis .tick-label >> nth=-2", (0.5, 0.5)),
            Mark("one point for\neach threshold", "tf-pr-curve-card svg", (0.6, 0.3)),
        ),
        notebook=1,
    ),
    Shot(
        "hparams",
        "hparams",
        _wait_for("tf-hparams-table-view vaadin-grid-cell-content"),
        (
            Mark("the settings", "tf-hparams-table-view >> text=batch", (1.0, 0.5)),
            Mark("the result", "tf-hparams-table-view >> text=hparam/accuracy", (1.0, 0.5)),
            Mark("a row for each run", "tf-hparams-table-view >> text=sweep >> nth=1", (1.0, 0.5)),
            Mark("lines from settings\nto results", "text=/parallel coord/i", (0.9, 0.5)),
        ),
        notebook=1,
    ),
)


if __name__ == "__main__":
    named = set(sys.argv[1:])
    if not named or EXPLORER in named:
        print(photograph_explorer())
    if named != {EXPLORER}:
        for file in make_screenshots(sorted(named - {EXPLORER})):
            print(file)
