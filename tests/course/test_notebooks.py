"""Rules that every lesson keeps: what a reader relies on, before anything is run."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from vizhelpers._utils.paths import NOTEBOOKS
from vizhelpers.course.refresh import all_notebooks
from vizhelpers.exercises.cards import SYMBOLS
from vizhelpers.exercises.catalogue import common
from vizhelpers.exercises.registry import exercises_of, lessons

# Each lesson with the curriculum's rows that it shows. A code cell says which row it is about by
# its tag, such as "row-S3"; several cells may share a row.
CURRICULUM = {
    "00_start_here": (),
    "01_print_vs_torchinfo": ("S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"),
    "02_kernels": ("K1", "K2", "K3", "K4", "K5", "K6"),
    "03_hooks_and_feature_maps": ("H1", "H2", "H3", "H4", "H5", "H6", "H7", "H8", "H9", "H10"),
    "04_class_activation_maps": ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9"),
    "05_flashtorch": ("F1", "F2", "F3", "F4", "F5", "F6", "F9"),
    "06_tensorboard": tuple(f"T{number}" for number in range(1, 13)),
}
MOST_BYTES = 3_000_000  # as the design asks: a picture for each picker is in it
MOST_WORDS, MOST_CELLS = 3_500, 70
# Outputs that may differ between machines, such as the doctor's, are not compared: few may.
MOST_UNCOMPARED = 2
UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip"}
ERROR_TAGS = {"raises-exception", "nbval-raises-exception"}
SECTIONS = ("Exercise", "Quiz", "Recap", "References")
OF_ONE_MACHINE = {
    "a path": r"(?<![\w.:/])(?:/(?:work|root|tmp|home/\w+|Users/\w+)/|[A-Za-z]:\\\\?Users\\)",
    "an installed package's path": r"site-packages[\\/]",
    "a kernel's temporary file": r"ipykernel_\d",
    "an object's address": r"\b0x[0-9a-f]{6,}",
    "a widget's id": r'"model_id"',
    "a Python version": r'"version": "3\.',
}
EXERCISE_CALL = re.compile(r"""\b(?:check|quiz)\(\s*["']([^"']+)["']""")

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))

every_notebook = pytest.mark.parametrize(
    "path", all_notebooks(), ids=lambda p: p.relative_to(NOTEBOOKS).with_suffix("").as_posix()
)
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path: Path) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def text_of(cell: NotebookNode) -> str:
    """What the cell's stored outputs say, pictures left out."""
    said = []
    for output in cell.outputs:
        data = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
        said += [output.get("text", ""), *map(str, data.values())]
    return "\n".join(said)


def without_pictures(path: Path) -> str:
    """The file's text: a picture's base64 could look like anything."""
    return re.sub(r'"image/(?:png|jpeg)": "[^"]*"', "", path.read_text(encoding="utf-8"))


# All notebooks, solutions too


@every_notebook
def test_every_code_cell_was_run_in_order(path: Path) -> None:
    cells = code_cells(path)
    assert all(cell.source.strip() for cell in cells), "an empty code cell"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@every_notebook
def test_no_unplanned_error_is_stored(path: Path) -> None:
    for cell in code_cells(path):
        errors = [output.evalue for output in cell.outputs if output.output_type == "error"]
        assert bool(errors) == bool(tags(cell) & ERROR_TAGS), (
            f"cell {cell.execution_count}: stored error {errors}, tags {tags(cell)}"
        )


@every_notebook
def test_size(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES


@every_notebook
@pytest.mark.parametrize("what", OF_ONE_MACHINE)
def test_nothing_of_one_machine_is_stored(path: Path, what: str) -> None:
    found = [m.group() for m in re.finditer(OF_ONE_MACHINE[what], without_pictures(path))]
    assert not found, f"{path.name} holds {what}: {found[:3]}"


@every_notebook
def test_cell_ids_are_there_and_differ(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5), "too old for cell ids"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))


@every_notebook
def test_nearly_everything_is_compared(path: Path) -> None:
    uncompared = [c for c in code_cells(path) if tags(c) & UNCOMPARED_TAGS or "NBVAL_" in c.source]
    assert len(uncompared) <= MOST_UNCOMPARED


@every_notebook
def test_a_widget_has_a_sentence_for_those_who_run_nothing(path: Path) -> None:
    for cell in code_cells(path):
        assert not re.search(r"^\w*Box\(children=", text_of(cell), re.MULTILINE), cell.source


@every_notebook
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", "\n".join(prose(path))):
        if not re.match(r"(?:https?|mailto|attachment):", target):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


# Lessons


@pytest.mark.parametrize("name", CURRICULUM)
def test_lesson_exists(name: str) -> None:
    assert NOTEBOOKS / f"{name}.ipynb" in LESSONS


@every_lesson
def test_every_lesson_is_in_the_curriculum(path: Path) -> None:
    assert path.stem in CURRICULUM


@pytest.mark.parametrize(
    ("name", "row"), [(name, row) for name, rows in CURRICULUM.items() for row in rows]
)
def test_every_row_of_the_curriculum_is_shown(name: str, row: str) -> None:
    cells = [c for c in code_cells(NOTEBOOKS / f"{name}.ipynb") if f"row-{row}" in tags(c)]
    assert cells, f"no code cell of {name} has the tag row-{row}"
    assert any(c.execution_count and c.outputs for c in cells), "none of them shows anything"


@every_lesson
def test_length(path: Path) -> None:
    assert len(read(path).cells) <= MOST_CELLS
    words = sum(len(re.findall(r"\b[^\W_][\w'’-]*", text)) for text in prose(path))
    assert words <= MOST_WORDS


@every_lesson
def test_template(path: Path) -> None:
    first, *rest = prose(path)
    assert re.match(r"# \S", first), "the first cell is the title"
    assert not any(re.search(r"^# ", text, re.MULTILINE) for text in rest), "one title only"
    text = "\n".join([first, *rest])
    assert "You will be able to" in text
    missing = [name for name in SECTIONS if not re.search(rf"^#+ .*{name}", text, re.M | re.I)]
    assert not missing, f"{path.name} has no heading for {missing}"


@every_lesson
def test_neighbours_are_linked(path: Path) -> None:
    here = LESSONS.index(path)
    neighbours = LESSONS[max(here - 1, 0) : here] + LESSONS[here + 1 : here + 2]
    for neighbour in neighbours:
        assert f"]({neighbour.name})" in "\n".join(prose(path))


# Exercises


def solutions(path: Path) -> Path:
    """Find the notebook of solutions: same number, in ``solutions/``."""
    found = list((NOTEBOOKS / "solutions").glob(f"{path.stem[:2]}_*.ipynb"))
    assert len(found) == 1, f"{len(found)} notebooks of solutions for {path.name}"
    return found[0]


def calls(path: Path) -> dict[str, list[str]]:
    """Map each exercise that is checked in a notebook to what the cells that do so show."""
    found: dict[str, list[str]] = {}
    for cell in code_cells(path):
        for exercise in EXERCISE_CALL.findall(cell.source):
            found.setdefault(exercise, []).append(text_of(cell))
    return found


def headline(kind: str, exercise: str) -> str:
    """Return how the text of a card begins."""
    return f"{SYMBOLS[kind]} {common('titles', kind)} · {exercise}"


@every_lesson
def test_exercises_are_all_asked_and_not_answered(path: Path) -> None:
    number = path.stem[:2]
    asked = calls(path)
    if number in lessons():
        assert set(asked) == set(exercises_of(number)), "asked here / known to vizhelpers"
    for exercise, shown in asked.items():
        assert any(headline("open", exercise) in text for text in shown), exercise
        assert not any(headline("right", exercise) in text for text in shown), exercise


@every_lesson
def test_every_exercise_is_solved(path: Path) -> None:
    solved = calls(solutions(path))
    for exercise in calls(path):
        shown = solved.get(exercise, [])
        assert any(headline("right", exercise) in text for text in shown), exercise
