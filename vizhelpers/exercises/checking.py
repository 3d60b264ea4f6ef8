"""Check an answer, show a hint or a quiz question: `check`, `hint`, `quiz`."""

from collections.abc import Sequence
from dataclasses import replace

from vizhelpers.exercises.authoring import Asked, Exercise, WrongKindError
from vizhelpers.exercises.cards import Card
from vizhelpers.exercises.catalogue import common, describe, fill
from vizhelpers.exercises.live import LiveCard
from vizhelpers.exercises.progress_file import remember
from vizhelpers.exercises.registry import find


def check(exercise_id: str, answer: object) -> Card | LiveCard:
    """Check an answer to an exercise at once: right or wrong, why, and hints to open.

    Make it the last line of its cell, or `print` it.

    Args:
        exercise_id: Which exercise, such as `"01.mend"`.
        answer: The answer. `...`, None and an empty text mean "not answered yet".

    Returns:
        A card that says whether the answer is right, and why; true only if it is.

    Raises:
        TypeError: If the id is not a text.
        ValueError: If there is no such exercise.

    Example:
        >>> card = vh.check("01.parameters", 73_728)
        >>> bool(card)
        False
    """
    exercise = find(exercise_id)
    if exercise.choices:
        return LiveCard(lambda choice: _card(exercise, choice), answer)
    return _card(exercise, answer)


def quiz(exercise_id: str, choice: object = ...) -> Card | LiveCard:
    """Show a quiz question with a button for each answer, or check a letter.

    In a notebook, click on an answer, or move to it with Tab and press Enter. A script gives the
    letter.

    Args:
        exercise_id: Which question, such as `"01.q1"`.
        choice: A letter; `...` asks the question.

    Returns:
        A card that says whether the choice is right, and why; true only if it is.

    Raises:
        TypeError: If the id is not a text.
        ValueError: If there is no such question.

    Example:
        >>> bool(vh.quiz("01.q1", "b"))
        True
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

    Example:
        >>> vh.hint("01.mend", 3).title
        'Hint 3 of 3'
    """
    exercise = find(exercise_id)
    if not isinstance(number, int):
        raise TypeError(f"A hint has a number, such as 1; this is a {type(number).__name__}.")
    if number < 1:
        raise ValueError(f"Hints are counted from 1; there is no hint {number}.")
    hints = _hints(exercise)
    title, said = hints[min(number, len(hints)) - 1]
    more = common("next_hint", id=exercise.id, number=number + 1) if number < len(hints) else ""
    return Card("hint", title, exercise.id, lines=tuple(filter(None, (said, more))))


def is_open(answer: object) -> bool:
    """Whether an answer means "not answered yet"."""
    if isinstance(answer, list | tuple) and answer:
        return all(part is ... for part in answer)
    return answer is ... or answer is None or (isinstance(answer, str) and not answer.strip())


def letter_of(asked: Asked, answer: object) -> str:
    """The letter of an answer; empty where it is none of them."""
    try:
        return asked.letter(answer)
    except WrongKindError:
        return ""


def refusal(problem: WrongKindError, answer: object) -> str:
    """What is said of an answer that is not the kind of thing that was asked for."""
    kind = common("kinds", problem.kind, **problem.values)
    return common("wrong_kind", kind=kind, **named(answer))


def named(answer: object) -> dict[str, object]:
    """An answer, and its type, in short: values for texts."""
    return {"given": describe(answer), "type": type(answer).__name__}


def failure(problem: Exception) -> str:
    """An error in one short line."""
    return f"{type(problem).__name__}: {problem}".splitlines()[0][:200]


def _card(exercise: Exercise, answer: object) -> Card:
    """The card for an answer. Of a quiz question it shows what is asked as well."""
    kind, said, notice = "open", "", ""
    hints: tuple[str, ...] = ()
    if not is_open(answer):
        kind, said, hints = _judge(exercise, answer)
        notice = remember(exercise.id, is_right=kind == "right")
    lines = tuple(filter(None, (said, notice)))
    card = Card(kind, common("titles", kind), exercise.id, lines=lines)
    if kind == "open" or exercise.choices:
        card = replace(card, question=fill(exercise.text("question"), {}))
    if exercise.choices:
        typed = common("how_to_choose", id=exercise.id) if kind == "open" else ""
        choices, chosen = tuple(exercise.choices.items()), letter_of(exercise, answer)
        mark = common("your_choice")
        return replace(card, choices=choices, chosen=chosen, mark=mark, typed=typed)
    if kind == "right":
        return card
    typed = common("how_to_ask", id=exercise.id)
    return replace(card, hints=_hints(exercise, hints), typed=typed)


def _judge(exercise: Exercise, answer: object) -> tuple[str, str, tuple[str, ...]]:
    """The card's kind, its main text, and hints for this answer, if there are any."""
    try:
        outcome = exercise.checker(answer)
    except WrongKindError as problem:
        return "wrong", refusal(problem, answer), ()
    except Exception as problem:  # an answer can be any object, and fail at any use
        return "wrong", common("unusable", problem=failure(problem), **named(answer)), ()
    keys = ("right",) if outcome.is_right else ("wrong", outcome.key)
    kind = "right" if outcome.is_right else "wrong"
    return kind, fill(exercise.text(*keys), {**named(answer), **outcome.values}), outcome.hints


def _hints(exercise: Exercise, own: tuple[str, ...] = ()) -> tuple[tuple[str, str], ...]:
    """Name and text of each hint, and where the solution is."""
    texts: Sequence[str] = own or exercise.texts.get("hints", [])
    names = [
        common("titles", "hint", number=number, total=len(texts))
        for number in range(1, len(texts) + 1)
    ]
    solution = common("titles", "solution"), common("solution", lesson=exercise.lesson)
    return (*zip(names, (fill(text, {}) for text in texts), strict=True), solution)
