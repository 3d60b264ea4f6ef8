"""The cards that `check`, `hint`, `quiz`, `predict` and `progress` show: HTML and plain text."""

import re
from dataclasses import dataclass
from html import escape

SYMBOLS = {"right": "✓", "wrong": "✗", "open": "…", "hint": "?", "table": "☰", "prediction": "→"}
# For the colour-blind as well; the word beside them says the same. White on them has a contrast
# above 4.5, and each is told from a white and from a black page.
COLOURS = {"right": "0,122,90", "wrong": "194,65,0", "open": "105,105,105"}
OTHERS = "0,105,170"


@dataclass(frozen=True)
class Card:
    """A short message that a notebook shows when it is the last expression of its cell.

    `bool(card)` is True for a right answer and False for everything else, so that
    `assert check(…)` works.

    Attributes:
        kind: One of `SYMBOLS`.
        title: What the first line says.
        about: The exercise's id, or an empty text.
        question: What is asked, or an empty text.
        choices: Letter and text of each.
        chosen: The letter that was chosen, or an empty text.
        mark: The words beside the chosen one.
        fixed: Whether it is too late to choose another one.
        lines: The paragraphs below; `code` stands between backticks.
        hints: Name and text of each; the page opens one after the other.
        typed: What to type where there is nothing to click.
        table: Rows of cells, the first one being the head.
    """

    kind: str
    title: str
    about: str = ""
    question: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    chosen: str = ""
    mark: str = ""
    fixed: bool = False
    lines: tuple[str, ...] = ()
    hints: tuple[tuple[str, str], ...] = ()
    typed: str = ""
    table: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return self.kind == "right"

    def __repr__(self) -> str:
        head = " · ".join(filter(None, (f"{SYMBOLS[self.kind]} {self.title}", self.about)))
        choices = (
            f"{letter}) {text}" + f"  ← {self.mark}" * (letter == self.chosen)
            for letter, text in self.choices
        )
        below = (*self._rows(), self.question, *choices, *self.lines, self.typed)
        return "\n".join([head, *(f"  {line}" for line in below if line)])

    def _repr_html_(self) -> str:
        return f'<div style="{self.style}">{"".join(self.parts(buttons=False).values())}</div>'

    @property
    def style(self) -> str:
        """The CSS of the card's frame."""
        # Half-transparent over the page's own colours: right in a light and in a dark theme.
        rgb = COLOURS.get(self.kind, OTHERS)
        return (
            f"border-left:4px solid rgb({rgb});background:rgba({rgb},.09);"
            "padding:.6em 1em;margin:2px 0;border-radius:4px;max-width:52em;line-height:1.45"
        )

    def parts(self, *, buttons: bool) -> dict[str, str]:
        """The HTML inside: head, question, choices (as buttons or as text), and what is below."""
        badge = (
            f"background:rgb({COLOURS.get(self.kind, OTHERS)});color:#fff;border-radius:.8em;"
            "padding:0 .5em;font-weight:bold"
        )
        about = f" <code>{escape(self.about)}</code>" if self.about else ""
        head = (
            f'<div><span style="{badge}">{SYMBOLS[self.kind]}</span> '
            f"<b>{escape(self.title)}</b>{about}</div>{self._html_table()}"
        )
        choices = self._html_choices(buttons)
        typed = self.typed if choices and not buttons else ""  # hints are there to be opened
        below = _paragraphs(*map(_html, (*self.lines, typed))) + _nested(self.hints)
        question = _paragraphs(_html(self.question))
        return {"head": head, "question": question, "choices": choices, "below": below}

    def _html_choices(self, buttons: bool) -> str:
        shown = {
            letter: f"{letter}) {_html(text)}"
            + (f" <b>← {escape(self.mark)}</b>" if letter == self.chosen else "")
            for letter, text in self.choices
        }
        if not buttons:
            return _paragraphs(*shown.values())
        fixed = " disabled" if self.fixed else ""
        return "".join(
            f'<button type="button" value="{letter}" '
            f'aria-pressed="{str(letter == self.chosen).lower()}"{fixed}>{text}</button>'
            for letter, text in shown.items()
        )

    def _rows(self) -> list[str]:
        if not self.table:
            return []
        widths = [max(map(len, column)) for column in zip(*self.table, strict=True)]
        return [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in self.table
        ]

    def _html_table(self) -> str:
        def row(cells: tuple[str, ...]) -> str:
            sides = ["left"] + ["right"] * (len(cells) - 1)
            style = "padding:.1em .9em .1em 0;text-align:"
            shown = zip(sides, map(escape, cells), strict=True)
            return "".join(f'<td style="{style}{side}">{cell}</td>' for side, cell in shown)

        if not self.table:
            return ""
        rows = "".join(f'<tr style="background:none">{row(cells)}</tr>' for cells in self.table)
        return f'<table style="margin:.4em 0 0;color:inherit;font:inherit">{rows}</table>'


def _paragraphs(*lines: str) -> str:
    return "".join(f'<div style="margin-top:.4em">{line}</div>' for line in lines if line)


def _nested(hints: tuple[tuple[str, str], ...]) -> str:
    """Each hint to be opened inside the one before."""
    if not hints:
        return ""
    (name, text), *others = hints
    return (
        f'<details style="margin-top:.4em"><summary style="cursor:pointer">{escape(name)}</summary>'
        f"{_paragraphs(_html(text))}{_nested(tuple(others))}</details>"
    )


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
