"""Install the course into a fresh clone: uv, a virtual environment, the pinned packages.

Only the standard library may be imported here: this runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vizhelpers._utils.paths import NOTEBOOKS, ROOT

SUPPORTED = ((3, 11), (3, 13))
REQUIREMENTS = ROOT / "requirements.txt"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV.joinpath(*(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
UV_VERSION = "0.13.9"
UV_FOLDER = ROOT / ".uv" / UV_VERSION
UV = UV_FOLDER / "bin" / ("uv.exe" if os.name == "nt" else "uv")
# Made by `python -m vizhelpers wheels`: all packages, for a room without a network.
WHEELS = ROOT / "wheels"
# Set for the process that was installed for, so that it reports what is wrong and does not
# install again.
INSIDE = "VIZHELPERS_INSIDE_VENV"


def pinned_versions(requirements: Path = REQUIREMENTS) -> dict[str, set[str]]:
    """Read the pinned versions: package name to the versions that are right.

    A package can have several right versions, because some differ between Python versions. One
    that only some platforms need has the empty string among them: it may be missing.
    """
    pins: dict[str, set[str]] = {}
    for line in requirements.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([\w.-]+)==([\w.+!-]+)\s*(;.*)?$", line)
        if match:
            name, pin, marker = match.groups()
            pins.setdefault(name, set()).update({pin, ""} if marker else {pin})
    return pins


def differing_versions() -> dict[str, tuple[str, str]]:
    """Compare this Python's packages with the pins.

    Returns:
        For each package that differs: what is installed ("" when it is missing) and what is pinned.
    """
    differing = {}
    for name, pins in pinned_versions().items():
        try:
            installed = version(name).split("+")[0]
        except PackageNotFoundError:
            installed = ""
        if installed not in pins:
            differing[name] = (installed, " or ".join(sorted(pins - {""})))
    return differing


def environment_is_ready() -> bool:
    """Tell whether this very Python has every pinned package."""
    return SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1] and not differing_versions()


def from_wheels() -> list[str]:
    """Options by which pip and uv take packages from the folder beside, where there is one."""
    return ["--no-index", "--find-links", str(WHEELS)] if WHEELS.is_dir() else []


def find_uv() -> str:
    """Find uv in the clone's own folder; where it is missing, install the pinned version there.

    A folder of our own (``pip install --target``) works where the system's Python refuses
    ``pip install`` (PEP 668), needs no administrator and changes nothing outside the clone.

    Raises:
        SystemExit: pip is missing or failed, and there is no uv on the PATH; says what to do.
    """
    if not UV.is_file():
        print("Installing uv into .uv (once) ...", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade"]
        command += ["--target", str(UV_FOLDER), *from_wheels(), f"uv=={UV_VERSION}"]
        # A user's pip may be set to --user, which does not go together with --target.
        environment = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environment["PIP_ROOT_USER_ACTION"] = "ignore"  # its warning is about the system's folders
        subprocess.run(command, env=environment, check=False)
    uv = str(UV) if UV.is_file() else shutil.which("uv")
    if uv is None:
        raise SystemExit(
            "uv could not be installed with this Python's pip (its message stands above).\n"
            "Install uv in any way its documentation names (your package manager, its installer),\n"
            "or use conda or plain pip as the README says, then run the same command again."
        )
    return uv


def uv_environment() -> dict[str, str]:
    """Say in which environment variables uv is run."""
    environment = dict(os.environ)
    # Schools and firms that look into TLS do it with a certificate which only the system knows.
    certificates = ssl.get_default_verify_paths()
    if sys.platform != "linux" or certificates.cafile or certificates.capath:
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    return environment


def venv_is_ready() -> bool:
    """Tell whether ``.venv`` has every pinned package, and the vizhelpers of this very clone."""
    question = (
        "from vizhelpers.course import bootstrap as b; "
        f"raise SystemExit(not (b.ROOT.samefile({str(ROOT)!r}) and b.environment_is_ready()))"
    )
    # Asked in a folder in which a vizhelpers is found only where it is installed.
    return (
        VENV_PYTHON.is_file()
        and not subprocess.run(
            [str(VENV_PYTHON), "-c", question],
            cwd=NOTEBOOKS,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
    )


def install() -> None:
    """Make ``.venv``, or bring it up to date: the pinned packages, and vizhelpers from this clone.

    Raises:
        SystemExit: uv failed; its own message stands above.
    """
    uv, (low, high) = find_uv(), SUPPORTED
    commands = []
    if not VENV_PYTHON.is_file():
        python = f">={low[0]}.{low[1]},<{high[0]}.{high[1] + 1}"
        commands.append([uv, "venv", "--clear", "--python", python, str(VENV)])
    # What the course asks for, in the pinned versions. Not simply `-r requirements.txt`, which
    # would bring CUDA's libraries along also where torch was installed without them.
    packages = ["--group", "course", "--editable", ".[photos]", "--constraint", str(REQUIREMENTS)]
    # Compiled at once: imports are then twice as fast, also where Python may not write its cache.
    pip = [uv, "pip", "install", "--compile-bytecode", "--python", str(VENV_PYTHON)]
    commands.append([*pip, *from_wheels(), *packages])
    for command in commands:
        if call(command, uv_environment()):
            raise SystemExit(
                "The course could not be installed: uv's message stands above.\n"
                "Is .venv made with another Python? Remove it, and run the same command again."
            )


def run_in_course(arguments: list[str]) -> int:
    """Run ``python -m vizhelpers <arguments>`` inside the course's own environment.

    The environment is made on first use, and updated when requirements.txt has changed. One that
    is as it should be is used without asking uv, which would want the network.

    Returns:
        The exit code of what was run.
    """
    if not venv_is_ready():
        install()
    command = [str(VENV_PYTHON), "-m", "vizhelpers", *arguments]
    return call(command, {**os.environ, INSIDE: "1"})


def call(command: list[str], environment: dict[str, str] | None = None) -> int:
    """Run a command in the clone; Ctrl-C and SIGTERM go to it, and it decides how to stop."""
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
