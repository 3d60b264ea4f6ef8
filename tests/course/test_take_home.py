"""What a learner takes home runs without this course, in an environment that has never seen it."""

import ast
import os
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from .test_notebooks import LESSONS, code_cells, tags

# Besides torch, torchvision and matplotlib: what each lesson is about.
LIBRARY = {
    "00": {"timm": "timm"},
    "01": {"torchinfo": "torchinfo"},
    "04": {"pytorch_grad_cam": "grad-cam"},
    "05": {"captum": "captum", "flashtorch": "flashtorch"},
    "06": {"tensorboard": "tensorboard"},
}
EVERYWHERE = {"torch", "torchvision", "matplotlib", "numpy", "PIL"}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")


def take_home(path: Path) -> str:
    return "\n".join(cell.source for cell in code_cells(path) if "take-home" in tags(cell))


def with_what_they_need(names: list[str]) -> dict[str, Distribution]:
    """Find the distributions of these names, and of all that those ask for."""
    found: dict[str, Distribution] = {}
    while names:
        name = names.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # asked for on another system
            continue
        asked = map(Requirement, found[name].requires or [])
        names += [
            each.name for each in asked if not each.marker or each.marker.evaluate({"extra": ""})
        ]
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages: PyTorch, Matplotlib, the lessons' libraries, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    libraries = [name for each in LIBRARY.values() for name in each.values()]
    for each in with_what_they_need(["torch", "torchvision", "matplotlib", *libraries]).values():
        for top in {Path(file).parts[0] for file in each.files or []} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(each.locate_file(top))))
    assert not list(folder.glob("*vizhelpers*"))
    return folder


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_it_needs_the_lessons_own_library_only(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(take_home(path))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    allowed = EVERYWHERE | set(LIBRARY.get(path.stem[:2], {})) | set(sys.stdlib_module_names)
    assert imported <= allowed


def test_all_of_them_run_without_the_course(site: Path, tmp_path: Path) -> None:
    """One process for all, so that PyTorch is loaded once; each in names of its own."""
    script = tmp_path / "take_home.py"
    cells = {path.name: take_home(path) for path in LESSONS}
    script.write_text(
        f"import sys; sys.path.append({str(site)!r})\n"
        "import matplotlib; matplotlib.use('agg')\n"
        f"for name, source in {cells!r}.items():\n"
        "    exec(compile(source, name, 'exec'), {'__name__': '__main__'})\n"
        "assert 'vizhelpers' not in sys.modules\n"
    )
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    # -I and -S: nothing of this environment, and nothing of the user's.
    done = subprocess.run(
        [sys.executable, "-I", "-S", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
