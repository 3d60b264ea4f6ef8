"""Install the course into a fresh clone: uv, a virtual environment, the pinned packages.

Only the standard library may be imported here: this runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vizhelpers._utils.paths import ROOT

SUPPORTED = ((3, 11), (3, 13))
# Set for the process that uv starts, so that a broken environment is reported, not made again.
INSIDE = "VIZHELPERS_INSIDE_UV"
UV_FOLDER = ROOT / ".uv"


def pinned_versions(requirements: Path = ROOT / "requirements.txt") -> dict[str, set[str]]:
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


def find_uv() -> str | None:
    """Find the program ``uv``: on the PATH, or where `install_uv` puts it."""
    private = UV_FOLDER / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    return shutil.which("uv") or (str(private) if private.is_file() else None)


def install_uv() -> str:
    """Install uv into the clone's own folder ``.uv`` and return where it is.

    A folder of our own (``pip install --target``) works where the system's Python refuses
    ``pip install`` (PEP 668), needs no administrator and changes nothing outside the clone.

    Raises:
        SystemExit: pip is missing or failed; says what to do.
    """
    print("Installing uv into .uv (once) ...", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade"]
    # A user's pip may be set to --user, which does not go together with --target.
    environment = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment["PIP_ROOT_USER_ACTION"] = "ignore"  # its warning is about the system's folders
    failed = subprocess.run(
        [*command, "--target", str(UV_FOLDER), "uv"], env=environment, check=False
    ).returncode
    uv = find_uv()
    if failed or uv is None:
        raise SystemExit(
            "uv could not be installed with this Python's pip (its message stands above).\n"
            "Install uv in any way its documentation names (your package manager, its installer),\n"
            "or use conda or plain pip as the README says, then run the same command again."
        )
    return uv


def existing_environment() -> str | None:
    """Find the Python of the clone's ``.venv``, if everything in it is as pinned."""
    names = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    python = ROOT.joinpath(".venv", *names)
    question = (
        "from vizhelpers.course.bootstrap import environment_is_ready as ready; "
        "raise SystemExit(not ready())"
    )
    if not python.is_file():
        return None
    ready = subprocess.run([python, "-c", question], cwd=ROOT, check=False).returncode == 0
    return str(python) if ready else None


def run_in_course(arguments: list[str]) -> int:
    """Run ``python -m vizhelpers <arguments>`` inside the course's own environment.

    The environment is made on first use, and updated when requirements.txt has changed. One that
    is as it should be is used without asking uv, which would want the network.

    Returns:
        The exit code of what was run.
    """
    command = ["-m", "vizhelpers", *arguments]
    # A leftover VIRTUAL_ENV would only make uv warn.
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    environment[INSIDE] = "1"
    # Schools and firms that look into TLS do it with a certificate which only the system knows.
    certificates = ssl.get_default_verify_paths()
    if sys.platform != "linux" or certificates.cafile or certificates.capath:
        environment.setdefault("UV_SYSTEM_CERTS", "true")
    python = existing_environment()
    if python:
        return call([python, *command], environment)
    uv = find_uv() or install_uv()
    return call([uv, "run", "--project", str(ROOT), "python", *command], environment)


def call(command: list[str], environment: dict[str, str] | None = None) -> int:
    """Run a command in the clone; Ctrl-C goes to it, and it decides how to stop."""
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
