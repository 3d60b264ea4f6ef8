"""The way in: a bare Python, the pins, the doctor."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from vizhelpers import __main__ as command_line
from vizhelpers._utils.paths import ROOT
from vizhelpers.course import bootstrap, doctor

LAB_URL = "--LabApp.default_url=/lab/tree/{}"
BARE = [sys.executable, "-S", "-m", "vizhelpers"]  # -S: as if nothing were installed


def run_bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*BARE, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_works_with_nothing_installed() -> None:
    answer = run_bare("--help")
    assert answer.returncode == 0, answer.stderr
    assert all(word in answer.stdout for word in ("open", "test", "doctor", "train"))


def test_this_environment_is_as_pinned() -> None:
    assert bootstrap.differing_versions() == {}


def test_pins_cover_what_the_course_asks_for() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    extras = project["optional-dependencies"]
    lists = [project["dependencies"], *extras.values(), *groups.values()]
    names = {re.split(r"[=<>]", item)[0].lower() for items in lists for item in items}
    assert names <= {name.lower() for name in bootstrap.pinned_versions()}


def test_every_line_of_the_list_is_a_full_pin() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for line in filter(lambda text: not text.startswith("#"), lines):
        assert re.match(r"[\w.-]+==\S+( ; .+)?$", line), line


def test_conda_reads_the_same_list() -> None:
    environment = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "-r requirements.txt" in environment
    assert not re.search(r"torch", environment), "versions belong in requirements.txt alone"


def test_differences_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = {
        "numpy": {"0.0.1"},
        "torch": {"9.9", "9.8"},
        "no-such-package": {"1.0"},
        "win": {"1", ""},
    }
    monkeypatch.setattr(bootstrap, "pinned_versions", lambda: pins)
    differing = bootstrap.differing_versions()
    assert differing["no-such-package"] == ("", "1.0")
    assert differing["torch"][1] == "9.8 or 9.9"
    assert differing["numpy"][0] not in ("", "0.0.1")
    assert "win" not in differing, "a package that only Windows needs may be missing"
    assert not bootstrap.environment_is_ready()


def test_pins_with_markers(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# c\na==1.0\nb==1.0 ; python_version < '3.12'\nb==2.0 ; python_version >= '3.12'\n"
    )
    assert bootstrap.pinned_versions(file) == {"a": {"1.0"}, "b": {"1.0", "2.0", ""}}


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A clone that has not installed uv yet, on a machine without; returns where it would be."""
    uv = tmp_path / "bin" / "uv"
    monkeypatch.setattr(bootstrap, "UV_FOLDER", tmp_path)
    monkeypatch.setattr(bootstrap, "UV", uv)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _: None)
    return uv


def test_uv_goes_into_the_clone_even_where_pip_may_not_install(
    monkeypatch: pytest.MonkeyPatch, no_uv: Path
) -> None:
    """`pip install --target` is the one form that PEP 668 leaves alone."""
    seen = {}

    def fake_pip(command: list[str], env: dict[str, str], check: bool) -> None:
        seen.update(command=command, env=env)
        no_uv.parent.mkdir()
        no_uv.touch()

    monkeypatch.setattr(bootstrap.subprocess, "run", fake_pip)
    assert bootstrap.find_uv() == str(no_uv)
    *_, option, folder, asked = seen["command"]
    assert (option, folder) == ("--target", str(bootstrap.UV_FOLDER))
    assert asked == f"uv=={bootstrap.UV_VERSION}"
    assert seen["env"]["PIP_USER"] == "0"
    seen.clear()
    assert bootstrap.find_uv() == str(no_uv)
    assert not seen, "installed once"


def test_no_pip_is_explained(monkeypatch: pytest.MonkeyPatch, no_uv: Path) -> None:
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda *_, **__: None)
    with pytest.raises(SystemExit, match="Install uv in any way"):
        bootstrap.find_uv()


@pytest.mark.parametrize(
    ("arguments", "program", "passed_on"),
    [
        (["open"], "jupyterlab", [LAB_URL.format("notebooks/00_start_here.ipynb")]),
        (
            ["open", "a.ipynb", "--no-browser"],
            "jupyterlab",
            [LAB_URL.format("a.ipynb"), "--no-browser"],
        ),
        (
            ["test", "tests/core", "-k", "a or b", "-n0", "notebooks"],
            "pytest",
            ["tests/core", "-k", "a or b", "-n0", "notebooks"],
        ),
    ],
)
def test_commands_start_the_right_program(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], program: str, passed_on: list[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "call", lambda command, *_: called.append(command) or 7)
    monkeypatch.setattr(bootstrap, "environment_is_ready", lambda: True)
    monkeypatch.setattr(sys, "argv", ["vizhelpers", *arguments])
    assert command_line.main() == 7
    assert called[0][:3] == [sys.executable, "-m", program]
    assert [option for option in called[0][3:] if option != "--allow-root"] == passed_on


def test_without_packages_they_are_installed_and_the_same_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", tmp_path / "python")
    monkeypatch.setattr(bootstrap, "call", lambda command, *_: called.append(command) or 0)
    monkeypatch.setattr(bootstrap, "environment_is_ready", lambda: False)
    monkeypatch.setattr(bootstrap, "find_uv", lambda: "uv")
    monkeypatch.delenv(bootstrap.INSIDE, raising=False)
    monkeypatch.setattr(sys, "argv", ["vizhelpers", "test", "-x"])
    assert command_line.main() == 0
    assert [command[:3] for command in called] == [
        ["uv", "venv", "--clear"],
        ["uv", "pip", "install"],
        [str(tmp_path / "python"), "-m", "vizhelpers"],
    ]
    assert str(bootstrap.REQUIREMENTS) in called[1]
    assert called[2][3:] == ["test", "-x"]


def test_an_installation_that_fails_is_not_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", tmp_path / "python")
    monkeypatch.setattr(bootstrap, "find_uv", lambda: "uv")
    monkeypatch.setattr(bootstrap, "call", lambda *_: 2)
    with pytest.raises(SystemExit, match="uv's message stands above"):
        bootstrap.run_in_course(["open"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_who_ends_the_command_ends_what_it_started() -> None:
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    parent = (
        "import sys; from vizhelpers.course.bootstrap import call; "
        f"sys.exit(call([sys.executable, '-c', {child!r}]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        process.terminate()
        process.wait(timeout=10)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_typing_error_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vizhelpers", "doctor", "--quickly"])
    with pytest.raises(SystemExit):
        command_line.main()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--only", "resnet81-fair"], "resnet81-fair"), (["--quick"], "give --out")],
)
def test_training_answers_a_wrong_option_in_one_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["vizhelpers", "train", *arguments])
    with pytest.raises(SystemExit, match="vizhelpers train: ") as stopped:
        command_line.main()
    assert said in str(stopped.value)


def test_doctor_says_ready_here(capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor.main()
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert "Ready." in printed
    assert not re.search(r"\bPROBLEM\b", printed)


def test_doctor_with_nothing_installed() -> None:
    # Asked directly, because the command line would go on to the environment that it finds.
    question = "from vizhelpers.course.doctor import main; raise SystemExit(main())"
    answer = subprocess.run(
        [sys.executable, "-S", "-c", question],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1, answer.stderr
    assert "python -m vizhelpers open" in answer.stdout
    assert "Traceback" not in answer.stderr


def findings() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine()}


def test_doctor_sees_what_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bootstrap, "pinned_versions", lambda: {"numpy": {"0.1"}})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    monkeypatch.setattr(doctor, "LIBRARIES", ("torch", "no_such_library"))
    shutil.copytree(doctor.WEIGHTS, tmp_path / "weights")
    (tmp_path / "weights" / "vgg11-fair.safetensors").write_bytes(b"cut off")
    (tmp_path / "weights" / "alexnet-fair.safetensors").unlink()
    monkeypatch.setattr(doctor, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setitem(doctor.CHECKS, "notebook kernel", lambda: 1 / 0)
    seen = findings()
    for name, words in {
        "packages": r"numpy .*\(pinned 0\.1\)",
        "free disk": "make room",
        "libraries": "no_such_library",
        "course networks": "alexnet-fair.*, vgg11-fair.*git checkout",
        "notebook kernel": "ZeroDivisionError",
    }.items():
        assert seen[name].status == doctor.PROBLEM, name
        assert re.search(words, seen[name].text), seen[name]
    assert seen["GPU"].status == doctor.NOTE
    assert seen["Python"].status == doctor.OK


def test_the_face_is_small_and_every_name_of_it_is_there() -> None:
    import vizhelpers

    names = {name: getattr(vizhelpers, name) for name in dir(vizhelpers)}
    assert len([name for name, value in names.items() if not isinstance(value, ModuleType)]) <= 30
    topics = [value for value in names.values() if isinstance(value, ModuleType)]
    for topic in topics:
        for name in dir(topic):
            assert getattr(topic, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'conv'"):
        vizhelpers.conv  # noqa: B018
