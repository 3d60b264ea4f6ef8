"""Remember which exercises are answered, in one small local file. Nothing leaves the machine.

The environment variable `VIZHELPERS_PROGRESS` names another file, or says `off`: then the record
lasts as long as the session. A file that cannot be read or written costs a notice, never an error,
and a damaged one is left as it is until the learner resets it.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from vizhelpers._utils import paths
from vizhelpers.exercises.cards import Card
from vizhelpers.exercises.catalogue import common, texts
from vizhelpers.exercises.registry import exercises_of, lessons

RIGHT, TRIED = "right", "tried"
_session: dict[str, str] = {}  # stands in for the file when there is none


def location() -> Path | None:
    """The file of the record, or None where it is kept for this session only."""
    setting = os.environ.get("VIZHELPERS_PROGRESS", "").strip()
    if setting.lower() == "off":
        return None
    return Path(setting).expanduser() if setting else paths.ROOT / ".progress.json"


def remember(exercise_id: str, is_right: bool) -> str:
    """Write down an answer; once right stays right.

    Returns:
        A notice for the learner if that was not possible, else an empty text.
    """
    record, notice = load()
    status = RIGHT if is_right or record.get(exercise_id) == RIGHT else TRIED
    return notice or _store({**record, exercise_id: status})


def load() -> tuple[dict[str, str], str]:
    """The record, `{id: "right" or "tried"}`, and a notice if it could not be read."""
    path = location()
    if path is None:
        return dict(_session), ""
    try:
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
    record, notice = ({}, _store({})) if reset else load()
    head = tuple(common("table", name) for name in ("lesson", RIGHT, TRIED, "open"))
    rows = [_row(each, record) for each in ([lesson] if lesson else lessons())]
    title = common("titles", "reset" if reset and not notice else "progress")
    return Card("table", title, lines=(notice,) if notice else (), table=(head, *rows))


def _row(lesson: str, record: dict[str, str]) -> tuple[str, ...]:
    states = [record.get(name, "open") for name in exercises_of(lesson)]
    title = f"{lesson} {texts(f'lesson_{lesson}')['title']}"
    return (title, *(str(states.count(state)) for state in (RIGHT, TRIED, "open")))


def _store(record: dict[str, str]) -> str:
    path = location()
    if path is None:
        _session.clear()
        _session.update(record)
        return ""
    # Written beside and moved over it: an interrupted kernel leaves the old file whole.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as problem:
        with suppress(OSError):
            draft.unlink()
        return common("unwritable", path=str(path), problem=problem.strerror or str(problem))
    return ""
