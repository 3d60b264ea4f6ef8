"""``python -m vizhelpers report``: what a learner has answered, to hand in.

Nothing in it says who, where or when: it is made of the ids of exercises and of what became of
them, and of nothing else.
"""

import json
from typing import Any

from vizhelpers.exercises.catalogue import texts
from vizhelpers.exercises.progress_file import PREDICTED, load
from vizhelpers.exercises.registry import exercises_of, lessons, predictions_of


def report() -> dict[str, Any]:
    """Sum up a learner's progress, lesson by lesson.

    Returns:
        For each lesson its title, its exercises, each ``"right"``, ``"tried"`` or ``"open"``, and
        its predictions, each with the letter that was chosen and what was found.

    Raises:
        ValueError: The file with the answers is damaged.
    """
    record, notice = load()
    if notice:
        raise ValueError(notice)
    return {
        lesson: {
            "title": texts(f"lesson_{lesson}")["title"],
            "exercises": {name: record.get(name, "open") for name in exercises_of(lesson)},
            "predictions": {
                name: _prediction(record.get(name, "")) for name in predictions_of(lesson)
            },
        }
        for lesson in lessons()
    }


def as_json() -> str:
    """The report as a program reads it, of all learners in the same order."""
    return json.dumps(report(), indent=1, ensure_ascii=False)


def as_text() -> str:
    """The report as a person reads it: a line for each lesson, and what is right or tried."""
    lines = []
    for lesson, facts in report().items():
        answers, made = facts["exercises"], facts["predictions"]
        names = {state: [n for n in answers if answers[n] == state] for state in ("right", "tried")}
        names["predicted"] = [f"{n} ({made[n]['found']})" for n in made if made[n]["chosen"]]
        head = f"{lesson} {facts['title']}"
        lines.append(f"{head:34} {len(names['right'])} of {len(answers)} right")
        lines += [f"   {what}: {', '.join(which)}" for what, which in names.items() if which]
    return "\n".join(lines)


def _prediction(state: str) -> dict[str, str]:
    found = PREDICTED.fullmatch(state)
    if not found:
        return {"chosen": "", "found": ""}
    return {"chosen": found[1], "found": found[2] or "not compared"}
