"""Say in words what a stored picture shows, for those who do not see it."""

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeVar

from nbformat import NotebookNode

Node = TypeVar("Node", bound=ast.AST)
LONGEST = 240
FEW = 3  # words say too little by themselves
SAID = re.compile(r"<(Picture |\w+: )(.+?)(?: shown)?>", re.DOTALL)  # by vizhelpers' own pictures
LABEL = re.compile(r"(?:title|label)s?$|^(?:names|legend|text)$")
CHARTS = {"show_scores", "draw_losses", "answer_bars"}  # they show the names in their first value
WORD = re.compile(r"[^\W\d_]{3,}")
SENTENCE = re.compile(r"(?<=[.?!:)])\s+(?=[\"“(]?[A-Z\d])")
ASIDE = re.compile(r"[-*] |\d+\. |\|")  # begins a list or a table
BRACKETS = re.compile(r"\s*\((?:[^()]|\([^()]*\))*[.?!]\)")  # around whole sentences


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
    writes into them; where they are few, the last sentences above follow. Each begins with its
    section.
    """
    described, heading, above = [], "", ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ +(.+)$", cell.source, re.MULTILINE) or [heading])[-1]
            above = re.sub(r"^#+ .+$", "", cell.source, flags=re.MULTILINE)
        pictures = [output for output in cell.get("outputs", []) if picture_of(output)]
        for number, output in enumerate(pictures, start=1):
            which = f" ({number} of {len(pictures)})" if len(pictures) > 1 else ""
            words = _own_words(output) or _listed(dict.fromkeys(_labels(cell.source)))
            text = _plain(f"{heading}{which}: {words}")
            if sum(bool(WORD.search(word)) for word in words.split()) < FEW:
                text += ". " if words else " "
                text += _last_sentences(above, room=LONGEST - len(text))
            described.append(_short(text.rstrip(" :")))
    return described


def _own_words(output: NotebookNode) -> str:
    found = SAID.fullmatch(output.data.get("text/plain", "").strip())
    if not found or found[1].startswith("PIL"):
        return ""
    return _listed(found[2].split(", ")) if found[1] == "Picture " else found[1] + found[2]


def _listed(words: Iterable[str]) -> str:
    """Words with commas between them; those that come several times running are counted."""
    runs = [(word, len([*same])) for word, same in groupby(words)]
    return ", ".join(word if times == 1 else f"{times} times {word}" for word, times in runs)


def _labels(code: str) -> Iterator[str]:
    """The words that a cell's code gives to titles, labels, legends and the rows of charts."""
    try:
        tree = ast.parse(code)
    except SyntaxError:  # a notebook may hold IPython's own commands
        return
    shown: list[ast.expr] = []
    for call in _all(tree, ast.Call):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        shown += [k.value for k in call.keywords if LABEL.search(k.arg or "")]
        shown += call.args if LABEL.search(name) else call.args[:1] if name in CHARTS else []
    named = {name.id for value in shown for name in _all(value, ast.Name)}
    for given in _all(tree, ast.Assign):  # also of an entry: scores["A"] = ...
        if named & {ast.unparse(target).split("[")[0] for target in given.targets}:
            shown.append(given.value)
    for value in shown:
        yield from _texts(value)


def _all(tree: ast.AST, kind: type[Node]) -> list[Node]:
    return [node for node in ast.walk(tree) if isinstance(node, kind)]


def _texts(value: ast.AST) -> Iterator[str]:
    """The texts inside a value; dots stand for what a text is filled with."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.strip():
        yield value.value.strip()
    elif isinstance(value, ast.JoinedStr):
        parts = [p.value if isinstance(p, ast.Constant) else "…" for p in value.values]
        text = "".join(map(str, parts))
        yield from [text.strip()] if WORD.search(text) else []
    elif isinstance(value, ast.Dict):  # its names, and those of tables inside it
        inside = [each for each in value.values if isinstance(each, ast.Dict)]
        for name in filter(None, [*value.keys, *inside]):
            yield from _texts(name)
    elif not isinstance(value, ast.Subscript):
        for part in ast.iter_child_nodes(value):
            yield from _texts(part)


def _last_sentences(text: str, room: int) -> str:
    """As many sentences as fit, from the end of the last paragraph; the last one at least.

    Questions, lists and what stands in brackets say little about a picture.
    """
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    told = [part for part in paragraphs if not ASIDE.match(part)] or paragraphs or [""]
    sentences = SENTENCE.split(BRACKETS.sub("", _plain(told[-1])))
    *before, last = [each for each in sentences if not each.endswith("?")] or sentences
    for sentence in reversed(before):
        if len(sentence) + 1 + len(last) > room:
            break
        last = f"{sentence} {last}"
    return last


def _plain(markdown: str) -> str:
    text = re.sub(r"<[^>]+>", "", markdown)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`]", "", text).split())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
