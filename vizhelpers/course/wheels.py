"""``python -m vizhelpers wheels FOLDER``: the course and all its packages, for a room offline.

Whoever copies the folder runs the same two commands as everybody else: `bootstrap` takes the
packages from the folder ``wheels`` where there is one.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from vizhelpers._utils.paths import ROOT
from vizhelpers.course import bootstrap

# What pip calls the systems that the packages are made for, from the newest to the oldest.
TAGS = {
    "windows": ["win_amd64"],
    "macos": ["macosx_15_0_arm64", "macosx_15_0_universal2"],
    "linux": [f"manylinux_2_{minor}_x86_64" for minor in range(39, 4, -1)]
    + ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"],
}
MARKERS = {
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
}
MARKERS["windows"]["platform_machine"] = "AMD64"
MARKERS["macos"]["platform_machine"] = "arm64"
MARKERS["linux"]["platform_machine"] = "x86_64"
# Not for the class: what was installed, kept or made here, in any folder and in the first one.
LEFT_OUT = (".*", "__pycache__", "*.egg-info", "runs", "nbval-diffs")
LEFT_OUT_AT_TOP = (bootstrap.WHEELS, ROOT / "site")


def prepare_folder(
    folder: Path,
    systems: Sequence[str],
    pythons: Sequence[str],
    packages: Iterable[str] | None = None,
) -> list[Path]:
    """Fill one folder with the course and with wheels of all packages that it needs.

    Args:
        folder: A new one, or one that was prepared before: then only what is missing is fetched.
        systems: ``"windows"``, ``"macos"`` (Apple's own processors), ``"linux"``.
        pythons: The versions of Python that the learners have, such as ``"3.12"``.
        packages: What to fetch, as pip writes it; by default all that ``requirements.txt`` pins.

    Returns:
        The wheels that lie in it now.

    Raises:
        FileExistsError: The folder holds something else.
        RuntimeError: A package could not be fetched; pip's own message stands above.
    """
    wheels = folder / bootstrap.WHEELS.name
    if folder.exists() and any(folder.iterdir()) and not wheels.is_dir():
        raise FileExistsError(
            f"{folder} is not empty, and was not prepared by this command. Name a new folder."
        )
    wheels.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT, folder, ignore=_left_out(folder), dirs_exist_ok=True)
    asked = list(packages if packages is not None else _pinned())
    for system in systems:
        for python in pythons:
            print(f"{system}, Python {python}:", flush=True)
            for full, names in _wanted(asked, system, python):
                _fetch(names, wheels, system, full)
    for source in [*wheels.glob("*.tar.gz"), *wheels.glob("*.zip")]:  # of pure Python packages
        _uv("build", "--quiet", "--wheel", "--out-dir", wheels, source)
        source.unlink()
    (wheels / ".gitignore").unlink(missing_ok=True)  # uv's
    return sorted(wheels.glob("*.whl"))


def _pinned() -> list[str]:
    lines = bootstrap.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    return [*pins, f"uv=={bootstrap.UV_VERSION}"]


def _left_out(folder: Path) -> Callable[[str, list[str]], set[str]]:
    patterns = shutil.ignore_patterns(*LEFT_OUT)
    places = {folder.resolve(), *LEFT_OUT_AT_TOP}

    def ignored(where: str, names: list[str]) -> set[str]:
        here = {name for name in names if Path(where, name).resolve() in places}
        kept = {".gitignore", ".gitattributes"}
        return (set(patterns(where, names)) | here) - kept

    return ignored


def _wanted(asked: list[str], system: str, python: str) -> Iterator[tuple[str, list[str]]]:
    """What a system needs: for the first release of this Python, and what only a later one does."""
    first: list[str] = []
    for full in (f"{python}.0", f"{python}.99"):
        machine = {
            **MARKERS[system],
            "python_version": python,
            "python_full_version": full,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }
        needed = [each for each in map(Requirement, asked) if _applies(each, machine)]
        names = [f"{each.name}{each.specifier}" for each in needed]
        later = [name for name in names if name not in first]
        if later:
            yield full, later
        first = names


def _applies(package: Requirement, machine: dict[str, str]) -> bool:
    return package.marker is None or package.marker.evaluate(machine)


def _fetch(names: Sequence[str], wheels: Path, system: str, python: str) -> None:
    platforms = [part for tag in TAGS[system] for part in ("--platform", tag)]
    target = ["--python-version", python, "--implementation", "cp", "--no-deps", *platforms]
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch, "packages.txt")
        listed.write_text("\n".join(names), encoding="utf-8")
        pip = ("tool", "run", "--quiet", "pip", "--disable-pip-version-check", "download")
        _uv(*pip, "--dest", wheels, "--find-links", wheels, *target, "--requirement", listed)


def _uv(*arguments: str | Path) -> None:
    command = [bootstrap.find_uv(), *map(str, arguments)]
    if subprocess.run(command, env=bootstrap.uv_environment(), check=False).returncode:
        raise RuntimeError("A package could not be fetched or built: see the message above.")
