"""Predict a result before it is seen, then compare: `predict`."""

from collections.abc import Callable
from weakref import WeakSet

from vizhelpers.exercises.authoring import Prediction, WrongKindError
from vizhelpers.exercises.cards import Card
from vizhelpers.exercises.catalogue import common, fill
from vizhelpers.exercises.checking import failure, is_open, named, refusal
from vizhelpers.exercises.live import LiveCard
from vizhelpers.exercises.progress_file import predicted, remember_prediction
from vizhelpers.exercises.registry import find_prediction

# The cards of each prediction: a click on one may change what the others say.
_cards: dict[str, "WeakSet[LiveCard]"] = {}


def predict(prediction_id: str, choice: object = ..., *, found: object = ...) -> LiveCard:
    """Say what you expect before you see a result; afterwards, compare it with what was found.

    `predict("03.p1")` asks, with a button for each choice; a script gives the letter,
    `predict("03.p1", "b")`. What was chosen is kept, and can be changed until it is compared:
    `predict("03.p1", found=value)` says what was predicted, what it is, and why. It never counts
    against anybody.

    Args:
        prediction_id: Which prediction, such as `"03.p1"`.
        choice: A letter; `...` asks, or leaves what was said before.
        found: The result to compare with; `...` while there is none.

    Returns:
        A card that the notebook shows when this call is the cell's last line.

    Raises:
        TypeError: If the id is not a text.
        ValueError: If there is no such prediction.

    Example:
        >>> vh.predict("03.p2", "b").card.chosen
        'b'
        >>> vh.predict("03.p2", found=3)
        → What you expected, and what it is
          You said b) ...
    """
    prediction = find_prediction(prediction_id)
    draw = _asking(prediction) if found is ... else _comparing(prediction, found)
    card = LiveCard(draw, choice)
    _cards.setdefault(prediction.id, WeakSet()).add(card)
    return card


def _asking(prediction: Prediction) -> Callable[[object], Card]:
    """What the card says that asks for a prediction, by what is chosen."""

    def draw(choice: object) -> Card:
        said = _say(prediction, choice)
        letter, verdict = predicted(prediction.id)
        title = common("titles", "predicted", letter=letter) if letter else ""
        state = "is_compared" if verdict else "may_change" if letter else "no_judgement"
        return Card(
            "prediction",
            title or common("titles", "predict"),
            prediction.id,
            question=fill(prediction.text("question"), {}),
            choices=tuple(prediction.choices.items()),
            chosen=letter,
            mark=common("your_choice"),
            fixed=bool(verdict),
            lines=tuple(filter(None, (said, common(state)))),
            typed="" if verdict else common("how_to_predict", id=prediction.id),
        )

    return draw


def _comparing(prediction: Prediction, found: object) -> Callable[[object], Card]:
    """What the card says that compares a prediction with the result."""
    right, why = _outcome(prediction, found)

    def draw(choice: object) -> Card:
        notice = _say(prediction, choice)
        letter, verdict = predicted(prediction.id)
        if letter and right and not verdict:  # the first comparison counts
            verdict = "right" if letter == right else "wrong"
            notice = _write(prediction, letter, verdict) or notice
        # No id: its digits would stand in the first line, which shows while the result is folded.
        title, said = common("titles", "compared"), _both(prediction, letter, right)
        return Card("prediction", title, lines=tuple(filter(None, (*said, why, notice))))

    return draw


def _both(prediction: Prediction, letter: str, right: str) -> list[str]:
    """What was said, and what is; one of them may be missing."""

    def line(key: str, letter: str) -> str:
        return common(key, letter=letter, choice=prediction.choices[letter])

    said = line("you_said", letter) if letter else common("you_said_nothing")
    if not right:
        return [said]
    return [said, common("so_it_is") if letter == right else line("it_is", right)]


def _outcome(prediction: Prediction, found: object) -> tuple[str, str]:
    """The letter that is right, and why; no letter where the result cannot be judged."""
    try:
        judged = prediction.judge(found)
    except WrongKindError as problem:
        return "", refusal(problem, found)
    except Exception as problem:  # a learner may have changed what is found
        return "", common("not_comparable", problem=failure(problem), **named(found))
    right, values = prediction.outcome(judged)
    return right, fill(prediction.text("why"), {"found": found, **values})


def _say(prediction: Prediction, choice: object) -> str:
    """Write down a choice, unless it is too late; what there is to say about that."""
    if is_open(choice):
        return ""
    try:
        letter = prediction.letter(choice)
    except WrongKindError as problem:
        return refusal(problem, choice)
    if predicted(prediction.id)[1]:
        return ""
    return _write(prediction, letter)


def _write(prediction: Prediction, letter: str, verdict: str = "") -> str:
    """Write down what was predicted, and have each card of the prediction say so."""
    notice = remember_prediction(prediction.id, letter, verdict)
    for card in list(_cards.get(prediction.id, ())):
        card.choose()
    return notice
