"""Remember which exercises are answered, in one small local file. Nothing leaves the machine.

The environment variable `VIZHELPERS_PROGRESS` names another file, or says `off`: then the record
lasts as long as the session. A file that cannot be read or written costs a notice, never an error,
and a damaged one is left as it is until the learner resets it. Several kernels may share a file.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vizhelpers._utils import paths
from vizhelpers.exercises.cards import Card
from vizhelpers.exercises.catalogue import common, texts
from vizhelpers.exercises.registry import exercises_of, lessons

RIGHT, TRIED = "right", "tried"
Record = dict[str, str]
ABANDONED = 1.0  # seconds after which a lock is that of a kernel which was killed
_session: Record = {}  # stands in for the file when there is none


def location() -> Path | None:
    """The file of the record, links followed, or None where it lasts for this session only."""
    setting = os.environ.get("VIZHELPERS_PROGRESS", "").strip()
    if setting.lower() == "off":
        return None
    path = Path(setting).expanduser() if setting else paths.ROOT / ".progress.json"
    return Path(os.path.realpath(path))


def remember(exercise_id: str, is_right: bool) -> str:
    """Write down an answer; once right stays right.

    Returns:
        A notice for the learner if that was not possible, else an empty text.
    """

    def add(record: Record) -> None:
        if record.get(exercise_id) != RIGHT:
            record[exercise_id] = RIGHT if is_right else TRIED

    return _change(add)


def load() -> tuple[Record, str]:
    """The record, `{id: "right" or "tried"}`, and a notice if it could not be read."""
    path = location()
    if path is None:
        return dict(_session), ""
    try:
        _check_regular(path)
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not all(v in (RIGHT, TRIED) for v in record.values()):
            raise ValueError("it holds something else than a record of progress")
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, RecursionError) as problem:
        return {}, common("unreadable", path=str(path), problem=str(problem))
    return record, ""


def progress(lesson: str | None = None, *, reset: bool = False) -> Card:
    """Show how many exercises are answered right, tried or still open.

    Args:
        lesson: Show only this lesson, such as `"01"`; all of them by default.
        reset: Forget everything first.

    Returns:
        A table that the notebook shows when this call is the cell's last line.

    Raises:
        ValueError: If there is no such lesson.
    """
    if lesson is not None and lesson not in lessons():
        raise ValueError(f'There is no lesson "{lesson}". There are: {", ".join(lessons())}.')
    record, notice = ({}, _change(dict.clear, anew=True)) if reset else load()
    head = tuple(common("table", name) for name in ("lesson", RIGHT, TRIED, "open"))
    rows = [_row(each, record) for each in ([lesson] if lesson else lessons())]
    title = common("titles", "reset" if reset and not notice else "progress")
    return Card("table", title, lines=(notice,) if notice else (), table=(head, *rows))


def _row(lesson: str, record: dict[str, str]) -> tuple[str, ...]:
    states = [record.get(name, "open") for name in exercises_of(lesson)]
    title = f"{lesson} {texts(f'lesson_{lesson}')['title']}"
    return (title, *(str(states.count(state)) for state in (RIGHT, TRIED, "open")))


def _change(change: Callable[[Record], None], *, anew: bool = False) -> str:
    """Read, change and write the record, or begin `anew`; a notice where that is impossible."""
    path = location()
    if path is None:
        change(_session)
        return ""
    try:
        _check_regular(path)
        with _locked(path):
            record, notice = ({}, "") if anew else load()
            if not notice:
                change(record)
                _write(path, record)
            return notice
    except OSError as problem:
        return common("unwritable", path=str(path), problem=problem.strerror or str(problem))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other threads and processes away from the record, by a file beside it."""
    lock = path.with_name(f"{path.name}.lock")
    while True:
        try:
            lock.touch(mode=0o600, exist_ok=False)
            break
        except FileExistsError:
            with suppress(FileNotFoundError):  # just removed by the other one
                if abs(time.time() - lock.stat().st_mtime) > ABANDONED:
                    lock.unlink()
            time.sleep(0.005)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _write(path: Path, record: Record) -> None:
    """Write beside the file and move it over: an interrupted kernel leaves the old one whole."""
    draft = path.with_name(f"{path.name}.draft")
    try:
        draft.touch(mode=0o600)  # before anything is in it
        draft.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if path.exists():
            shutil.copymode(path, draft)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _check_regular(path: Path) -> None:
    """Refuse a device or a pipe: reading it may never end, and writing would replace it."""
    if path.exists() and not path.is_file():
        raise OSError("it is not an ordinary file")
