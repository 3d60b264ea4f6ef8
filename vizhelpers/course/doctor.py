"""``python -m vizhelpers doctor``: is this machine ready for the course?

One small function per question. Each import happens inside its check, so that a missing package
is a finding and not a crash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from vizhelpers._utils.paths import ROOT, WEIGHTS
from vizhelpers.course import bootstrap

OK, PROBLEM, NOTE = "ok", "PROBLEM", "note"
LIBRARIES = ("torch", "torchvision", "matplotlib", "ipywidgets", "anywidget", "tensorboard")
DISK_NEEDED = 1.0  # GB: run folders of lesson 06 and one large ImageNet network
Answer = tuple[str, str]  # status and text of a finding


@dataclass(frozen=True)
class Finding:
    """The answer to one question.

    Attributes:
        name: What was looked at.
        status: ``"ok"``, ``"PROBLEM"`` (something in the course will fail) or ``"note"``
            (worth knowing; everything works).
        text: What was found, and for a problem what to do about it.
    """

    name: str
    status: str
    text: str

    def __str__(self) -> str:
        return f"{self.status:7}  {self.name:18} {self.text}"


def check_python() -> Answer:
    """Is this a Python that the pinned packages exist for?"""
    found = ".".join(map(str, sys.version_info[:3]))
    low, high = (".".join(map(str, v)) for v in bootstrap.SUPPORTED)
    if bootstrap.SUPPORTED[0] <= sys.version_info[:2] <= bootstrap.SUPPORTED[1]:
        return OK, found
    return PROBLEM, f"{found}; the course needs {low} to {high}"


def check_versions() -> Answer:
    """Are all packages those that the lessons were made with?"""
    differing = bootstrap.differing_versions()
    if not differing:
        return OK, f"{len(bootstrap.pinned_versions())} versions as pinned"
    if not differing.get("torch", ("installed", ""))[0]:
        return PROBLEM, "not installed in this Python; `python -m vizhelpers open` installs them"
    shown = [f"{n} {has or 'missing'} (pinned {pin})" for n, (has, pin) in differing.items()]
    more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
    cure = "; `pip install -r requirements.txt` puts it right"
    return PROBLEM, ", ".join(shown[:4]) + more + cure


def check_disk() -> Answer:
    """Is there room for run folders and a downloaded network?"""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free >= DISK_NEEDED:
        return OK, f"{free:.0f} GB"
    return PROBLEM, f"{free:.1f} GB; make room for {DISK_NEEDED:.0f} GB"


def check_kernel() -> Answer:
    """Does a notebook kernel start and answer?"""
    from jupyter_client.manager import start_new_kernel

    # What the kernel itself writes to the terminal would only distract from the findings.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=60, **quiet)
    try:
        reply = client.execute_interactive("1 + 1", timeout=60, output_hook=lambda _: None)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["content"]["status"] == "ok":
        return OK, "starts and answers"
    return PROBLEM, f"answered {reply['content']['status']}"


def check_libraries() -> Answer:
    """Can what the lessons stand on be imported?

    All packages can be there as pinned and yet not go together, such as a torch for CUDA beside a
    torchvision without.
    """
    for name in LIBRARIES:
        import_module(name)
    return OK, f"{', '.join(LIBRARIES)} can be imported"


def check_course_weights() -> Answer:
    """Are the trained course networks there, whole and unchanged?"""
    card = json.loads((WEIGHTS / "model_card.json").read_text(encoding="utf-8"))
    expected = {facts["file"]: facts["sha256"] for facts in card["networks"].values()}
    found = {path.name: path.read_bytes() for path in WEIGHTS.glob("*.safetensors")}
    damaged = [
        name
        for name, checksum in expected.items()
        if hashlib.sha256(found.get(name, b"")).hexdigest() != checksum
    ]
    if not damaged:
        return OK, f"{len(expected)} files, checksums right"
    text = f"missing or changed: {', '.join(damaged)}; `git checkout data/weights` brings them back"
    return PROBLEM, text


def check_threads() -> Answer:
    """How many threads would torch use? Lessons use one."""
    import torch

    return NOTE, f"torch would use {torch.get_num_threads()}; lessons set it to one"


def check_gpu() -> Answer:
    """Is there a GPU? None is needed."""
    import torch

    if torch.cuda.is_available():
        return NOTE, f"{torch.cuda.get_device_name(0)} (not needed)"
    return NOTE, "none usable by torch; the course does not need one"


def check_imagenet() -> Answer:
    """Which optional ImageNet networks are already on this disk?"""
    import torch

    found = sorted(p.name for p in Path(torch.hub.get_dir(), "checkpoints").glob("*.pth"))
    return NOTE, ", ".join(found) or "none cached; only optional cells use them"


CHECKS: dict[str, Callable[[], Answer]] = {
    "Python": check_python,
    "packages": check_versions,
    "free disk": check_disk,
    "notebook kernel": check_kernel,
    "libraries": check_libraries,
    "course networks": check_course_weights,
    "threads": check_threads,
    "GPU": check_gpu,
    "ImageNet weights": check_imagenet,
}


def examine() -> Iterator[Finding]:
    """Ask every question in turn; a check that fails is itself a problem, never a crash."""
    for name, check in CHECKS.items():
        try:
            yield Finding(name, *check())
        except Exception as error:
            yield Finding(name, PROBLEM, f"this check failed: {type(error).__name__}: {error}")


def main() -> int:
    """Print every finding as it comes.

    Returns:
        The exit code: 0 when the machine is ready, 1 when anything is a problem.
    """
    problems = 0
    for finding in examine():
        print(finding, flush=True)
        problems += finding.status == PROBLEM
    if problems:
        print(f"\nNot ready: {problems} problem{'s' if problems > 1 else ''}, see above.")
    else:
        print("\nReady. Next: python -m vizhelpers open")
    return int(problems > 0)
