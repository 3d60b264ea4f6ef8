"""What teachers rely on: honest schedules, a clean start, reports, links, a room offline."""

import ast
import json
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest

from vizhelpers._utils.paths import NOTEBOOKS, ROOT
from vizhelpers.course import bootstrap, cli, links, report, reset, wheels
from vizhelpers.exercises import progress_file

PAGE = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(
    r"^\| (?:\d \| )?(\d+) \| \[[^\]]+\]\((\d\w+\.ipynb)\)(.+) \|$", PAGE, re.MULTILINE
)
WORDS_A_MINUTE, LINES_A_MINUTE, MINUTES_AN_EXERCISE = 130, 6, 4
GROUP = 1.25  # how much longer than one person a group takes
NO_SECTIONS = {"", "You will be able to", "Recap", "References"}


def heading_of(text: str) -> str:
    """The heading of a section without its number; empty if it has none."""
    heading = re.match(r"## (?:\d+ · )?(.+)", text)
    return heading[1].replace("*", "") if heading else ""


def sections_named(what: str) -> list[str]:
    return re.findall(r"\*([^*]+)\*", re.sub(r"\*\*.+?\*\*", "", what))


def minutes_by_section(path: Path) -> dict[str, float]:
    """Estimate each section of a lesson, as test_notebooks.py does the whole of it."""
    found: dict[str, float] = {}
    section = ""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
                section = heading_of(part) or section
                words = len(re.findall(r"\b[^\W_][\w'’-]*", part))
                found[section] = found.get(section, 0) + words / WORDS_A_MINUTE
        else:
            lines = [line for line in cell.source.splitlines() if line.strip()]
            code = [line for line in lines if not re.match(r"(?:import|from) ", line)]
            asked = MINUTES_AN_EXERCISE * cell.source.count("check(")
            asked += cell.source.count("quiz(") + cell.source.count("predict(") / 2
            found[section] = found.get(section, 0) + len(code) / LINES_A_MINUTE + asked
    return found


@pytest.mark.parametrize(("stated", "lesson", "what"), ROWS)
def test_minutes_of_a_schedule_are_honest(stated: str, lesson: str, what: str) -> None:
    if what.startswith(": all"):
        row = next(line for line in README.splitlines() if f"(notebooks/{lesson})" in line)
        alone = int(row.split("|")[-2])
        assert abs(int(stated) - GROUP * alone) <= 1, f"a group needs {GROUP} times {alone}"
        return
    by_section = minutes_by_section(NOTEBOOKS / lesson)
    named = sections_named(what)
    assert named, "neither *sections* nor all"
    assert not set(named) - set(by_section), "no such section"
    estimate = GROUP * sum(by_section[name] for name in named)
    assert abs(int(stated) - estimate) <= max(3, 0.1 * estimate), f"{estimate:.0f} estimated"


@pytest.mark.parametrize(("stated", "lesson", "what"), ROWS)
def test_a_schedule_says_where_a_section_needs_one_left_out(
    stated: str, lesson: str, what: str
) -> None:
    named = {*sections_named(what), *NO_SECTIONS}  # the first cell is always run
    section = ""
    made_in: dict[str, str] = {}
    needed: set[str] = set()
    for cell in nbformat.read(NOTEBOOKS / lesson, as_version=4).cells:
        if cell.cell_type == "markdown":
            for part in re.split(r"^(?=## )", cell.source, flags=re.MULTILINE):
                section = heading_of(part) or section
            continue
        names = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)]
        made = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        used = {node.id for node in names} - made
        if section in named:
            needed |= {name for name in used if made_in.get(name, section) not in named}
            made_in.update(dict.fromkeys(made, section))
        else:
            made_in.update({name: made_in.get(name, section) for name in made})
    assert bool(needed) == ("run all above" in what), f"made in sections left out: {needed}"


def test_minutes_of_each_section() -> None:
    part = PAGE.split("## The minutes of each section")[1]
    rows = dict(re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \| (.+) \|$", part, re.MULTILINE))
    assert sorted(rows) == sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    for lesson, row in rows.items():
        found = minutes_by_section(NOTEBOOKS / lesson)
        estimates = {name: found[name] for name in found if name not in NO_SECTIONS}
        stated = re.findall(r"\*([^*]+)\* (\d+)(?:, |$)", row)
        assert [name for name, _ in stated] == list(estimates), lesson
        for name, minutes in stated:
            assert abs(int(minutes) - estimates[name]) <= 1.5, (
                f"{lesson}, {name}: {estimates[name]}"
            )


def test_the_teachers_own_lines_count_reports(
    answers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("anna.json", "b.json"):
        arguments = cli.parser().parse_args(["report", "--json", "--out", name])
        cli.run_for_teachers(arguments)
    (lines,) = re.findall(r"^  ```python\n(.+?)^  ```", PAGE, re.MULTILINE | re.DOTALL)
    capsys.readouterr()
    exec(textwrap.dedent(lines), {})
    counted = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert (counted["00.swap"], counted["00.share"]) == ("2", "0")


def test_there_are_three_schedules_that_fit() -> None:
    parts = re.split(r"^### ", PAGE.split("## To talk about")[0], flags=re.MULTILINE)[1:4]
    short, half, long = (re.findall(r"^\| (?:(\d) \| )?(\d+) \|", p, re.MULTILINE) for p in parts)
    assert sum(int(minutes) for _, minutes in short) <= 90
    assert sum(int(minutes) for _, minutes in half) <= 240
    for session in "123456":
        assert 90 <= sum(int(minutes) for each, minutes in long if each == session) <= 120


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small copy of the notebooks, for commands that change them."""
    copy = tmp_path / "notebooks"
    for folder in ("", "in_depth", "solutions"):
        (copy / folder).mkdir(parents=True)
    for name in ("01_print_vs_torchinfo.ipynb", "in_depth/06_tensorboard_in_depth.ipynb"):
        shutil.copy(NOTEBOOKS / name, copy / name)
    for module in (links, sys.modules["vizhelpers.course.refresh"]):
        monkeypatch.setattr(module, "NOTEBOOKS", copy)
    monkeypatch.setattr(links, "ROOT", tmp_path)
    return copy


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record of three answers."""
    record = tmp_path / "private person" / "record.json"
    record.parent.mkdir()
    given = {"00.swap": "right", "00.share": "tried", "00.p1": "b wrong", "00.p2": "a"}
    record.write_text(json.dumps(given), encoding="utf-8")
    monkeypatch.setenv("VIZHELPERS_PROGRESS", str(record))
    monkeypatch.setattr(progress_file, "_session", {})  # what other tests have answered
    return record


def test_reset_asks_says_and_does_only_that(course: Path, answers: Path) -> None:
    first = course / "01_print_vs_torchinfo.ipynb"
    before, record = first.read_text(encoding="utf-8"), answers.read_text(encoding="utf-8")
    said: list[str] = []
    assert reset.reset(ask=lambda plan: bool(said.append(plan))) == []
    assert "results of 2 notebooks" in said[0]
    assert "4 answers" in said[0]
    assert first.read_text(encoding="utf-8") == before
    assert answers.read_text(encoding="utf-8") == record

    assert len(reset.reset(["outputs"], ask=lambda plan: True)) == 1
    after, was = (nbformat.reads(text, 4) for text in (first.read_text("utf-8"), before))
    assert [(c.id, c.source, c.metadata) for c in after.cells] == [
        (c.id, c.source, c.metadata) for c in was.cells
    ]
    assert not any(c.get("outputs") or c.get("execution_count") for c in after.cells)
    assert answers.read_text(encoding="utf-8") == record

    reset.reset(ask=lambda plan: True)
    assert progress_file.load() == ({}, "")
    assert reset.reset(ask=lambda plan: pytest.fail("nothing is left to ask")) == []
    with pytest.raises(ValueError, match="there are outputs and progress"):
        reset.reset(["notebooks"], ask=lambda plan: True)


def test_without_an_answer_nothing_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(plan: str) -> str:
        raise EOFError

    for answer, expected in ((closed, False), (lambda _: "n", False), (lambda _: " Yes", True)):
        monkeypatch.setattr("builtins.input", answer)
        assert cli.confirmed("This will ...") is expected


def test_report_tells_what_was_answered_and_not_by_whom(answers: Path) -> None:
    text, parsed = report.as_text(), json.loads(report.as_json())
    assert "00 start here" in text
    assert "1 of 7 right" in text
    assert "   right: 00.swap\n   tried: 00.share\n   predicted: 00.p1 (wrong), 00.p2 (not" in text
    assert parsed["00"]["exercises"]["00.swap"] == "right"
    assert parsed["00"]["exercises"]["00.open"] == "open"
    assert parsed["00"]["predictions"]["00.p1"] == {"chosen": "b", "found": "wrong"}
    for private in (str(answers.parent), "private person", socket.gethostname(), str(ROOT)):
        assert private not in text + report.as_json()
    answers.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"record\.json"):
        report.as_text()


def test_links_are_put_once_changed_and_taken_out(course: Path) -> None:
    (lesson,) = course.glob("*.ipynb")
    plain = lesson.read_text(encoding="utf-8")
    for url, branch in (
        ("https://github.com/me/see.git", "main"),
        ("https://github.com/a/b", "x/y"),
    ):
        assert links.link_lessons(url, branch) == [lesson]
        assert links.link_lessons(url, branch) == [], "done already"
    head = nbformat.read(lesson, as_version=4).cells[0].source
    assert head.startswith("# 01 · print vs torchinfo\n\n**In a browser:** [Binder](")
    assert "me/see" not in head
    assert head.count("In a browser") == 1
    page = "notebooks/01_print_vs_torchinfo.ipynb"
    assert f"https://colab.research.google.com/github/a/b/blob/x/y/{page})" in head
    binder = f"https://mybinder.org/v2/gh/a/b/x%2Fy?labpath={page.replace('/', '%2F')})"
    assert binder in head
    assert "!git clone --depth 1 -b x/y https://github.com/a/b course && pip install" in head
    links.link_lessons("")
    assert lesson.read_text(encoding="utf-8") == plain
    for wrong in ("https://gitlab.com/a/b", "github.com/a/b", "https://github.com/a"):
        with pytest.raises(ValueError, match="Expected: https://github"):
            links.link_lessons(wrong)


def test_which_packages_a_system_needs() -> None:
    asked = ["a==1", "b==1 ; sys_platform == 'win32'", "c==1 ; platform_machine == 'arm64'"]
    asked += ["d==1 ; python_full_version < '3.11.5'", "d==2 ; python_full_version >= '3.11.5'"]
    assert list(wheels._wanted(asked, "windows", "3.11")) == [
        ("3.11.0", ["a==1", "b==1", "d==1"]),
        ("3.11.99", ["d==2"]),
    ]
    assert list(wheels._wanted(asked, "macos", "3.12")) == [("3.12.0", ["a==1", "c==1", "d==2"])]


def test_the_whole_course_is_copied_without_what_was_installed(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone: nothing says which files are the course's")
    room = tmp_path / "room"
    assert wheels.prepare_folder(room, [], []) == []
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    missing = [name for name in git.stdout.splitlines() if not (room / name).exists()]
    assert not [name for name in missing if (ROOT / name).exists() and name != ".ci/run"]
    assert not (room / ".venv").exists()
    assert not (room / ".git").exists()
    with pytest.raises(FileExistsError, match="not prepared by this command"):
        wheels.prepare_folder(NOTEBOOKS, [], [])


def test_a_folder_with_wheels_is_installed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "WHEELS", tmp_path)
    monkeypatch.setattr(bootstrap, "call", lambda command, *_: called.append(command) or 0)
    monkeypatch.setattr(bootstrap, "find_uv", lambda: "uv")
    bootstrap.install()
    options = called[-1]
    assert options[options.index("--no-index") + 1 :][:2] == ["--find-links", str(tmp_path)]


def test_a_room_without_a_network(tmp_path: Path) -> None:
    """The real thing for this system, with two small packages: one of them has no wheel."""
    uv = shutil.which("uv") or (str(bootstrap.UV) if bootstrap.UV.is_file() else "")
    if not uv:
        pytest.skip("needs uv")
    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    room = tmp_path / "room"
    pins = bootstrap.pinned_versions()
    packages = [f"{name}=={max(pins[name])}" for name in ("markupsafe", "flashtorch")]
    try:
        ready = wheels.prepare_folder(room, [system], [python], packages)
    except RuntimeError as error:
        pytest.skip(f"needs a package registry, or what uv has kept of it ({error})")
    assert [path.name.split("-")[0] for path in ready] == ["flashtorch", "markupsafe"]

    offline = ["--offline", "--no-index", "--find-links", str(room / "wheels"), "--no-cache"]
    target = ["--python", sys.executable, "--target", str(tmp_path / "installed"), "--no-deps"]
    subprocess.run([uv, "pip", "install", "--quiet", *offline, *target, *packages], check=True)
    assert (tmp_path / "installed/flashtorch/__init__.py").is_file()
