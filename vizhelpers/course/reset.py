"""``python -m vizhelpers reset``: no results, no answers, for the next learner."""

from collections.abc import Callable, Collection
from pathlib import Path

import nbformat

from vizhelpers._utils.paths import written_beside
from vizhelpers.course.refresh import all_notebooks
from vizhelpers.exercises import progress
from vizhelpers.exercises.progress_file import load, location

WHAT = ("outputs", "progress")


def reset(what: Collection[str] = WHAT, *, ask: Callable[[str], bool]) -> list[str]:
    """Empty the results of all notebooks, and forget which exercises were answered.

    Text and code stay as they are, also where a learner has changed them.

    Args:
        what: ``"outputs"``, ``"progress"`` or both.
        ask: Is told what would be done, and says whether to do it.

    Returns:
        What was done; nothing where there was nothing to do, or the answer was no.

    Raises:
        ValueError: There is nothing of such a name.
    """
    unknown = set(what) - set(WHAT)
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be reset: there are outputs and progress.")
    emptied = {path: text for path in all_notebooks() if (text := _without_results(path))}
    answered = len(load()[0])
    plan = []
    if "outputs" in what and emptied:
        plan.append(f"empty the results of {len(emptied)} notebooks (text and code stay)")
    if "progress" in what and answered:
        plan.append(f"forget {answered} answers ({location() or 'of this session'})")
    if not plan or not ask("This will " + ", and ".join(plan) + "."):
        return []
    if "outputs" in what:
        for path, text in emptied.items():
            with written_beside(path) as draft:
                draft.write_text(text, encoding="utf-8", newline="\n")
    if "progress" in what:
        progress(reset=True)
    return plan


def _without_results(path: Path) -> str:
    """The file's text without results; empty if there were none."""
    notebook = nbformat.read(path, as_version=4)
    run = [c for c in notebook.cells if c.get("outputs") or c.get("execution_count")]
    for cell in run:
        cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook).rstrip("\n") + "\n" if run else ""
