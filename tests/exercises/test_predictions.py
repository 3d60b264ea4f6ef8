"""Predictions: remembered, changed, compared, and never counted against anybody."""

import json
from collections.abc import Callable

import pytest

from vizhelpers.exercises import check, hint, predict, progress, progress_file, quiz
from vizhelpers.exercises.registry import lessons, predictions_of

EVERY = {name: item for lesson in lessons() for name, item in predictions_of(lesson).items()}
CODE = """
from vizhelpers.exercises.authoring import number, prediction

@prediction("99.p1")
def first(found: object) -> tuple[str, dict[str, object]]:
    return ("b" if number(found) > 1 else "a"), {"half": found / 2}

@prediction("99.silent")
def silent(found: object) -> str:
    return "d"

@prediction("99.textless")
def textless(found: object) -> str:
    return "a"
"""
TEXTS = """
title = "invented"
[p1]
question = "How many?"
choices = {a = "One.", b = "More `than` one."}
why = "Found {found}, half of it {half}."
[silent]
question = "?"
choices = {a = "Yes.", b = "No."}
[unfinished]
question = "?"
choices = {a = "Yes.", b = "No."}
"""


@pytest.fixture(autouse=True)
def lesson(invent: Callable[[str, str], None]) -> None:
    invent(CODE, TEXTS)


def no_space(*_args: object) -> None:
    raise OSError(28, "No space left on device")


def lines(card: object) -> list[str]:
    return [line.strip() for line in repr(card).splitlines()]


@pytest.mark.parametrize("name", EVERY)
def test_every_prediction_has_its_texts(name: str) -> None:
    said = EVERY[name].texts
    assert len(said["choices"]) >= 2
    assert "answer" not in said
    assert "\n" not in said["question"].strip()
    assert said["why"].strip()


def test_the_open_card_shows_what_is_asked() -> None:
    assert lines(predict("99.p1"))[:4] == [
        "→ What do you expect? · 99.p1", "How many?", "a) One.", "b) More `than` one."
    ]  # fmt: skip
    assert lines(predict("99.p1"))[-1] == 'Answer with a letter: `predict("99.p1", "a")`'
    assert "<code>than</code>" in predict("99.p1")._repr_html_()


@pytest.mark.parametrize("kept", ["in a file", "off", "in a damaged file", "in none"])
def test_what_was_said_is_kept_can_be_changed_and_is_fixed_once_compared(kept, record, monkeypatch):
    if kept == "off":
        monkeypatch.setenv("VIZHELPERS_PROGRESS", "off")
    elif kept == "in a damaged file":
        record.write_text("{")
    elif kept == "in none":
        monkeypatch.setattr(progress_file, "_write", no_space)
    predict("99.p1", "a")
    assert "a) One.  ← your choice" in lines(predict("99.p1"))
    predict("99.p1", " B) ")
    assert "→ You expect b · 99.p1" in lines(predict("99.p1"))
    card = predict("99.p1", found=1)
    assert not card
    assert lines(card)[:4] == [
        "→ What you expected, and what it is",  # no digit: it may be seen while it is folded
        "You said b) More `than` one.",
        "It is a) One.",
        "Found 1, half of it 0.5.",
    ]
    assert "→ You expect b · 99.p1" in lines(predict("99.p1", "a"))
    assert "And so it is." in lines(predict("99.p1", "a", found=3))
    if kept == "in a file":
        assert json.loads(record.read_text()) == {"99.p1": "b wrong"}  # the first time
    progress(reset=True)
    assert "You did not say anything before." in lines(predict("99.p1", found=1))
    assert "You said b) More `than` one." in lines(predict("99.p1", "b", found=1))


def test_a_comparison_that_is_shown_already_hears_of_a_click() -> None:
    asked, compared = predict("99.p1"), predict("99.p1", found=2)
    assert "You did not say anything before." in lines(compared)
    asked.choose("a")
    assert lines(compared)[1:3] == ["You said a) One.", "It is b) More `than` one."]
    asked.choose("b")
    assert "You said a) One." in lines(compared), "it was compared"
    assert asked.card.fixed


def test_predictions_stand_apart_in_progress() -> None:
    assert lines(progress("99"))[2:] == [
        "99 invented        0        0       0", "Predictions: 0 of 3 made, 0 right."
    ]  # fmt: skip
    predict("99.p1", "b", found=2)
    predict("99.silent", "a")
    assert lines(progress("99"))[-1] == "Predictions: 2 of 3 made, 1 right."


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: predict("99.p1", "z"), "one of the letters a, b. You gave 'z'"),
        (lambda: predict("99.p1", 1), "one of the letters a, b, in quotes. You gave 1"),
        (lambda: predict("99.p1", "a", found="x"), "This asks for a number. You gave 'x'"),
        (lambda: predict("99.p1", found=None), "This asks for a number. You gave None"),
        (lambda: predict("99.p1", found=True), "number"),
    ],
)
def test_a_learners_mistake_is_no_error(call, said) -> None:
    assert said in repr(call())


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: predict(1), TypeError, "prediction's id in quotes"),
        (lambda: predict("99.p"), ValueError, 'no prediction "99.p". Nearest: "99.p1"'),
        (lambda: predict("01.q1"), ValueError, r'an exercise, no prediction: `check\("01.q1"'),
        (lambda: check("99.p1", "a"), ValueError, r'is a prediction: `predict\("99.p1"\)`'),
        (lambda: hint("99.p1"), ValueError, "is a prediction"),
        (
            lambda: predict("99.silent", found=1),
            ValueError,
            r"\(\"99.silent\"\) returned 'd'; its choices",
        ),
        (lambda: predict("99.textless"), LookupError, r"lesson_99.toml lacks a part \[textless\]"),
        (lambda: quiz("99.unfinished"), ValueError, "neither an `answer` there.* nor a function"),
        (lambda: predict("99.unfinished"), ValueError, "not finished"),
    ],
)
def test_other_mistakes_are_errors_that_say_what_is_missing(call, error, said) -> None:
    with pytest.raises(error, match=said):
        call()
