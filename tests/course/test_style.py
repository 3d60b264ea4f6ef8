"""What a maintainer relies on: clean style, sound types, nothing private kept, fast imports."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from vizhelpers._utils.paths import ROOT

TEXT = {".cfg", ".css", ".ini", ".ipynb", ".js", ".json", ".md", ".py", ".sh", ".toml", ".txt"}
TEXT |= {".yaml", ".yml", ""}
# In two parts, so that this file does not name them itself.
HOSTS = [
    "pypi" + r"\.org",
    "pythonhosted" + r"\.org",
    "anaconda" + r"\.(?:org|com)",
    "npmjs" + r"\.(?:org|com)",
    r"download\.pytorch" + r"\.org/whl",
    # Any other index, whoever runs it, and with whatever password.
    r"(?:index-url|index_url|find-links)[ =]+https?:",
    r"https?://[^\s/@\"'<>]+:[^\s/@\"'<>]+@",
]
LOCAL_PATH = r"(?<![\w.:/{}~])/(?:work|root|home/\w+|Users/\w+)/"
# Slow to import, and not needed by somebody who only wants a helper.
LAZY = (
    *("torchvision", "torchinfo", "pytorch_grad_cam", "captum", "flashtorch"),
    *("tensorboard", "tensorboardX", "matplotlib", "ipywidgets", "PIL", "networkx"),
)

LINT_IMPORTS = "from importlinter.cli import lint_imports_command as command; command()"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "cure"),
    [
        (("-m", "ruff", "check"), "`ruff check --fix` mends most of it"),
        (("-m", "ruff", "format", "--check"), "`ruff format` mends it"),
        (("-m", "mypy"), "the options are in pyproject.toml"),
        (("-c", LINT_IMPORTS), "the layers are in pyproject.toml"),
    ],
    ids=["ruff check", "ruff format", "mypy", "import-linter"],
)
def test_tool_is_content(command: tuple[str, ...], cure: str) -> None:
    answer = run(*command)
    assert answer.returncode == 0, f"{cure}\n{answer.stdout}{answer.stderr}"


def test_import_is_light() -> None:
    code = f"import sys, vizhelpers; print(*[m for m in {LAZY!r} if m in sys.modules])"
    answer = run("-c", code)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == [], "loaded by `import vizhelpers`"


def committed() -> list[Path]:
    """List the files that git keeps; of a downloaded archive, all files."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone: nothing says which files are committed")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix in TEXT]


@pytest.mark.parametrize("pattern", [*HOSTS, LOCAL_PATH])
def test_no_committed_file_names(pattern: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in committed()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line) and not re.match(r' *"image/(png|jpeg)": "', line)
    ]
    assert not found, "\n".join(found)


def test_lock_files_stay_at_home() -> None:
    # They name the registry that one machine used.
    assert not {path.name for path in committed()} & {"uv.lock", "pylock.toml", "package-lock.json"}


def test_the_core_stays_small() -> None:
    core = list((ROOT / "vizhelpers").glob("*.py"))
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in core) <= 2500
