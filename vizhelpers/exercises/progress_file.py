"""Remember which exercises are answered, in one small local file. Nothing leaves the machine.

The environment variable `VIZHELPERS_PROGRESS` names another file, or says `off`: then the record
lasts as long as the session. A file that cannot be read or written costs a notice, never an error:
then, too, the record lasts as long as the session, and a damaged file is left as it is until the
learner resets it. Several kernels may share a file.

An exercise is `"right"` or `"tried"`. Of a prediction the letter is kept, such as `"b"`, and once
it has been compared with the result, `"b right"` or `"b wrong"`.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vizhelpers._utils import paths
from vizhelpers.exercises.cards import Card
from vizhelpers.exercises.catalogue import common, texts
from vizhelpers.exercises.registry import exercises_of, lessons, predictions_of

RIGHT, TRIED = "right", "tried"
PREDICTED = re.compile(r"([a-z])(?: (right|wrong))?")
Record = dict[str, str]
ABANDONED = 1.0  # seconds after which a lock is that of a kernel which was killed
_session: Record = {}  # stands in for the file, or for what could not be written to it


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


def remember_prediction(prediction_id: str, letter: str, verdict: str = "") -> str:
    """Write down what was predicted, and `"right"` or `"wrong"` once that is known.

    Returns:
        As `remember`.
    """
    return _change(lambda record: record.update({prediction_id: f"{letter} {verdict}".strip()}))


def predicted(prediction_id: str) -> tuple[str, str]:
    """The letter that was predicted, and `"right"` or `"wrong"`: empty where there is none."""
    return _parts(load()[0].get(prediction_id, ""))


def load() -> tuple[Record, str]:
    """The record, and a notice if the file could not be read."""
    path = location()
    if path is None:
        return dict(_session), ""
    try:
        _check_regular(path)
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not all(map(_is_state, record.values())):
            raise ValueError("it holds something else than a record of progress")
    except FileNotFoundError:
        return dict(_session), ""
    except (OSError, ValueError, RecursionError) as problem:
        return dict(_session), common("unreadable", path=str(path), problem=str(problem))
    return record | _session, ""


def _is_state(value: object) -> bool:
    return isinstance(value, str) and (value in (RIGHT, TRIED) or any(_parts(value)))


def _parts(value: str) -> tuple[str, str]:
    found = PREDICTED.fullmatch(value)
    return (found[1], found[2] or "") if found else ("", "")


def progress(lesson: str | None = None, *, reset: bool = False) -> Card:
    """Show how many exercises are answered right, tried or still open, and your predictions.

    Args:
        lesson: Show only this lesson, such as `"01"`; all of them by default.
        reset: Forget everything first.

    Returns:
        A table that the notebook shows when this call is the cell's last line.

    Raises:
        ValueError: If there is no such lesson.

    Example:
        >>> vh.progress("01").title
        'Your progress'
    """
    if lesson is not None and lesson not in lessons():
        raise ValueError(f'There is no lesson "{lesson}". There are: {", ".join(lessons())}.')
    record, notice = ({}, _change(dict.clear, anew=True)) if reset else load()
    head = tuple(common("table", name) for name in ("lesson", RIGHT, TRIED, "open"))
    shown = [lesson] if lesson else lessons()
    rows = [_row(each, record) for each in shown]
    title = common("titles", "reset" if reset and not notice else "progress")
    lines = tuple(filter(None, (_predictions(shown, record), notice)))
    return Card("table", title, lines=lines, table=(head, *rows))


def _row(lesson: str, record: dict[str, str]) -> tuple[str, ...]:
    states = [record.get(name, "open") for name in exercises_of(lesson)]
    title = f"{lesson} {texts(f'lesson_{lesson}')['title']}"
    return (title, *(str(states.count(state)) for state in (RIGHT, TRIED, "open")))


def _predictions(shown: list[str], record: Record) -> str:
    """How many were made; they stand apart, since being wrong costs nothing."""
    names = [name for lesson in shown for name in predictions_of(lesson)]
    states = [_parts(record.get(name, "")) for name in names]
    made, right = (len([s for s in states if keep(s)]) for keep in (any, lambda s: s[1] == RIGHT))
    total = len(names)
    return common("predictions", made=made, total=total, right=right) if total else ""


def _change(change: Callable[[Record], None], *, anew: bool = False) -> str:
    """Read, change and write the record, or begin `anew`; a notice where that is impossible."""
    path = location()
    if path is None or anew:
        change(_session)
    if path is None:
        return ""
    try:
        _check_regular(path)
        with _locked(path):
            record, notice = ({}, "") if anew else load()
            if not notice:
                change(record)
                _write(path, record)
    except OSError as problem:
        notice = common("unwritable", path=str(path), problem=problem.strerror or str(problem))
    if notice:
        record = load()[0]
        change(record)
        _session.update(record)
    return notice


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
