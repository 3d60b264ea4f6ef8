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
    run = [path for path in all_notebooks() if _without_results(path)[1]]
    answered = len(load()[0])
    plan = []
    if "outputs" in what and run:
        plan.append(f"empty the results of {len(run)} notebooks (text and code stay)")
    if "progress" in what and answered:
        plan.append(f"forget {answered} answers ({location() or 'of this session'})")
    if not plan or not ask("This will " + ", and ".join(plan) + "."):
        return []
    if "outputs" in what:
        for path in run:
            with written_beside(path) as draft:
                draft.write_text(_without_results(path)[0], encoding="utf-8", newline="\n")
    if "progress" in what:
        progress(reset=True)
    return plan


def _without_results(path: Path) -> tuple[str, bool]:
    """The file's text without results, and whether there were any."""
    notebook = nbformat.read(path, as_version=4)
    had_some = False
    for cell in notebook.cells:
        if cell.cell_type == "code":
            had_some |= bool(cell.outputs or cell.execution_count)
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook).rstrip("\n") + "\n", had_some
