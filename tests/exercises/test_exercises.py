"""The exercises: every one is fair, and none can break a lesson."""

import inspect
import os
import re
import string
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from support.exercise_answers import TASKS, Net, answers_to
from support.portrait import random_numbers
from torch import nn

from vizhelpers._utils.paths import ROOT
from vizhelpers.exercises import cards, catalogue, check, hint, quiz, registry
from vizhelpers.exercises.registry import exercises_of, find, lessons, predictions_of
from vizhelpers.scenes import draw_scene

EVERY = {name: item for lesson in lessons() for name, item in exercises_of(lesson).items()}


class Hostile:
    """An object that fails at everything."""

    def _fail(self, *args):
        raise RuntimeError("no\nway")

    __eq__ = __len__ = __iter__ = __getattr__ = __float__ = __array__ = __str__ = __repr__ = _fail
    __hash__ = None


WEIRD = [
    0, -1, 10**5000, 0.5, float("nan"), float("inf"), 1j, True, b"b", "text", "x" * 9999, "{given}",
    [], (), [[]], {}, {1}, object(), object, len, lambda: 1, Net, np.zeros((2, 3)), np.float32(2),
    np.array([]), torch.zeros(0), torch.zeros(2, 10), torch.tensor(1), nn.ReLU(), nn.Linear(2, 2),
    nn.Sequential(), nn.LSTM(3, 3), NotImplemented, Exception("boom"), iter([1]), Path("/"),
]  # fmt: skip


# --- every exercise of the course ---------------------------------------------------------------


def test_every_lesson_has_a_title_questions_and_exercises():
    for lesson in lessons():
        assert catalogue.texts(f"lesson_{lesson}")["title"]
        choices = ["choices" in item.texts for item in exercises_of(lesson).values()]
        assert min(choices.count(True), choices.count(False)) >= 3
    assert set(TASKS) == {name for name, item in EVERY.items() if not item.choices}
    for lesson in lessons():  # each question with choices is of the quiz, or a prediction
        asked = {
            name for name, said in catalogue.texts(f"lesson_{lesson}").items() if "choices" in said
        }
        known = exercises_of(lesson) | predictions_of(lesson)
        assert asked == {name[3:] for name, item in known.items() if item.choices}


def shown(text: str, card: str) -> bool:
    """Whether a card says this text, whatever stands in the places of its placeholders."""
    return all(piece in card for piece in re.split(r"\{\w+\}", text.replace("{{", "{")))


def names_number(text: str, number: float) -> bool:
    """Whether a text gives that number away, written as cards write it."""
    return bool(
        re.search(rf"(?<![\w.,-]){re.escape(catalogue.describe(number))}(?!\w|[.,]\d)", text)
    )


@pytest.mark.parametrize("name", EVERY)
def test_every_answer_gets_what_it_deserves(name, record):
    said, answers = EVERY[name].texts, answers_to(name)
    for stub in (..., None, "", "  \n", [..., ...]):
        card = check(name, stub)
        assert not card
        assert repr(card).startswith(f"… Not answered yet · {name}\n  {said['question']}\n")
        assert (f'quiz("{name}", ' if "choices" in said else f'hint("{name}")') in repr(card)
    assert not record.exists()
    solutions = [each for each in answers.right if isinstance(each, int | float)]
    assert not any(names_number(said["hints"][0], each) for each in solutions)
    numbers = random_numbers()[1:]  # the first import of grad-cam draws from Python's own
    assert set(answers.wrong) == set(said["wrong"])
    assert len(answers.wrong) >= 2
    for key, wrong in answers.wrong.items():
        for answer in wrong:
            card = check(name, answer)
            assert not card, (key, answer)
            assert repr(card).startswith(f"✗ Not right yet · {name}\n")
            assert shown(said["wrong"][key], repr(card)), (key, repr(card))
            assert "{" not in repr(card).replace("{{", "")
            assert not any(names_number(repr(card), each) for each in solutions)
    for kind, refused in (("This asks for", answers.kind), ("of your own", answers.not_own)):
        for answer in refused:
            assert kind in repr(check(name, answer))
            assert f"`{type(answer).__name__}`" in repr(check(name, answer))
    cards = [check(name, answer) for answer in answers.right]  # last: no wrong one has changed it
    for answer, card in zip(answers.right, cards, strict=True):
        assert card, (answer, repr(card))
        assert repr(card).startswith(f"✓ Right · {name}\n")
        assert shown(said["right"], repr(card))
    assert repr(check(name, answers.right[0])) == repr(cards[0])
    assert random_numbers()[1:] == numbers


@pytest.mark.parametrize("name", EVERY)
def test_weird_answers_are_no_error_and_an_object_that_fails_is_told_so(name, monkeypatch):
    monkeypatch.setenv("VIZHELPERS_PROGRESS", "off")
    for answer in WEIRD:
        said = repr(check(name, answer))
        assert said.startswith("✗")
        assert "could not be checked" not in said, answer
        assert " at 0x" not in said
    assert not check(name, Hostile())


@pytest.mark.parametrize(("lesson", "ready"), [("04", "grad_cam")])
def test_the_lesson_has_the_function_that_is_not_the_learners_own(lesson, ready):
    notebooks = (ROOT / "notebooks").glob(f"{lesson}_*.ipynb")
    assert any(f"def {ready}(model, " in path.read_text(encoding="utf-8") for path in notebooks)


# --- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_the_catalogue_is_complete(name):
    said = EVERY[name].texts
    assert re.fullmatch(r"\d\d\.[a-z][a-z0-9_]*", name)
    assert "\n" not in said["question"].strip()
    assert said["right"].strip()
    if not EVERY[name].choices:
        assert 1 <= len(set(said["hints"])) == len(said["hints"]) <= 3
    else:
        assert set(said["choices"]) == {*said["wrong"], said["answer"]}
        assert len(said["choices"]) >= 3
    for text in (said["question"], *said.get("hints", []), *said.get("choices", {}).values()):
        assert catalogue.fill(text, {})


@pytest.mark.parametrize("lesson", lessons())
def test_a_checker_names_only_keys_that_have_a_text(lesson):
    source = inspect.getsource(import_module(registry._modules()[lesson]))
    said = [part for part in catalogue.texts(f"lesson_{lesson}").values() if "wrong" in part]
    known = {key for part in said for key in part["wrong"]}
    assert set(re.findall(r'wrong\(\s*"(\w+)"', source)) <= known
    assert set(re.findall(r'mistakes\S* = \{.*?"(\w+)".*?\}', source, re.DOTALL)) <= known


def placeholders(value: object) -> object:
    """The same structure with each text replaced by the names between its braces."""
    if isinstance(value, dict):
        return {key: placeholders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [placeholders(part) for part in value]
    return sorted({name for _, name, _, _ in string.Formatter().parse(value) if name})


def unknown_parts(translated: dict, english: dict) -> list[str]:
    """Keys of a translation that English lacks, or whose placeholders differ."""
    found = []
    for key, value in translated.items():
        if isinstance(value, dict) and isinstance(english.get(key), dict):
            found += [f"{key}.{part}" for part in unknown_parts(value, english[key])]
        elif key not in english or placeholders(value) != placeholders(english[key]):
            found.append(key)
    return found


def test_every_language_says_the_same_things():
    for path in catalogue.TEXTS.glob("*/*.toml"):
        english = catalogue._read(catalogue.TEXTS / "en" / path.name)
        assert unknown_parts(catalogue._read(path), english) == [], path
    english = {"a": "{x} and {y}", "b": {"c": "{x}"}, "d": ["{x}"]}
    assert unknown_parts({"a": "{y}, {x}", "b": {"c": "{x}"}, "d": ["{x}"]}, english) == []
    other = {"a": "{x}", "b": {"c": "", "e": ""}, "d": []}
    assert unknown_parts(other, english) == ["a", "b.c", "b.e", "d"]


def test_another_language_is_used_and_falls_back_to_english_text_by_text(tmp_path, monkeypatch):
    (tmp_path / "en").symlink_to(catalogue.TEXTS / "en")
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh" / "lesson_01.toml").write_text(
        '[q1]\nright = "对。"\n[q1.choices]\na = "按执行顺序"\n', encoding="utf-8"
    )
    monkeypatch.setattr(catalogue, "TEXTS", tmp_path)
    monkeypatch.setenv("VIZHELPERS_LANG", "zh")
    assert repr(quiz("01.q1", "b")).startswith("✓ Right · 01.q1\n")
    assert repr(quiz("01.q1", "b")).endswith("\n  对。")
    assert "a) 按执行顺序\n  b) The order in which `__init__`" in repr(quiz("01.q1"))
    monkeypatch.setenv("VIZHELPERS_LANG", "xx")
    assert "a) The order in which a picture" in repr(quiz("01.q1"))


# --- hints, quizzes, ids ------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_each_hint_names_the_next_and_the_last_the_solution(name):
    hints = EVERY[name].texts["hints"]
    for number, text in enumerate(hints, start=1):
        said = repr(hint(name, number))
        assert said.startswith(f"? Hint {number} of {len(hints)} · {name}\n  {text}\n")
        assert f'hint("{name}", {number + 1})' in said
    assert repr(hint(name)) == repr(hint(name, 1))
    assert "notebooks/solutions" in repr(hint(name, len(hints) + 1))
    assert f"begins with {name[:2]}" in repr(hint(name, 99))


def test_a_quiz_question_stays_visible_with_its_choices():
    question = "  In which order does `print(model)` list the layers?\n"
    first = "  a) The order in which a picture goes through them."
    others = "\n  b) The order in which `__init__` declares them.\n  c) The order of their names.\n"
    how = '  Answer with a letter: `quiz("01.q1", "a")`'
    assert repr(quiz("01.q1")) == f"… Not answered yet · 01.q1\n{question}{first}{others}{how}"
    answered = repr(quiz("01.q1", "a"))
    chosen = f"{question}{first}  ← your choice{others}"
    assert answered.startswith(f"✗ Not right yet · 01.q1\n{chosen}")
    assert "hint(" not in answered
    assert "<b>← your choice</b>" in quiz("01.q1", "a")._repr_html_()
    assert "one of the letters a, b, c. You gave 'z'" in repr(quiz("06.q1", "z"))
    assert "one of the letters a, b, c, in quotes. You gave Net" in repr(quiz("06.q1", Net))


@pytest.mark.parametrize("call", [lambda name: check(name, 1), hint, quiz])
@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("01.paramters", r'"01.parameters"'),
        ("1.mend", r'"01.mend"'),
        ("01.zzz", r".*01\.q3"),
        ("../..", r".*01\.mend"),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest(call, wrong, nearest):
    with pytest.raises(ValueError, match=rf'no exercise "{wrong}". Nearest: {nearest}'):
        call(wrong)
    with pytest.raises(TypeError, match="in quotes"):
        call(1)


def test_hints_are_counted_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        hint("01.mend", 0)
    with pytest.raises(TypeError, match="this is a str"):
        hint("01.mend", "2")


# --- what a learner's network or function is told ------------------------------------------------


def test_mending_leaves_the_learners_network_as_it_was():
    model = Net(nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(32 * 32 * 32, 10)))
    model.features[6] = nn.BatchNorm2d(32)
    model.features[0].eval()
    modes = []
    model.features[3].register_forward_hook(lambda module, *_: modes.append(module.training))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert check("01.mend", model)
    assert modes == [False]
    assert model.training and not model.features[0].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def refuses(*_args):
    raise AssertionError


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("00.swap", draw_scene(None, "snow", seed=7), "this scene is nothing"),
        ("01.mend", Net(nn.Linear(8192, 10)), "hands on 32,768 numbers .*, and .* takes 8,192"),
        (
            "03.mend",
            refuses,
            "stopped with an error in the line `raise AssertionError` when .*: As",
        ),
        ("06.best", lambda *_: 2, "not its step"),
    ],
)
def test_a_card_names_what_was_found(name, answer, said):
    assert re.search(said, repr(check(name, answer)))


def test_what_a_function_leaves_behind_is_said_in_words():
    def careless(model, image, target):
        found = answers_to("05.mend").right[0](model, image, target)
        model.train().features[0].register_forward_hook(lambda *_: None)
        return found

    assert "as it was: hooks, the mode, `train()` or `eval()`." in repr(check("05.mend", careless))


def test_a_typed_in_step_is_no_function_and_its_first_mistake_gives_nothing_away():
    assert "20" not in repr(check("06.best", lambda *_: 2))
    assert not check("06.best", lambda *_: 20)


# --- what is shown ------------------------------------------------------------------------------


def test_the_card_says_in_words_what_it_says_in_colour():
    html = check("01.parameters", 73_728)._repr_html_()
    assert "✗</span> <b>Not right yet</b> <code>01.parameters</code>" in html
    assert "73,728 is all the kernels" in html


def luminance(rgb):
    """As the rules for readable pages (WCAG) define it."""
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]  # none of ours is almost black
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("rgb", [*cards.COLOURS.values(), cards.OTHERS])
def test_the_symbol_is_readable_and_its_colour_is_told_from_the_page(rgb):
    colour = luminance(int(part) for part in rgb.split(","))
    assert 1.05 / (colour + 0.05) >= 4.5  # white on it
    assert (colour + 0.05) / (luminance((17, 17, 17)) + 0.05) >= 3  # it, on a dark page


@pytest.mark.parametrize("answer", [..., 1])
def test_hints_wait_inside_the_card_each_inside_the_one_before(answer):
    html = check("01.parameters", answer)._repr_html_()
    folds = re.split(r"<details[^>]*><summary[^>]*>(.*?)</summary>", html)
    assert folds[1::2] == ["Hint 1 of 3", "Hint 2 of 3", "Hint 3 of 3", "Solution"]
    assert html.endswith("</details>" * 4 + "</div>")
    assert (
        "<details" not in check("01.parameters", answers_to("01.parameters").right[0])._repr_html_()
    )


def test_an_answer_is_shown_as_text_and_never_run_as_html():
    html = check("01.mult_adds", "<script>alert(1)</script> {question}")._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {question}" in html


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (73856, "73,856"), (73856.0, "73,856"), (0.1234567, "0.123"), (0.5, "0.5"),
        (1e-5, "1e-05"), (-1234.5, "-1,234.5"), (10**400, "int"), (float("nan"), "nan"),
        ("cat", "'cat'"), ("x" * 99, repr("x" * 59 + "…")), (True, "True"), (None, "None"),
        ([1, 2.5, "a"], "[1, 2.5, 'a']"), (tuple(range(9)), "(0, 1, 2, 3, 4, …)"),
        ([[1], object()], "[list, object]"), (torch.zeros(2, 10), "Tensor [2, 10]"),
        (np.zeros(3), "ndarray [3]"), (np.int64(5), "5"), (nn.ReLU(), "ReLU"), (Net, "Net"),
        (len, "len"), (torch.tensor(2519.5), "2,519.5"), (np.array(True), "True"),
    ],
)  # fmt: skip
def test_any_object_has_a_short_name(value, said):
    assert catalogue.describe(value) == said
    assert catalogue.describe(Hostile()) == "Hostile"


# --- errors in a checker ------------------------------------------------------------------------


def test_one_function_and_its_texts_are_a_new_exercise_whose_errors_learners_survive(invent):
    invent(
        "from vizhelpers.exercises.authoring import exercise, right\n"
        "@exercise('99.broken')\ndef broken(answer):\n    return right(value=answer.upper())\n",
        '[broken]\nquestion = "?"\nright = "{value}"\nhints = ["one"]\n',
    )
    assert repr(check("99.broken", "yes")) == "✓ Right · 99.broken\n  YES"
    said = repr(check("99.broken", [1]))
    assert "`AttributeError: 'list' object has no attribute 'upper'`" in said
    assert "You gave [1], which Python calls `list`" in said
    assert "`RuntimeError: no`. You gave Hostile, which" in repr(check("99.broken", Hostile()))
    with pytest.raises(AttributeError):  # for whoever tests it
        find("99.broken").checker([1])


def test_questions_and_hints_do_not_wait_for_torch():
    code = (
        "import sys; from vizhelpers import check, hint, progress, quiz; "
        "hint('01.mend'); check('00.swap', ...); quiz('01.q1', 'b'); progress(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'PIL', 'IPython')))"
    )
    environment = {**os.environ, "VIZHELPERS_PROGRESS": "off"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=ROOT)
