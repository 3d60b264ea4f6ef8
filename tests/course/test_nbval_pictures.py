"""The harness itself: a lesson that changed must fail, each in its own way.

One throwaway notebook holds a cell per way to go wrong, another everything that must pass. Both
are run once, by this project's own pytest settings, in a folder laid out like the project.
"""

import base64
import io
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import nbformat
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image
from support.nbval_pictures import pytest_terminal_summary
from support.picture_difference import compare

from vizhelpers._utils.paths import ROOT
from vizhelpers.course.refresh import compress_picture

# Run in the notebooks and, for the stored side, here.
DISC = """
import io
from PIL import Image, ImageDraw

def disc(x):
    image = Image.new("RGB", (200, 120), "white")
    ImageDraw.Draw(image).ellipse((x, 20, x + 60, 80), fill="red")
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()
"""
here: dict[str, Callable[[int], bytes]] = {}
exec(DISC, here)


def printed(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def shown(**data: str) -> NotebookNode:
    return new_output("display_data", {k.replace("_", "/"): v for k, v in data.items()})


def picture(x: int) -> NotebookNode:
    return shown(image_png=base64.b64encode(here["disc"](x)).decode())


# As it is computed, and, in a file, stored: a PNG there, a JPEG here.
PHOTO = """
import numpy as np
noise = np.random.default_rng(%d).integers(0, 256, (8, 8, 3), np.uint8)
data = io.BytesIO()
Image.fromarray(noise).resize((200, 200), Image.Resampling.BICUBIC).save(data, "PNG")
"""


def photo(seed: int) -> NotebookNode:
    there = dict(here)
    exec(PHOTO % seed, there)
    output = shown(image_png=base64.b64encode(there["data"].getvalue()).decode())
    compress_picture(output)
    assert "image/jpeg" in output.data
    return output


SHOW_PHOTO = f"{PHOTO % 0}\ndisplay({{'image/png': data.getvalue()}}, raw=True)"
SHOW = "display({'image/png': disc(%d)}, raw=True)"
VIEW = "'application/vnd.jupyter.widget-view+json': {'model_id': 'another in each run'}"
SHOW_WIDGET = f"display({{'image/png': disc(%d), {VIEW}}}, raw=True)"
SWALLOW = """
import urllib.request
try:
    urllib.request.urlopen('http://example.com', timeout=2)
except OSError:
    pass
"""

# What is run, what is stored, and what the message must say.
WRONG: dict[str, tuple[str, list[NotebookNode], str]] = {
    "digit changed": ("print(3.14)", [printed("3.15\n")], "Cell outputs differ"),
    "line missing": ("print(1)", [printed("1\n2\n")], "Cell outputs differ"),
    "nothing stored": ("print(1)", [], "Unexpected output fields"),
    "nothing computed": ("pass", [printed("1\n")], "Missing output fields"),
    "warning is new": ("import sys; print(1, file=sys.stderr)", [], "Unexpected output fields"),
    "table changed": (
        "display({'text/html': '<b>2</b>'}, raw=True)",
        [shown(text_html="<b>1</b>")],
        "text/html",
    ),
    "picture replaced": (SHOW % 80, [picture(20)], "picture 0: "),
    "picture of a widget replaced": (SHOW_WIDGET % 80, [picture(20)], "picture 0: "),
    "second picture replaced": (
        f"{SHOW % 20}\n{SHOW % 80}",
        [picture(20), picture(21 + 80)],
        "picture 1: ",
    ),
    "pictures swapped": (f"{SHOW % 20}\n{SHOW % 80}", [picture(80), picture(20)], "picture 1: "),
    "photo replaced": (SHOW_PHOTO, [photo(1)], "picture 0: "),
    "picture missing": ("pass", [picture(20)], "1 pictures stored, 0 computed"),
    "picture is new": (SHOW % 20, [], "0 pictures stored, 1 computed"),
    "picture doubled": (f"{SHOW % 20}\n" * 2, [picture(20)], "1 pictures stored, 2 computed"),
    "text and picture, text changed": (
        f"print(2)\n{SHOW % 20}",
        [printed("1\n"), picture(20)],
        "Cell outputs differ",
    ),
    "error": ("1 / 0", [], "Cell execution caused an exception"),
    "network, error swallowed": (SWALLOW, [], "tried to reach the network"),
    "network in a program it starts": (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SWALLOW!r}]);",
        [],
        "tried to reach the network",
    ),
}
NEVER_RUN: dict[str, tuple[str, list[NotebookNode], str]] = {
    "never run, prints": ("print(1)", [], "never run"),
    "never run, prints nothing": ("x = 1", [], "never run"),
}
RIGHT: dict[str, tuple[str, list[NotebookNode]]] = {
    "text": ("print(3.14)", [printed("3.14\n")]),
    "picture": (SHOW % 20, [picture(20)]),
    "photo": (SHOW_PHOTO, [photo(0)]),
    "semicolon": ("5;", []),
    "table": (
        "display({'text/html': '<b>1</b>'}, raw=True)",
        [shown(text_html="<b>1</b>")],
    ),
    "widget, its text stored": (
        "import ipywidgets\nipywidgets.HTML('a')",
        [new_output("execute_result", {"text/plain": "HTML(value='a')"}, execution_count=1)],
    ),
    "widget, its picture stored": (SHOW_WIDGET % 20, [picture(20)]),
    "this machine may be reached": (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(('localhost', server.getsockname()[1])).close()",
        [],
    ),
    "environment": (
        "import os, vizhelpers\n"
        "print(os.environ['VIZHELPERS_OFFLINE'], os.environ['OMP_NUM_THREADS'],\n"
        "      os.environ['PYTHONHASHSEED'], os.path.exists(os.environ['TORCH_HOME']))",
        [printed("1 1 0 False\n")],
    ),
    "expected error": (
        "1 / 0  # as planned",
        [new_output("error", ename="ZeroDivisionError", evalue="division by zero")],
    ),
}


def notebook(cells: dict[str, tuple]) -> NotebookNode:
    start = new_code_cell(DISC, execution_count=1)
    rest = [
        new_code_cell(
            source,
            outputs=outputs,
            execution_count=None if name in NEVER_RUN else 2,
            metadata={"tags": ["raises-exception"]} if name == "expected error" else {},
        )
        for name, (source, outputs, *_) in cells.items()
    ]
    return new_notebook(cells=[start, *rest])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out like this project, with two notebooks that pytest has been run on."""
    root = tmp_path_factory.mktemp("project")
    (root / "notebooks").mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(ROOT / "tests" / "support", root / "tests" / "support")
    forked = root / "tests" / "support" / "forked_kernels.py"
    unused = '"torch", "torchvision", "timm", "pandas", "scipy.stats", "sklearn"'  # slow to import
    forked.write_text(forked.read_text("utf-8").replace(unused, ""), "utf-8")
    nbformat.write(notebook(WRONG | NEVER_RUN), root / "notebooks" / "wrong.ipynb")
    nbformat.write(notebook(RIGHT), root / "notebooks" / "right.ipynb")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--color=no", "--junitxml=report.xml", "-n1"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    (root / "output.txt").write_text(answer.stdout + answer.stderr, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def report(project: Path) -> dict[tuple[str, int], str]:
    """Map (notebook, code cell) to why it failed; the empty string where it passed."""
    found = {}
    for case in ET.parse(project / "report.xml").getroot().iter("testcase"):
        name = "right" if "right" in case.attrib["classname"] else "wrong"
        text = "".join(node.text or "" for node in case if node.tag in ("failure", "error"))
        found[name, int(case.attrib["name"].split()[-1])] = text
    return found


@pytest.mark.parametrize("name", WRONG | NEVER_RUN)
def test_changed_lesson_fails(name: str, report: dict[tuple[str, int], str]) -> None:
    cells = WRONG | NEVER_RUN
    assert cells[name][2] in report["wrong", 1 + list(cells).index(name)]


@pytest.mark.parametrize("name", RIGHT)
def test_unchanged_lesson_passes(name: str, report: dict[tuple[str, int], str]) -> None:
    assert report["right", 1 + list(RIGHT).index(name)] == ""


def test_differing_pictures_can_be_looked_at(
    project: Path, report: dict[tuple[str, int], str]
) -> None:
    cell = 1 + list(WRONG).index("picture replaced")
    stem = f"nbval-diffs/notebooks-wrong-cell{cell}-0"
    assert f"see {stem}-*.png" in report["wrong", cell]
    assert (project / f"{stem}-stored.png").read_bytes() == here["disc"](20)
    assert (project / f"{stem}-computed.png").read_bytes() == here["disc"](80)
    bad = np.asarray(Image.open(project / f"{stem}-bad.png").convert("L"))
    assert bad.shape == (120, 200)
    assert (bad[50, [30, 130]] == 0).all(), "only one disc covers these"
    assert (bad[50, [10, 190]] == 255).all(), "white in both"


def test_the_end_of_the_run_says_which_lessons_moved(project: Path) -> None:
    *_, lines = (project / "output.txt").read_text(encoding="utf-8").partition(" lessons ==")
    for name, what in {
        "digit changed": "the text",
        "picture missing": "the number of pictures",
        "error": "failed, see above",
        "never run, prints": "failed, see above",
        "picture replaced": "picture 0, see nbval-diffs/notebooks-wrong-cell{}-0-*.png",
    }.items():
        cell = 1 + list(WRONG | NEVER_RUN).index(name)
        place = f"notebooks/wrong.ipynb, code cell {cell}, shown as [{cell + 1}]"
        assert f"\n{place}: {what.format(cell)}\n" in lines
    assert "right.ipynb" not in lines
    assert "\n1 of 2 notebooks moved.\n" in lines


def test_the_end_of_the_run_says_that_none_moved() -> None:
    passed = SimpleNamespace(nodeid="notebooks/a.ipynb::Cell 0", failed=False)
    other = SimpleNamespace(nodeid="tests/test_a.py::test_a", failed=True)
    reporter, lines = Mock(stats={"passed": [passed], "failed": [other]}), []
    reporter.write_line = lines.append
    pytest_terminal_summary(reporter)
    assert lines == ["No lesson moved."]
    reporter = Mock(stats={"failed": [other]})
    pytest_terminal_summary(reporter)
    reporter.section.assert_not_called()


# The comparison of two pictures, without a notebook.


def figure(draw: Callable[[Figure], object], *, dpi: int = 80) -> bytes:
    fig = Figure(figsize=(5, 4), dpi=dpi)
    FigureCanvasAgg(fig)
    draw(fig)
    data = io.BytesIO()
    fig.savefig(data)
    return data.getvalue()


def curve(shift: float = 0, *, markers: int = 0) -> bytes:
    x = np.linspace(0, 6, 200)

    def draw(fig: Figure) -> None:
        ax = fig.subplots()
        ax.plot(x, np.sin(x + shift))
        ax.plot(range(1, markers + 1), [0] * markers, "ks")

    return figure(draw)


def tiles(seed: int) -> bytes:
    values = np.random.default_rng(seed).random((24, 24))
    return figure(lambda fig: fig.subplots().imshow(values, interpolation="nearest"))


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, quality=75, subsampling=0)
    return data.getvalue()


def test_the_same_bytes_are_the_same() -> None:
    assert compare(curve(), curve()).same


def test_antialiasing_does_not_count() -> None:
    # As much as another version of a drawing library moves a line.
    stored, computed = curve(), curve(0.005)
    assert stored != computed
    assert compare(stored, computed).same


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_few_grey_levels_do_not_count(kind: str) -> None:
    # As another CPU's rounding makes them, here on every pixel.
    random = np.random.default_rng(0)
    pixels = random.integers(20, 230, (60, 60, 3))
    noise = random.integers(-8, 9, pixels.shape)
    stored, computed = (encoded(p.astype(np.uint8), kind) for p in (pixels, pixels + noise))
    assert compare(stored, computed).same


@pytest.mark.parametrize(
    "draw",
    [
        lambda: (curve(), curve(0.3)),
        lambda: (curve(markers=3), curve(markers=2)),
        lambda: (tiles(0), tiles(1)),
        lambda: (curve(), tiles(0)),
    ],
    ids=["curve moved", "marker missing", "other tiles", "other picture"],
)
def test_another_picture_of_the_same_size_differs(draw: Callable[[], tuple[bytes, bytes]]) -> None:
    stored, computed = draw()
    assert not compare(stored, computed).same
    assert not compare(computed, stored).same


def test_swapped_colour_channels_differ() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[..., 0] = 200
    assert not compare(encoded(pixels), encoded(pixels[..., ::-1])).same


def test_a_change_of_size_is_named() -> None:
    difference = compare(tiles(0), encoded(np.zeros((100, 90, 3), np.uint8)))
    assert not difference.same
    assert "400 × 320 stored, 90 × 100 computed" in difference.text


def test_transparent_is_white() -> None:
    clear = np.zeros((40, 40, 4), np.uint8)
    assert compare(encoded(clear), encoded(np.full((40, 40, 3), 255, np.uint8))).same
