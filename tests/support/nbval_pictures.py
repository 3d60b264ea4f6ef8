"""Pytest plugin: makes ``pytest --nbval`` strict enough for the lessons.

nbval alone passes over pictures, over cells that were never run, and fails on a trailing ``;``.
Here a cell also fails when

- a picture differs (stored, computed and differing pixels are written to ``nbval-diffs/``),
  or there are more or fewer pictures than stored,
- it was never run, so that nothing is stored to compare with,
- it, or a program that it starts, tried to reach another machine.

All text is compared strictly, ``text/html`` and SVG included; what stands for a widget is not,
since its id is random. Lessons run in the environment of `vizhelpers.course.refresh`.
"""

import base64
import io
import os
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel, start_new_kernel
from nbval.plugin import IPyNbCell, IPyNbFile
from PIL import Image
from support import forked_kernels
from support.picture_difference import compare

from vizhelpers.course.refresh import compress_picture, lesson_environment

GUARD = Path(__file__).parent / "network_guard"
DIFFERENCES = "nbval-diffs"
PICTURES = ("image/png", "image/jpeg")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Iterator[None]:
    """Put a `Lesson` in the place of each notebook that nbval collects."""
    collected = yield
    return [
        Lesson.from_parent(node.parent, path=node.path) if isinstance(node, IPyNbFile) else node
        for node in collected
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in plain words which lessons moved, below everything else."""
    moved: dict[str, list[str]] = {}  # of each notebook that was run
    stats = terminalreporter.stats
    for report in [*stats.get("passed", []), *stats.get("failed", []), *stats.get("error", [])]:
        notebook, _, cell = report.nodeid.partition("::Cell ")
        if not cell:
            continue
        lines = moved.setdefault(notebook, [])
        if report.failed:
            what = [text for name, text in report.user_properties if name == "moved"]
            # A notebook shows how many cells were run so far, and counts from one.
            place = f"{notebook}, code cell {cell}, shown as [{int(cell) + 1}]"
            lines.append(f"{place}: {'; '.join(what) or 'failed, see above'}")
    if moved:
        count = sum(map(bool, moved.values()))
        verdict = f"{count} of {len(moved)} notebooks moved." if count else "No lesson moved."
        terminalreporter.section("lessons")
        for line in [*chain.from_iterable(moved.values()), verdict]:
            terminalreporter.write_line(line)


def pytest_configure() -> None:
    """Let the lessons' kernels start at once."""
    forked_kernels.install()


class LessonKernel(RunningKernel):
    """A kernel of this Python in the environment of the lessons."""

    def __init__(self, cwd: Path, environment: dict[str, str], startup_timeout: float) -> None:
        self.km, self.kc = start_new_kernel(
            startup_timeout=startup_timeout,
            kernel_name=CURRENT_ENV_KERNEL_NAME,
            stderr=subprocess.DEVNULL,
            cwd=str(cwd),
            env=environment,
        )
        self._ensure_iopub_up()

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        # IPython heeds a trailing ";" only in cells that enter the history.
        return self.kc.execute(
            cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False
        )


class Lesson(IPyNbFile):
    """A notebook, run in one kernel of its own."""

    @property
    def slug(self) -> str:
        """The notebook's path as the beginning of a file name."""
        return "-".join(Path(self.nodeid).with_suffix("").parts)

    def collect(self) -> Iterator["LessonCell"]:
        for cell in super().collect():
            yield LessonCell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )

    def setup(self) -> None:
        self.scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.record = Path(self.scratch.name, "network.txt")
        self.reported = 0
        environment = lesson_environment(Path(self.scratch.name))
        environment["PYTHONPATH"] = f"{GUARD}{os.pathsep}{environment['PYTHONPATH']}"
        environment["NETWORK_RECORD"] = str(self.record)
        for old in self.config.rootpath.glob(f"{DIFFERENCES}/{self.slug}-cell*"):
            old.unlink()
        self.kernel = LessonKernel(
            self.path.parent, environment, self.config.option.nbval_kernel_startup_timeout
        )
        self.setup_sanitize_files()

    def teardown(self) -> None:
        super().teardown()
        attempts = self.new_attempts()
        self.scratch.cleanup()
        assert not attempts, f"{self.name} tried to reach the network: {attempts}"

    def new_attempts(self) -> list[str]:
        """Return what has been recorded since the last call about reaching other machines."""
        if not self.record.exists():
            return []
        attempts = self.record.read_text(encoding="utf-8").splitlines()
        new, self.reported = attempts[self.reported :], len(attempts)
        return new


class LessonCell(IPyNbCell):
    """A code cell: run, then compared with what is stored."""

    def runtest(self) -> None:
        super().runtest()
        attempts = self.parent.new_attempts()
        if attempts:
            self.raise_cell_error("This cell tried to reach the network", "\n".join(attempts))
        if self.cell.execution_count is None and self.cell.source.strip():
            self.raise_cell_error(
                "This cell was never run, so nothing is stored to compare with. "
                "Run `python -m vizhelpers refresh` and commit the notebook."
            )

    def compare_outputs(
        self,
        test: list[NotebookNode],
        ref: list[NotebookNode],
        skip_compare: tuple[str, ...] | None = None,
    ) -> bool:
        if not super().compare_outputs(test, ref, skip_compare):
            self.moved("the text")
            return False
        for output in test:
            compress_picture(output)
        stored, computed = pictures(ref), pictures(test)
        if len(stored) != len(computed):
            self.moved("the number of pictures")
            self.comparison_traceback.append(
                f"{len(stored)} pictures stored, {len(computed)} computed"
            )
            return False
        pairs = enumerate(zip(stored, computed, strict=True))
        return all([self.same_picture(n, *pair) for n, pair in pairs])  # noqa: C419 (show every one)

    def same_picture(self, number: int, stored: bytes, computed: bytes) -> bool:
        """Compare one picture; write the evidence where it differs."""
        difference = compare(stored, computed)
        if not difference.same:
            folder = self.config.rootpath / DIFFERENCES
            folder.mkdir(exist_ok=True)
            stem = f"{self.parent.slug}-cell{self.cell_num}-{number}"
            Image.open(io.BytesIO(stored)).save(folder / f"{stem}-stored.png")
            Image.open(io.BytesIO(computed)).save(folder / f"{stem}-computed.png")
            if difference.bad is not None:
                Image.fromarray(~difference.bad).save(folder / f"{stem}-bad.png")
            evidence = f"see {DIFFERENCES}/{stem}-*.png"
            self.moved(f"picture {number}, {evidence}")
            self.comparison_traceback.append(f"picture {number}: {difference.text}; {evidence}")
        return difference.same

    def moved(self, what: str) -> None:
        """Note for the end of the run what differs from the notebook (xdist passes it on)."""
        self.user_properties.append(("moved", what))


def pictures(outputs: list[NotebookNode]) -> list[bytes]:
    """Return the encoded pictures of a cell, in their order."""
    return [
        base64.b64decode(data[mime])
        for data in (output.get("data", {}) for output in outputs)
        for mime in PICTURES
        if mime in data
    ]
