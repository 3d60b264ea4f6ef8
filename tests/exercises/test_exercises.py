"""The exercises: every one is fair, and none can break a lesson."""

import ast
import contextlib
import inspect
import json
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
from support.exercise_answers import ANSWERS, Net
from torch import nn

import vizhelpers.lessons as lesson_code
from vizhelpers._utils import paths
from vizhelpers._utils.paths import ROOT
from vizhelpers.exercises import catalogue, check, hint, progress, quiz, registry
from vizhelpers.exercises.authoring import WrongKindError
from vizhelpers.exercises.registry import exercises_of, find, lessons
from vizhelpers.scenes import draw_scene

EVERY = {name: item for lesson in lessons() for name, item in exercises_of(lesson).items()}
QUIZZES = [name for name, item in EVERY.items() if "choices" in item.texts]
TASKS = [name for name in EVERY if name not in QUIZZES]


@pytest.fixture(autouse=True)
def record(tmp_path, monkeypatch):
    """A record of its own for every test, and English."""
    path = tmp_path / "progress.json"
    monkeypatch.setenv("VIZHELPERS_PROGRESS", str(path))
    monkeypatch.delenv("VIZHELPERS_LANG", raising=False)
    return path


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


def test_every_exercise_has_answers_to_be_tested_with():
    assert set(ANSWERS) == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_an_exercise_lives_where_its_id_says(name):
    item = EVERY[name]
    assert re.fullmatch(r"\d\d\.[a-z][a-z0-9_]*", name)
    assert item.checker.__module__.startswith(
        (f"vizhelpers.lessons.lesson_{item.lesson}", "vizhelpers.exercises.authoring")
    )


@pytest.mark.parametrize("stub", [..., None, "", "  \n", [..., ...]])
@pytest.mark.parametrize("name", EVERY)
def test_a_stub_is_not_answered_yet(name, stub, record):
    card = check(name, stub)
    assert not card
    assert repr(card).startswith(f"… Not answered yet · {name}\n")
    assert EVERY[name].texts["question"] in repr(card)
    assert (f'quiz("{name}", ' if name in QUIZZES else f'hint("{name}")') in repr(card)
    assert not record.exists()


@pytest.mark.parametrize("name", EVERY)
def test_right_answers_pass_and_are_told_why(name):
    for answer in ANSWERS[name]().right:
        assert EVERY[name].checker(answer).is_right  # the bare checker: its errors show here
        card = check(name, answer)
        assert card
        assert repr(card).startswith(f"✓ Right · {name}\n")
        assert "{" not in repr(card)


@pytest.mark.parametrize("name", EVERY)
def test_wrong_answers_are_told_what_is_wrong(name):
    for key, answer in ANSWERS[name]().wrong:
        outcome = EVERY[name].checker(answer)
        assert (outcome.is_right, outcome.key) == (False, key), answer
        card = check(name, answer)
        assert not card
        assert repr(card).startswith(f"✗ Not right yet · {name}\n")
        text = re.split(r"\{\w+\}", EVERY[name].texts["wrong"][key])
        assert all(piece in repr(card) for piece in text)
        assert "{" not in repr(card)


@pytest.mark.parametrize("name", EVERY)
def test_every_wrong_text_is_reached_by_an_answer(name):
    reached = {key for key, _ in ANSWERS[name]().wrong}
    assert reached == set(EVERY[name].texts["wrong"])
    assert len(reached) >= 2


@pytest.mark.parametrize("name", EVERY)
def test_answers_of_the_wrong_kind_are_refused_kindly(name):
    for answer in ANSWERS[name]().kind:
        with pytest.raises(WrongKindError):
            EVERY[name].checker(answer)
        said = repr(check(name, answer))
        assert "This asks for" in said
        assert f"`{type(answer).__name__}`" in said


@pytest.mark.parametrize("name", EVERY)
def test_weird_answers_are_no_error(name):
    for answer in WEIRD:
        with contextlib.suppress(WrongKindError):  # and no other error
            assert not EVERY[name].checker(answer).is_right
        said = repr(check(name, answer))
        assert said.startswith("✗")
        assert " at 0x" not in said
    assert not check(name, Hostile())


@pytest.mark.parametrize("name", EVERY)
def test_checking_again_says_the_same_and_leaves_random_numbers_alone(name):
    answers = ANSWERS[name]()
    every = [..., *answers.right, *(answer for _, answer in answers.wrong)]
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first = [check(name, answer) for answer in every]
    assert (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()) == (
        before[0].tolist(),
        before[1],
    )
    again = [check(name, answer) for answer in every]
    assert list(map(repr, again)) == list(map(repr, first))
    assert [card._repr_html_() for card in again] == [card._repr_html_() for card in first]


# --- texts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_the_catalogue_is_complete(name):
    said = EVERY[name].texts
    assert "\n" not in said["question"].strip()
    assert said["right"].strip()
    if name in TASKS:
        assert 1 <= len(said["hints"]) <= 3
        assert len(set(said["hints"])) == len(said["hints"])
    else:
        assert len(said["choices"]) >= 3
        assert len(said["wrong"]) == len(said["choices"]) - 1
    for text in (said["question"], *said.get("hints", []), *said.get("choices", {}).values()):
        assert catalogue.fill(text, {})


def test_every_lesson_has_a_title_and_three_questions_of_each_kind():
    for lesson in lessons():
        assert catalogue.texts(f"lesson_{lesson}")["title"]
        assert sum(name.startswith(lesson) for name in QUIZZES) == 3
        assert sum(name.startswith(lesson) for name in TASKS) == 3


def keys_in(function: ast.FunctionDef) -> set[str]:
    """The keys that a checker's code names: in `wrong(…)`, or as values of `mistakes`."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "wrong":
            found |= {n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)}
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            found |= {n.value for n in node.value.values if isinstance(n, ast.Constant)}
    return {key for key in found if isinstance(key, str)}


@pytest.mark.parametrize("lesson", lessons())
def test_a_checker_names_only_keys_that_have_a_text(lesson):
    tree = ast.parse(inspect.getsource(import_module(registry._modules()[lesson])))
    known = catalogue.texts(f"lesson_{lesson}")
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and "exercise(" in ast.unparse(node):
            assert keys_in(node) <= set(known[node.name]["wrong"]), node.name


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


@pytest.mark.parametrize("path", sorted(catalogue.TEXTS.glob("*/*.toml")), ids=lambda p: p.stem)
def test_every_language_says_the_same_things(path):
    english = catalogue._read(catalogue.TEXTS / "en" / path.name)
    assert unknown_parts(catalogue._read(path), english) == []


def test_a_translation_with_other_placeholders_is_noticed():
    english = {"a": "{x} and {y}", "b": {"c": "{x}"}, "d": ["{x}"]}
    assert unknown_parts({"a": "{y}, {x}", "b": {"c": "{x}"}, "d": ["{x}"]}, english) == []
    assert unknown_parts({"a": "{x}", "b": {"c": "", "e": ""}, "d": []}, english) == [
        "a", "b.c", "b.e", "d",
    ]  # fmt: skip


def test_another_language_is_used_and_falls_back_to_english_text_by_text(tmp_path, monkeypatch):
    for path in catalogue.TEXTS.glob("en/*.toml"):
        copy = tmp_path / "en" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh" / "lesson_01.toml").write_text(
        '[q1]\nright = "对。"\n[q1.choices]\na = "按执行顺序"\n', encoding="utf-8"
    )
    monkeypatch.setattr(catalogue, "TEXTS", tmp_path)
    monkeypatch.setenv("VIZHELPERS_LANG", "zh")
    assert repr(quiz("01.q1", "b")) == "✓ Right · 01.q1\n  对。"
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


def test_a_quiz_question_shows_its_choices():
    assert repr(quiz("01.q1")) == (
        "… Not answered yet · 01.q1\n"
        "  In which order does `print(model)` list the layers?\n"
        "  a) The order in which a picture goes through them.\n"
        "  b) The order in which `__init__` declares them.\n"
        "  c) The order of their names.\n"
        '  Answer with a letter: `quiz("01.q1", "a")`'
    )
    assert "hint(" not in repr(quiz("01.q1", "a"))


@pytest.mark.parametrize("call", [lambda name: check(name, 1), hint, quiz])
def test_an_unknown_id_is_answered_with_the_nearest(call):
    with pytest.raises(ValueError, match=r'no exercise "01.paramters". Nearest: "01.parameters"'):
        call("01.paramters")
    with pytest.raises(ValueError, match=r'Nearest: "01.mend"'):
        call("1.mend")
    with pytest.raises(ValueError, match=r"Nearest: .*01\.q3"):
        call("01.zzz")
    with pytest.raises(ValueError, match=r"Nearest: .*01\.mend"):
        call("../..")
    with pytest.raises(TypeError, match="in quotes"):
        call(1)


def test_hints_are_counted_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        hint("01.mend", 0)
    with pytest.raises(TypeError, match="this is a str"):
        hint("01.mend", "2")


# --- the mend exercise looks at a learner's own network -----------------------------------------


def test_mending_leaves_the_learners_network_as_it_was():
    model = Net(nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(32 * 32 * 32, 10)))
    model.last = nn.BatchNorm2d(32)
    model.conv1.eval()
    modes = []
    model.conv2.register_forward_hook(lambda module, *_: modes.append(module.training))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert check("01.mend", model)
    assert modes == [False]
    assert model.training and not model.conv1.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_an_empty_scene_is_called_so():
    assert "this scene is nothing" in repr(check("00.swap", draw_scene(None, "snow", seed=7)))


def test_sizes_that_do_not_match_are_both_named():
    said = repr(check("01.mend", Net(nn.Linear(8192, 10))))
    assert "hands on 32,768 numbers for each picture, and the `Linear` takes 8,192" in said


def test_an_error_without_words_is_called_by_its_kind():
    def refuse(*_args):
        raise AssertionError

    model = Net(nn.Sequential(nn.Flatten(), nn.Linear(32 * 32 * 32, 10)))
    model.register_forward_hook(refuse)
    assert "still stops with an error: AssertionError" in repr(check("01.mend", model))


# --- what is shown ------------------------------------------------------------------------------


def test_the_card_says_in_words_what_it_says_in_colour():
    html = check("01.parameters", 73_728)._repr_html_()
    assert "✗</span> Not right yet</b>" in html
    assert "<code>01.parameters</code>" in html.replace(' style="opacity:.75"', "")
    assert "73,728 is all the kernels" in html
    assert '<code>hint("01.parameters")</code>' in html


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
        (len, "len"),
        (torch.tensor(2519.5), "2,519.5"), (np.array(True), "True"),
    ],
)  # fmt: skip
def test_any_object_has_a_short_name(value, said):
    assert catalogue.describe(value) == said


def test_even_an_object_that_fails_at_everything_has_a_name():
    assert catalogue.describe(Hostile()) == "Hostile"
    assert "`RuntimeError: no`. You gave Hostile, which" in repr(check("00.share", Hostile()))


# --- errors in a checker ------------------------------------------------------------------------


@pytest.fixture
def lesson_99(tmp_path, monkeypatch):
    """A lesson whose one checker has a programming error."""
    code = (
        "from vizhelpers.exercises.authoring import exercise, right\n"
        "@exercise('99.broken')\ndef broken(answer):\n    return right(value=answer.upper())\n"
    )
    (tmp_path / "lesson_99.py").write_text(code)
    (tmp_path / "en").mkdir()
    common = (catalogue.TEXTS / "en" / "common.toml").read_bytes()
    (tmp_path / "en" / "common.toml").write_bytes(common)
    text = '[broken]\nquestion = "?"\nright = "{value}"\nhints = ["one"]\n'
    (tmp_path / "en" / "lesson_99.toml").write_text(text)
    monkeypatch.setattr(lesson_code, "__path__", [*lesson_code.__path__, str(tmp_path)])
    monkeypatch.setattr(catalogue, "TEXTS", tmp_path)
    yield
    sys.modules.pop("vizhelpers.lessons.lesson_99", None)


def test_one_function_and_its_texts_are_a_new_exercise(lesson_99):
    assert repr(check("99.broken", "yes")) == "✓ Right · 99.broken\n  YES"


def test_a_checker_that_fails_is_a_message_to_learners_and_an_error_to_tests(lesson_99):
    said = repr(check("99.broken", [1]))
    assert "`AttributeError: 'list' object has no attribute 'upper'`" in said
    assert "You gave [1], which Python calls `list`" in said
    with pytest.raises(AttributeError):
        find("99.broken").checker([1])


# --- progress -----------------------------------------------------------------------------------


def test_progress_counts_right_tried_and_open(record):
    check("01.parameters", 73_728)
    check("01.mult_adds", ...)
    quiz("01.q1", "a")
    quiz("01.q1", "b")
    quiz("01.q1", "c")  # once right stays right
    assert json.loads(record.read_text()) == {"01.parameters": "tried", "01.q1": "right"}
    rows = repr(progress("01")).splitlines()
    assert rows[1].split() == ["lesson", "✓", "right", "✗", "tried", "…", "open"]
    assert rows[2].split() == ["01", "print", "vs", "torchinfo", "1", "1", "4"]
    assert len(repr(progress()).splitlines()) == 2 + len(lessons())
    assert 'text-align:right">4</td>' in progress("01")._repr_html_()
    assert [path.name for path in record.parent.iterdir()] == [record.name]  # no drafts left


def test_progress_can_be_reset(record):
    quiz("01.q1", "b")
    assert "emptied" in repr(progress("01", reset=True))
    assert repr(progress("01")).splitlines()[2].split()[-3:] == ["0", "0", "6"]


def test_progress_of_an_unknown_lesson():
    with pytest.raises(ValueError, match=r'no lesson "1". There are: 00, 01'):
        progress("1")


@pytest.mark.parametrize(
    "damage", [b"{", b"\xff\xfe", b"[]", b'{"01.q1": 3}', b'{"01.q1": []}', b"", b"[" * 100_000]
)
def test_a_damaged_record_costs_a_notice_and_is_left_alone(record, damage):
    record.write_bytes(damage)
    card = quiz("01.q1", "b")
    assert card
    assert "could not be read" in repr(card)
    assert "could not be read" in repr(progress())
    assert record.read_bytes() == damage
    progress(reset=True)
    assert "could not" not in repr(quiz("01.q1", "b"))


@pytest.mark.parametrize("where", ["missing/progress.json", "file/progress.json", "folder"])
def test_a_record_that_cannot_be_written_costs_a_notice(tmp_path, monkeypatch, where):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("VIZHELPERS_PROGRESS", str(tmp_path / where))
    card = quiz("01.q1", "b")
    assert card
    assert "could not be" in repr(card)
    assert "could not be" in repr(progress(reset=True))


def test_an_interrupted_write_leaves_the_old_record(record, monkeypatch):
    quiz("01.q1", "b")
    before = record.read_bytes()

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert "could not be saved: No space left on device" in repr(quiz("01.q2", "c"))
    assert record.read_bytes() == before
    assert [path.name for path in record.parent.iterdir()] == [record.name]


def test_off_keeps_the_record_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("VIZHELPERS_PROGRESS", "off")
    progress(reset=True)
    quiz("01.q1", "b")
    assert repr(progress("01")).splitlines()[2].split()[-3:] == ["1", "0", "5"]
    progress(reset=True)
    assert repr(progress("01")).splitlines()[2].split()[-3:] == ["0", "0", "6"]
    assert list(tmp_path.iterdir()) == []


def test_the_record_is_one_file_at_the_root_of_the_course(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.delenv("VIZHELPERS_PROGRESS")
    quiz("01.q1", "b")
    assert json.loads((tmp_path / ".progress.json").read_text()) == {"01.q1": "right"}
    assert ".progress.json" in (ROOT / ".gitignore").read_text()


def test_what_check_says_does_not_depend_on_the_record(record):
    fresh = [repr(quiz("01.q1", letter)) for letter in "abc"]
    assert [repr(quiz("01.q1", letter)) for letter in "abc"] == fresh


# --- the rest of the course ---------------------------------------------------------------------


def test_questions_and_hints_do_not_wait_for_torch():
    code = (
        "import sys; from vizhelpers import check, hint, progress, quiz; "
        "hint('01.mend'); check('00.swap', ...); quiz('01.q1', 'b'); progress(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'PIL', 'IPython')))"
    )
    environment = {**os.environ, "VIZHELPERS_PROGRESS": "off"}
    root = ROOT
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=root)
