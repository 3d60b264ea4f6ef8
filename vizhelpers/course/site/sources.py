"""The files of the site as Sphinx reads them: notebooks with their stored results, and texts."""

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from vizhelpers._utils.paths import NOTEBOOKS, ROOT
from vizhelpers.course.alt_texts import alt_texts, picture_of
from vizhelpers.course.refresh import WIDGET_VIEW

FIRST, TEACHERS = ROOT / "README.md", NOTEBOOKS / "README.md"
LICENCE = ROOT / "LICENSE"
# Other texts, which the first page or one of these links to.
BESIDE = (
    "CONTRIBUTING.md",
    "vizhelpers/what_works.md",
    "tests/benchmarks/README.md",
    "data/README.md",
    "data/weights/model_card.md",
)
FOLDERS = ("in_depth", "solutions")  # their names, as links, lead to lists of what is in them
LINK = re.compile(r"""(\]\(|\bsrc=")([^)#\s"]+)""")
OUTSIDE = re.compile(r"[a-z]+:|#")
IS_TO_TOUCH = re.compile(r"^<\w+: .* shown>$", re.MULTILINE)  # as a View says what it is
RUN = (
    '<p class="vh-run">You can read this page as it is. To run it, to touch its pictures and to be '
    "told whether you are right: <code>python -m vizhelpers open {}</code></p>"
)
TOUCH = (
    '<p class="vh-run">This picture answers to the mouse and the keyboard where the notebook is '
    "run.</p>"
)


@dataclass
class Sources:
    """The folder that Sphinx reads, and what it is told besides.

    Attributes:
        folder: Where the files lie.
        alt_texts: For each page made of a notebook, what its pictures show, in their order.
        pages: The names of all pages.
    """

    folder: Path
    alt_texts: dict[str, list[str]] = field(default_factory=dict)
    pages: list[str] = field(default_factory=list)

    def add(self, path: str, text: str) -> None:
        """Write the file of one page."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self.pages.append(_page(path))


def reading_order() -> list[Path]:
    """List the lessons; behind the last one of each number comes what goes into depth."""
    told = [*NOTEBOOKS.glob("[0-9]*.ipynb"), *NOTEBOOKS.glob("in_depth/[0-9]*.ipynb")]
    return sorted(told, key=lambda path: (path.name[:2], path.parent != NOTEBOOKS, path.name))


def write_sources(folder: Path) -> Sources:
    """Write what Sphinx makes pages of: the same files as in the course, at the same places.

    Links between them stay as they are. What is linked and is no page, such as a picture or a
    script, is copied beside.

    Args:
        folder: An empty one.
    """
    sources = Sources(folder)
    lessons, solved = reading_order(), sorted(NOTEBOOKS.glob("solutions/*.ipynb"))
    for path in [*lessons, *solved]:
        notebook = nbformat.read(path, as_version=4)
        name = _name(path)
        sources.alt_texts[_page(name)] = alt_texts(notebook)
        sources.add(name, nbformat.writes(as_page(notebook, name)))
        _copy_linked(path, "\n".join(cell.source for cell in notebook.cells), folder)
    for path in (TEACHERS, *(ROOT / name for name in BESIDE)):
        sources.add(_name(path), _text(path, folder))
    licence = LICENCE.read_text(encoding="utf-8")
    sources.add("LICENSE.md", f"# Licence\n\n```text\n{licence}```\n")
    depth = [path for path in lessons if path.parent != NOTEBOOKS]
    sources.add("notebooks/in_depth/index.md", _list("In depth", depth))
    solutions = _contents("", [path.name for path in solved])
    sources.add("notebooks/solutions/index.md", f"# Solutions\n\n{solutions}")
    beside = [_name(TEACHERS), "notebooks/solutions/index.md", *BESIDE, "LICENSE.md"]
    contents = _contents("Lessons", map(_name, lessons))
    contents += _contents("For teachers, and more", beside)
    sources.add("index.md", f"{_text(FIRST, folder)}\n{contents}")
    return sources


def as_page(notebook: NotebookNode, name: str) -> NotebookNode:
    """Change a notebook, in place, from one that is run into one that is read.

    Args:
        notebook: One with stored results.
        name: Its path inside the course, for the sentence that says how to run it.
    """
    title, _, text = notebook.cells[0].source.partition("\n")
    notebook.cells[0].source = f"{title}\n\n{RUN.format(name)}\n\n{text}"
    for cell in notebook.cells:
        if cell.metadata.get("jupyter", {}).get("outputs_hidden"):
            cell.metadata.setdefault("tags", []).append("hide-output")  # a fold stays a fold
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)  # nothing here could show it
        if any(map(_is_to_touch, cell.get("outputs", []))):
            cell.outputs.append(nbformat.v4.new_output("display_data", {"text/html": TOUCH}))
    return notebook


def _is_to_touch(output: NotebookNode) -> bool:
    words = output.get("data", {}).get("text/plain", "")
    return bool(picture_of(output) and IS_TO_TOUCH.search(words))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _page(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _text(path: Path, folder: Path) -> str:
    """A text, with links to what is a page here under another name led there."""
    text = path.read_text(encoding="utf-8")
    _copy_linked(path, text, folder)

    def led(link: re.Match[str]) -> str:
        start, target = link.groups()
        found = ROOT if OUTSIDE.match(target) else (path.parent / target).resolve()
        if found == LICENCE:
            target += ".md"
        elif found == FIRST:
            target = os.path.relpath(ROOT / "index.md", path.parent).replace(os.sep, "/")
        elif found.parent == NOTEBOOKS and found.name in FOLDERS:
            target += "/index.md"
        return start + target

    return LINK.sub(led, text)


def _copy_linked(path: Path, text: str, folder: Path) -> None:
    """Copy the files that a text links to, unless they become pages."""
    for _, target in LINK.findall(text):
        found = (path.parent / target).resolve()
        if OUTSIDE.match(target) or not found.is_file() or not found.is_relative_to(ROOT):
            continue
        if found.suffix not in (".md", ".ipynb") and found != LICENCE:
            copy = folder / found.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, copy)


def _contents(caption: str, pages: Iterable[str]) -> str:
    """A part of the table of contents."""
    options = f":hidden:\n:caption: {caption}\n" if caption else ""
    return "```{toctree}\n" + options + "\n".join(map(_page, pages)) + "\n```\n"


def _list(title: str, paths: Iterable[Path]) -> str:
    """A page of links beside the table of contents."""
    links = "\n".join(f"- [](./{path.name})" for path in paths)
    return f"---\norphan: true\n---\n# {title}\n\n{links}\n"
