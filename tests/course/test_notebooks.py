"""Rules that every lesson keeps: what a reader relies on, before anything is run."""

import json
import re
from pathlib import Path
from statistics import median

import nbformat
import pytest
from nbformat import NotebookNode
from support.nbval_pictures import pictures

from vizhelpers._utils.paths import NOTEBOOKS
from vizhelpers.course.refresh import all_notebooks
from vizhelpers.exercises.cards import SYMBOLS
from vizhelpers.exercises.catalogue import common
from vizhelpers.exercises.registry import exercises_of, lessons

# The curriculum's rows of each number. A code cell says which row it is about by its tag, such as
# "row-S3"; several cells may share a row, which may be in any file of its number.
ROWS = {
    "01": "S1 S2 S3 S4 S5 S6 S7 S8 S9",
    "02": "K1 K2 K3 K4 K5 K6 W1",
    "03": "H1 H2 H3 H4 H5 H6 H7 H8 H9 H10 H11 H12 H13 W2 W3",
    "04": "C1 C2 C3 C4 C5 C6 C7 C8 C9",
    "05": "F1 F2 F3 F4 F5 F6 F7 F8 F9",
    "06": "T1 T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14",
    "07": "D1",
    "08": "D2 W4",
}
MOST_BYTES = 3_000_000  # as the design asks: a picture for each picker is in it
MOST_WORDS, CELLS = 3_500, range(25, 71)
MOST_LINES, MEDIAN_LINES, MOST_COLUMNS, MOST_IN_A_ROW = 12, 6, 88, 2
TAKE_HOME_LINES, LIBRARY_LINES = 15, 10
# An honest estimate: reading, and ten seconds for each line of code.
WORDS_A_MINUTE, SECONDS_A_LINE, MINUTES_AN_EXERCISE, MINUTES_A_QUESTION = 130, 10, 4, 1
# Outputs that may differ between machines, such as the doctor's, are not compared: few may.
MOST_UNCOMPARED = 2
UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip"}
ERROR_TAGS = {"raises-exception", "nbval-raises-exception"}
SECTIONS = ("on your own", "Exercise", "Quiz", "Take home", "Recap", "References")
OF_ONE_MACHINE = {
    "a path": r"(?<![\w.:/])(?:/(?:work|root|tmp|home/\w+|Users/\w+)/|[A-Za-z]:\\\\?Users\\)",
    "an installed package's path": r"site-packages[\\/]",
    "a kernel's temporary file": r"ipykernel_\d",
    "an object's address": r"\b0x[0-9a-f]{6,}",
    "a widget's id": r'"model_id"',
    "a Python version": r'"version": "3\.',
}
EXERCISE_CALL = re.compile(r"""\b(?:check|quiz)\(\s*["']([^"']+)["']""")
PREDICTION = re.compile(r"""\bpredict\(\s*["']([^"']+)["']\s*(,?)""")

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
IN_DEPTH = sorted(NOTEBOOKS.glob("in_depth/*.ipynb"))

every_notebook = pytest.mark.parametrize(
    "path", all_notebooks(), ids=lambda p: p.relative_to(NOTEBOOKS).with_suffix("").as_posix()
)
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
every_told_file = pytest.mark.parametrize(
    "path", [*LESSONS, *IN_DEPTH], ids=lambda p: f"{p.parent.stem}-{p.stem}"
)


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


def files_of(number: str) -> list[Path]:
    return [path for path in [*LESSONS, *IN_DEPTH] if path.stem.startswith(f"{number}_")]


@pytest.mark.parametrize(
    ("number", "row"), [(number, row) for number, rows in ROWS.items() for row in rows.split()]
)
def test_every_row_of_the_curriculum_is_shown(number: str, row: str) -> None:
    cells = [c for path in files_of(number) for c in code_cells(path) if f"row-{row}" in tags(c)]
    assert cells, f"no code cell of lesson {number} has the tag row-{row}"
    assert any(c.execution_count and c.outputs for c in cells), "none of them shows anything"


def words(path: Path) -> int:
    return sum(len(re.findall(r"\b[^\W_][\w'’-]*", text)) for text in prose(path))


def code_lines(cell: NotebookNode) -> list[str]:
    """Return the cell's lines that say something, without its imports."""
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return [line for line in lines if not re.match(r"(?:import|from) ", line)]


@every_lesson
def test_length(path: Path) -> None:
    assert len(read(path).cells) in CELLS
    assert words(path) <= MOST_WORDS


@every_told_file
def test_no_walls_of_code(path: Path) -> None:
    told = code_cells(path)[1:]  # after the set-up
    long = {c.execution_count: len(code_lines(c)) for c in told if len(code_lines(c)) > MOST_LINES}
    assert not long, f"cell: lines, more than {MOST_LINES}: {long}"
    assert median(len(code_lines(cell)) for cell in told) <= MEDIAN_LINES
    wide = [line for c in told for line in c.source.splitlines() if len(line) > MOST_COLUMNS]
    assert not wide, f"wider than {MOST_COLUMNS}: {wide[:3]}"


@every_told_file
def test_each_text_stands_above_its_own_code(path: Path) -> None:
    row = 0
    for cell in read(path).cells:
        row = row + 1 if cell.cell_type == "code" else 0
        assert row <= MOST_IN_A_ROW, f"{row} code cells in a row, up to {cell.id}"
    announced = r"\b(?:first|second|third|fourth|next two|next three|last) cells?\b"
    found = re.findall(announced, "\n".join(prose(path)), re.IGNORECASE)
    assert not found, f"put each text above its own cell: {found}"


@every_told_file
def test_looked_at_rather_than_read(path: Path) -> None:
    for cell in code_cells(path)[1:]:
        assert not re.search(r"\{[^{}]*:[<>^]?\d{2,}", cell.source), (
            f"a table by hand: {cell.source}"
        )


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
def test_the_library_itself_comes_early_and_is_short(path: Path) -> None:
    cells = [cell for cell in code_cells(path) if "library-call" in tags(cell)]
    assert cells, "no cell has the tag library-call"
    before = code_cells(path).index(cells[0])
    assert before <= 6, f"{before} code cells come before it"
    assert len(code_lines(cells[0])) <= LIBRARY_LINES


@every_lesson
def test_something_to_take_home(path: Path) -> None:
    """That it runs without the course is tested in test_take_home.py; to copy, imports count."""
    cells = [cell for cell in code_cells(path) if "take-home" in tags(cell)]
    lines = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in cells]
    assert cells
    assert max(lines) <= MOST_LINES
    assert sum(lines) <= TAKE_HOME_LINES


@every_lesson
def test_something_to_touch_after_the_set_up_alone(path: Path) -> None:
    """The browser tests run them so."""
    touched = [cell for cell in code_cells(path) if is_to_touch(cell)]
    assert touched, "no widget"
    for cell in touched:
        assert pictures(cell.outputs), f"a reader who runs nothing sees no picture: {cell.source}"


def is_to_touch(cell: NotebookNode) -> bool:
    shown = r"^<\w+: .* shown>$"  # as a View says what it is
    return bool(re.search(shown, text_of(cell), re.MULTILINE))


def minutes(path: Path) -> float:
    """Estimate what a learner needs for a lesson."""
    cells = code_cells(path)
    lines = sum(len(code_lines(cell)) for cell in cells[1:])
    source = "\n".join(cell.source for cell in cells)
    exercises, questions = source.count("check("), source.count("quiz(")
    questions += len({name for name, _ in PREDICTION.findall(source)})
    total = lines * SECONDS_A_LINE / 60 + words(path) / WORDS_A_MINUTE
    return total + MINUTES_AN_EXERCISE * exercises + MINUTES_A_QUESTION * questions


@every_lesson
def test_minutes_are_honest(path: Path) -> None:
    (stated,) = re.findall(r"^\*(\d+) minutes", prose(path)[0], re.MULTILINE)
    assert abs(int(stated) - minutes(path)) <= 5, f"{stated} stated, {minutes(path):.0f} estimated"
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if f"(notebooks/{path.name})" in line)
    assert row.endswith(f"| {stated} |"), f"the README says otherwise: {row}"


@every_lesson
def test_a_fold_does_not_give_the_answer_away(path: Path) -> None:
    """JupyterLab shows the first line of a folded output."""
    for cell in code_cells(path):
        if cell.metadata.get("jupyter", {}).get("outputs_hidden") and cell.outputs:
            first = cell.outputs[0]
            text = first.get("text", first.get("data", {}).get("text/plain", ""))
            line = text.splitlines()[0] if text else ""
            assert not re.search(r"\d", line), f"shown although folded: {line}"


@every_lesson
def test_predictions_are_asked_before_and_compared_after(path: Path) -> None:
    calls_in_order = [
        (name, bool(comma))
        for cell in code_cells(path)
        for name, comma in PREDICTION.findall(cell.source)
    ]
    names = {name for name, _ in calls_in_order}
    assert len(names) >= 2, "at least two predictions"
    for name in names:
        asked = [compared for other, compared in calls_in_order if other == name]
        assert asked == [False, True], f"{name}: asked once, then compared once"


@every_lesson
def test_neighbours_are_linked(path: Path) -> None:
    here = LESSONS.index(path)
    neighbours = LESSONS[max(here - 1, 0) : here] + LESSONS[here + 1 : here + 2]
    for neighbour in neighbours:
        assert f"]({neighbour.name})" in "\n".join(prose(path))


# Exercises


def solutions(number: str) -> Path:
    """Find the notebook of solutions: same number, in ``solutions/``."""
    found = list((NOTEBOOKS / "solutions").glob(f"{number}_*.ipynb"))
    assert len(found) == 1, f"{len(found)} notebooks of solutions for lesson {number}"
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


@pytest.mark.parametrize("number", lessons())
def test_exercises_are_all_asked_and_not_answered(number: str) -> None:
    asked = {name: shown for path in files_of(number) for name, shown in calls(path).items()}
    assert set(asked) == set(exercises_of(number)), "asked here / known to vizhelpers"
    for exercise, shown in asked.items():
        assert any(headline("open", exercise) in text for text in shown), exercise
        assert not any(headline("right", exercise) in text for text in shown), exercise


@pytest.mark.parametrize("number", lessons())
def test_every_exercise_is_solved(number: str) -> None:
    solved = calls(solutions(number))
    for exercise in exercises_of(number):
        shown = solved.get(exercise, [])
        assert any(headline("right", exercise) in text for text in shown), exercise
