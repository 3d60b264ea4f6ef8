"""``python -m vizhelpers links URL``: open each lesson in a browser, with nothing installed."""

import re
from pathlib import Path
from urllib.parse import quote

import nbformat

from vizhelpers._utils.paths import NOTEBOOKS, ROOT, written_beside

ADDRESS = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
BEGIN = "**In a browser:**"  # by this, the line is found again
WIDGETS = "from google.colab import output; output.enable_custom_widget_manager()"
LINE = re.compile(rf"\n*^{re.escape(BEGIN)}.*$", re.MULTILINE)


def link_lessons(url: str, branch: str = "main") -> list[Path]:
    """Put links to Binder and Colab into the head of each lesson.

    Doing it again with another address changes the links; an empty address takes them out.

    Args:
        url: The repository's address on GitHub, ``https://github.com/OWNER/NAME``.
        branch: The branch that they open.

    Returns:
        The notebooks that have changed.

    Raises:
        ValueError: It is no address of a repository on GitHub.
    """
    found = ADDRESS.fullmatch(url)
    if url and not found:
        raise ValueError(
            f"{url!r} is no address of a repository on GitHub, the only place from which Colab "
            "opens notebooks. Expected: https://github.com/OWNER/NAME"
        )
    changed = []
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        head = LINE.sub("", notebook.cells[0].source)
        if found:
            title, _, rest = head.partition("\n")
            name = path.relative_to(ROOT).as_posix()
            head = f"{title}\n\n{line(found[1], found[2], branch, name)}\n{rest}"
        if head != notebook.cells[0].source:
            notebook.cells[0].source = head
            text = nbformat.writes(notebook).rstrip("\n") + "\n"
            with written_beside(path) as draft:
                draft.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


def line(owner: str, name: str, branch: str, notebook: str) -> str:
    """The links of one notebook, and what to run first."""
    place = f"{owner}/{name}"
    binder = f"https://mybinder.org/v2/gh/{place}/{quote(branch, safe='')}"
    binder += f"?labpath={quote(notebook, safe='')}"
    colab = f"https://colab.research.google.com/github/{place}/blob/{branch}/{notebook}"
    clone = f"!git clone --depth 1 -b {branch} https://github.com/{place} course"
    install = "pip install -q -r course/requirements.txt -e course"
    return (
        f"{BEGIN} [Binder]({binder}) needs some minutes to start. [Colab]({colab}) wants a first "
        f"cell with `{clone} && {install}`, a restart when it asks for one, and then a cell with "
        f"`%cd course/notebooks` and, in its next line, `{WIDGETS}`."
    )
