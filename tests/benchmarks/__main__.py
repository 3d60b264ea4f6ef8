"""Runs all benchmarks and prints one table.

Run: ``python tests/benchmarks``. Takes about a minute. Nothing fails here.

A benchmark is a file ``bench_….py`` beside this one with a function ``rows()``, which yields
what, against what, the goal, and what was measured.
"""

import sys
from importlib import import_module
from pathlib import Path

FILES = sorted(Path(__file__).parent.glob("bench_*.py"))


def main() -> None:
    table = []
    for file in FILES:
        print(f"{file.stem} …", file=sys.stderr)
        table += import_module(file.stem).rows()
    print("| what | against | goal | measured |\n|---|---|---|---|")
    for row in table:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
