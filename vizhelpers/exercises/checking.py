"""Check an answer, show a hint or a quiz question: `check`, `hint`, `quiz`."""

from vizhelpers.exercises.authoring import Exercise, WrongKindError
from vizhelpers.exercises.cards import Card
from vizhelpers.exercises.catalogue import common, describe, fill
from vizhelpers.exercises.progress_file import remember
from vizhelpers.exercises.registry import find


def check(exercise_id: str, answer: object) -> Card:
    """Check an answer at once. Make it the last line of its cell, or `print` it.

    Args:
        exercise_id: Which exercise, such as `"01.mend"`.
        answer: The answer. `...`, None and an empty text mean "not answered yet".

    Returns:
        A card that says whether the answer is right, and why; true only if it is.

    Raises:
        TypeError: If the id is not a text.
        ValueError: If there is no such exercise.
    """
    exercise = find(exercise_id)
    if _is_open(answer):
        return _open_card(exercise)
    kind, said = _judge(exercise, answer)
    notice = remember(exercise.id, is_right=kind == "right")
    lines = [said, notice, _offer(exercise) if kind == "wrong" else ""]
    return Card(kind, common("titles", kind), exercise.id, tuple(filter(None, lines)))


def quiz(exercise_id: str, choice: object = ...) -> Card:
    """Show a quiz question, or check a choice: `quiz("01.q1")`, then `quiz("01.q1", "b")`.

    The rest is as for `check`.
    """
    return check(exercise_id, choice)


def hint(exercise_id: str, number: int = 1) -> Card:
    """Show a hint. Each is more concrete than the one before; the last says where to look.

    Args:
        exercise_id: Which exercise, such as `"01.mend"`.
        number: Which hint, from 1.

    Raises:
        TypeError: If the id is not a text, or the number not an int.
        ValueError: If there is no such exercise, or the number is below 1.
    """
    exercise = find(exercise_id)
    if not isinstance(number, int):
        raise TypeError(f"A hint has a number, such as 1; this is a {type(number).__name__}.")
    if number < 1:
        raise ValueError(f"Hints are counted from 1; there is no hint {number}.")
    hints: list[str] = exercise.texts.get("hints", [])
    if number > len(hints):
        title, said = common("titles", "solution"), common("solution", lesson=exercise.lesson)
        return Card("hint", title, exercise.id, (said,))
    title = common("titles", "hint", number=number, total=len(hints))
    further = common("next_hint", id=exercise.id, number=number + 1)
    return Card("hint", title, exercise.id, (fill(hints[number - 1], {}), further))


def _is_open(answer: object) -> bool:
    if isinstance(answer, list | tuple) and answer:
        return all(part is ... for part in answer)
    return answer is ... or answer is None or (isinstance(answer, str) and not answer.strip())


def _judge(exercise: Exercise, answer: object) -> tuple[str, str]:
    """The card's kind and its main text."""
    given = {"given": describe(answer), "type": type(answer).__name__}
    try:
        outcome = exercise.checker(answer)
    except WrongKindError as problem:
        kind = common("kinds", problem.kind, **problem.values)
        return "wrong", common("wrong_kind", kind=kind, **given)
    except Exception as problem:  # an answer can be any object, and fail at any use
        message = f"{type(problem).__name__}: {problem}".splitlines()[0][:200]
        return "wrong", common("unusable", problem=message, **given)
    said = exercise.texts["right"] if outcome.is_right else exercise.texts["wrong"][outcome.key]
    return "right" if outcome.is_right else "wrong", fill(said, {**given, **outcome.values})


def _open_card(exercise: Exercise) -> Card:
    lines = [fill(exercise.texts["question"], {})]
    for letter, choice in exercise.texts.get("choices", {}).items():
        lines.append(f"{letter}) {fill(choice, {})}")
    how = "how_to_choose" if "choices" in exercise.texts else "how_to_ask"
    lines.append(common(how, id=exercise.id))
    return Card("open", common("titles", "open"), exercise.id, tuple(lines))


def _offer(exercise: Exercise) -> str:
    return common("how_to_ask", id=exercise.id) if "hints" in exercise.texts else ""
