"""vizhelpers in a project of one's own: the built wheel, without this folder and its pins."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from vizhelpers._utils.paths import ROOT
from vizhelpers.course import bootstrap

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BOUNDS = dict(item.split(">=") for item in PROJECT["dependencies"])
EXTRAS = [
    item.split(">=")[0] for extra in PROJECT["optional-dependencies"].values() for item in extra
]
# The course's own are used instead: gigabytes, and what brings them along.
NOT_AGAIN = {"torch", "torchvision", "grad-cam", "captum"}

USE = """
import sys
import matplotlib, numpy, torch
from PIL import Image
import vizhelpers as vh
for module in (matplotlib, numpy, vh):
    assert module.__file__.startswith(sys.prefix), module.__file__
for name in dir(vh):
    getattr(vh, name)
figure = vh.new_figure()
ax = figure.subplots()
ax.plot([1, 2])
for picture in (ax, vh.show_mosaic(torch.rand(4, 5, 5)), vh.draw_scene("cat", "sea", seed=0).image):
    assert b"PNG" in vh.figures.to_png(picture)[:8]
assert vh.load_image(Image.new("LA", (5, 4))).shape == (3, 4, 5)
assert "Conv2d" in str(vh.summarize(torch.nn.Conv2d(3, 4, 3), (1, 3, 8, 8)))
"""


def imported(path: Path) -> set[str]:
    """The top names of what a module imports from elsewhere, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module))
    return {name.split(".")[0] for name in names} - {"vizhelpers", *sys.stdlib_module_names}


def test_what_is_imported_is_declared() -> None:
    found = packages_distributions()
    course = set(bootstrap.pinned_versions())
    missing = set()
    for path in (ROOT / "vizhelpers").rglob("*.py"):
        folder = path.relative_to(ROOT).parts[1]
        declared = course if folder in ("course", "lessons") else {*BOUNDS, *EXTRAS}
        for name in imported(path):
            packages = {package.lower().replace("_", "-") for package in found.get(name, ())}
            if not packages & declared:
                missing.add((name, path.relative_to(ROOT).as_posix()))
    assert not missing, "to be added to dependencies in pyproject.toml"


def uv(*arguments: str | Path) -> None:
    """Run uv, from what it has kept where there is no network.

    It must succeed on the machine that decides whether a change lands; a learner's may be offline.
    """
    program = bootstrap.UV if bootstrap.UV.is_file() else shutil.which("uv")
    said = "there is no uv"
    for network in ([], ["--offline"]) if program else ():
        answer = subprocess.run(
            [str(program), *map(str, arguments), *network],
            env=bootstrap.uv_environment() | {"UV_HTTP_RETRIES": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode == 0:
            return
        said = answer.stderr
    if os.environ.get("CI"):
        pytest.fail(said)
    reason = said.strip().splitlines()[-1]
    pytest.skip(f"needs uv and a package registry, or what uv has kept of it ({reason})")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "vizhelpers", folder / "vizhelpers", ignore=unwanted)
    uv("build", "--wheel", folder)
    return next(folder.glob("dist/*.whl"))


def test_wheel_holds_every_file(wheel: Path) -> None:
    source = ROOT / "vizhelpers"
    files = {p.relative_to(ROOT).as_posix() for p in source.rglob("*.*") if p.suffix != ".pyc"}
    packed = ZipFile(wheel).namelist()
    assert {name for name in packed if name.startswith("vizhelpers/")} == files
    assert any(name.endswith("licenses/LICENSE") for name in packed)


@pytest.mark.parametrize("releases", ["lowest-direct", "highest"])
def test_wheel_works_with_releases(releases: str, wheel: Path, tmp_path: Path) -> None:
    """In an environment that is empty but for these, with the course's packages behind them."""
    venv.create(tmp_path, symlinks=os.name != "nt")
    python = tmp_path / bootstrap.VENV_PYTHON.relative_to(bootstrap.VENV)
    own = [f"{name}>={BOUNDS[name]}" for name in BOUNDS if name not in NOT_AGAIN]
    uv("pip", "install", "--python", python, "--no-deps", wheel)
    uv("pip", "install", "--python", python, "--no-build", "--resolution", releases, *own)
    behind = sysconfig.get_path("purelib", vars={"base": str(tmp_path)})
    Path(behind, "course.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    answer = subprocess.run(
        [python, "-c", USE],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
