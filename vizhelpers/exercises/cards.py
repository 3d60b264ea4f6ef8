"""The cards that `check`, `hint`, `quiz` and `progress` show: HTML and plain text."""

import re
from dataclasses import dataclass
from html import escape

SYMBOLS = {"right": "✓", "wrong": "✗", "open": "…", "hint": "?", "table": "☰"}
# Readable for the colour-blind, on white and on black; the word beside them says the same.
COLOURS = {"right": "0,158,115", "wrong": "213,94,0", "open": "128,128,128"}


@dataclass(frozen=True)
class Card:
    """A short message that a notebook shows when it is the last expression of its cell.

    `bool(card)` is True for a right answer and False for everything else, so that
    `assert check(…)` works.

    Attributes:
        kind: `"right"`, `"wrong"`, `"open"`, `"hint"` or `"table"`.
        title: What the first line says.
        about: The exercise's id, or an empty text.
        lines: The paragraphs below; `code` stands between backticks.
        table: Rows of cells, the first one being the head.
    """

    kind: str
    title: str
    about: str = ""
    lines: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return self.kind == "right"

    def __repr__(self) -> str:
        head = " · ".join(filter(None, (f"{SYMBOLS[self.kind]} {self.title}", self.about)))
        return "\n".join([head, *(f"  {line}" for line in (*self._rows(), *self.lines))])

    def _repr_html_(self) -> str:
        rgb = COLOURS.get(self.kind, "0,114,178")
        about = f' <code style="opacity:.75">{escape(self.about)}</code>' if self.about else ""
        body = "".join(f'<div style="margin-top:.4em">{_html(line)}</div>' for line in self.lines)
        # Half-transparent over the page's own colours: right in a light and in a dark theme.
        return (
            f'<div style="border-left:4px solid rgb({rgb});background:rgba({rgb},.09);'
            f'padding:.6em 1em;border-radius:4px;max-width:52em;line-height:1.45">'
            f'<div><b><span style="color:rgb({rgb})">{SYMBOLS[self.kind]}</span> '
            f"{escape(self.title)}</b>{about}</div>{self._html_table()}{body}</div>"
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
        rows = "".join(f"<tr>{row(cells)}</tr>" for cells in self.table)
        return f'<table style="margin:.4em 0 0;color:inherit;font:inherit">{rows}</table>'


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
