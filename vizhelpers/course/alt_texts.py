"""Say in words what a stored picture shows, for those who do not see it."""

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

LONGEST = 240
FEW = 3  # words say too little by themselves
SAID = re.compile(r"<(Picture |\w+: )(.+?)(?: shown)?>", re.DOTALL)  # by vizhelpers' own pictures
LABEL = re.compile(r"(?:title|label)s?$|^(?:names|legend|text)$")


def picture_of(output: NotebookNode) -> str:
    """The media type of the picture that an output holds; empty if it holds none."""
    return next((kind for kind in output.get("data", {}) if kind.startswith("image/")), "")


def give_alt_texts(notebook: NotebookNode) -> None:
    """Store with each picture what it shows, where nbconvert and IPython look for it."""
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if picture_of(output)
    ]
    for output, text in zip(pictures, alt_texts(notebook), strict=True):
        output.metadata.setdefault(picture_of(output), {})["alt"] = text


def alt_texts(notebook: NotebookNode) -> list[str]:
    """Describe each stored picture of a notebook, in their order.

    A picture of vizhelpers says itself what it is of. Of others the words are told that the code
    writes into them; where there are none, what stands above. Each begins with its section.
    """
    described, heading, above = [], "", ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ +(.+)$", cell.source, re.MULTILINE) or [heading])[-1]
            above = re.sub(r"^#+ .+$", "", cell.source, flags=re.MULTILINE)
        pictures = [output for output in cell.get("outputs", []) if picture_of(output)]
        for number, output in enumerate(pictures, start=1):
            words = _own_words(output) or ", ".join(_labels(cell.source))
            if len(words.split()) < FEW:
                words = ". ".join(filter(None, (words, _last_paragraph(above))))
            which = f" ({number} of {len(pictures)})" if len(pictures) > 1 else ""
            described.append(_short(_plain(f"{heading}{which}: {words}")))
    return described


def _own_words(output: NotebookNode) -> str:
    found = SAID.fullmatch(output.data.get("text/plain", "").strip())
    if not found or found[1].startswith("PIL"):
        return ""
    return found[2] if found[1] == "Picture " else found[1] + found[2]


def _labels(code: str) -> Iterator[str]:
    """The words that a cell's code gives to titles, labels and legends."""
    try:
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    except SyntaxError:  # a notebook may hold IPython's own commands
        return
    for call in calls:
        named: list[ast.expr] = [k.value for k in call.keywords if LABEL.search(k.arg or "")]
        if isinstance(call.func, ast.Attribute) and LABEL.search(call.func.attr):
            named += call.args
        for node in [part for value in named for part in ast.walk(value)]:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
                yield node.value.strip()


def _last_paragraph(text: str) -> str:
    paragraphs = [part for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]
    return paragraphs[-1] if paragraphs else ""


def _plain(markdown: str) -> str:
    text = re.sub(r"<[^>]+>", "", markdown)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`]", "", text).split()).removesuffix(":").strip()


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
