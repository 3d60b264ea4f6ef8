"""Cards in a real JupyterLab: what a click, Tab and Enter do to a quiz question and a prediction.

The record of progress is the kernel's own: `VIZHELPERS_PROGRESS` is off there.
"""

import nbformat
import pytest
from playwright.sync_api import Locator, Page, expect
from support.lab import Lab, ask, run
from support.picker_page import cell_of

INVENTED = """
from importlib import import_module
from vizhelpers.exercises import catalogue, check, predict, progress_file, quiz, registry
from vizhelpers.exercises.authoring import prediction
module = import_module(registry._modules()["01"])
texts = catalogue._read(catalogue.TEXTS / "en" / "lesson_01.toml")
for name in ("before", "after"):
    setattr(module, name, prediction(f"01.{name}")(lambda found: "b" if found else "a"))
    choices = {"a": "First", "b": "`Second`"}
    texts[name] = {"question": "Which?", "choices": choices, "why": "It was {found}."}
"""
CELLS = [
    INVENTED,
    'quiz("01.q1")',
    'predict("01.before")',
    'predict("01.before", found=True)',
    'predict("01.after")',
    'predict("01.after", found=True)',
    'check("01.parameters", 1)',
]
QUIZ, BEFORE, COMPARED_BEFORE, AFTER, COMPARED_AFTER, CHECK = range(1, 7)


@pytest.fixture(scope="module")
def cards(page: Page, lab: Lab) -> Page:
    lab.open(page, [nbformat.v4.new_code_cell(source.strip()) for source in CELLS])
    run(page, 0, QUIZ, BEFORE, AFTER, COMPARED_AFTER, CHECK)
    return page


def card(page: Page, cell: int) -> Locator:
    return cell_of(page, cell).locator(".jp-OutputArea-output")


def record(page: Page, name: str) -> str:
    return ask(page, f"print(progress_file.load()[0].get({name!r}))")


def test_a_quiz_by_mouse_then_by_keyboard(cards: Page) -> None:
    quiz = card(cards, QUIZ)
    wrong, right, other = quiz.get_by_role("button").all()
    expect(quiz).to_contain_text("Not answered yet")
    wrong.click()
    expect(quiz).to_contain_text("Not right yet")
    expect(wrong).to_have_text("a) The order in which a picture goes through them. ← your choice")
    assert record(cards, "01.q1") == "tried"
    cards.keyboard.press("Tab")
    expect(right).to_be_focused()
    cards.keyboard.press("Enter")
    expect(quiz).to_contain_text("✓ Right 01.q1")
    expect(right).to_have_attribute("aria-pressed", "true")
    expect(wrong).to_have_attribute("aria-pressed", "false")
    expect(right).to_be_focused()
    assert record(cards, "01.q1") == "right"
    cards.keyboard.press("Tab")
    for key in ("ArrowDown", "b", "Space"):  # in Jupyter: the next cell, a new cell, scroll on
        cards.keyboard.press(key)
    expect(other).to_contain_text("your choice")
    expect(quiz).to_contain_text("Not right yet")
    for text in ("In which order does print(model) list", "a) The order", "c) The order of"):
        expect(quiz).to_contain_text(text)
    content = "(({ activeCellIndex, mode }) => [activeCellIndex, mode])(window.jupyterapp.shell"
    place = cards.evaluate(f"{content}.currentWidget.content)")
    assert place == [QUIZ, "command"], "the keys went to the notebook"


def test_a_prediction_can_be_changed_until_it_is_compared(cards: Page) -> None:
    asked = card(cards, BEFORE)
    first, second = asked.get_by_role("button").all()
    second.click()
    expect(asked).to_contain_text("You expect b")
    assert record(cards, "01.before") == "b"
    first.focus()
    cards.keyboard.press("Enter")
    expect(asked).to_contain_text("You expect a")
    run(cards, COMPARED_BEFORE)
    compared = card(cards, COMPARED_BEFORE)
    for line in ("You said a) First", "It is b) Second", "It was True."):
        expect(compared.get_by_text(line)).to_be_visible()
    expect(first).to_be_disabled()
    expect(second).to_be_disabled()
    assert record(cards, "01.before") == "a wrong"


def test_who_runs_all_cells_first_can_still_predict(cards: Page) -> None:
    compared = card(cards, COMPARED_AFTER)
    expect(compared.get_by_text("You did not say anything before.")).to_be_visible()
    expect(compared.get_by_text("It is b) Second")).to_be_visible()
    card(cards, AFTER).get_by_role("button", name="b)").click()
    for line in ("You said b) Second", "And so it is.", "It was True."):
        expect(compared.get_by_text(line)).to_be_visible()
    assert record(cards, "01.after") == "b right"


def test_hints_open_one_after_the_other(cards: Page) -> None:
    hints = card(cards, CHECK).locator("summary")
    expect(hints.nth(0)).to_have_text("Hint 1 of 3")
    expect(hints.nth(1)).to_be_hidden()
    hints.nth(0).click()
    hints.nth(1).press("Enter")
    expect(hints.nth(2)).to_be_visible()
