"""The clinic: each patient has its fault, only that one, and its healthy twin has none."""

import copy
import inspect
import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support.portrait import random_numbers
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.exercises import catalogue, check
from vizhelpers.figures import number_text, to_png
from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD
from vizhelpers.lessons.lesson_07 import judging, names, tools
from vizhelpers.lessons.lesson_07.case import Case
from vizhelpers.lessons.lesson_07.cases import (
    GROUPS,
    LETTERS,
    SHIPPED,
    TRAINED,
    healthy_twin,
    illness,
    open_case,
    pristine,
)
from vizhelpers.lessons.lesson_07.telltales import NUMBERS, SHOWN_BY

MEAN, STD = (torch.tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
# Numbers that take a good part of a second with a network for large pictures.
COSTLY = {"company", "same", "shrinks", "cut_off", "largest", "dead", "exchanged", "background"}
# Whose second patient costs little: no long training, and a tell-tale that is soon measured.
QUICK = {*SHIPPED, "exploding gradients"} - {"leaked hook", "train mode"}
BOTH_SEEDS = [(name, 0) for name in SHOWN_BY] + [(name, 1) for name in SHOWN_BY if name in QUICK]


@pytest.fixture(autouse=True)
def record(tmp_path, monkeypatch):
    """No answer of a test is remembered as a learner's."""
    monkeypatch.setenv("VIZHELPERS_PROGRESS", str(tmp_path / "progress.json"))


def letter_of(diagnosis: str, seed: int) -> str:
    """The letter of the patient with that illness."""
    return next(letter for letter in LETTERS if illness(letter, seed) == diagnosis)


def patient(diagnosis: str, seed: int = 0) -> Case:
    """The patient with that illness."""
    return open_case(letter_of(diagnosis, seed), seed=seed)


# -- each is really broken: the fault itself, found in plain PyTorch -----------------------------


def small(photos: Tensor) -> Tensor:
    """Photos as the networks that are trained here get them."""
    return (F.interpolate(photos, 16, mode="area") - MEAN) / STD


def gradients(case: Case) -> dict[str, Tensor | None]:
    """Of the loss, at each parameter."""
    model = copy.deepcopy(case.model)
    F.cross_entropy(model(case.inputs), case.labels).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def outputs(case: Case, kind: type[nn.Module]) -> list[Tensor]:
    """What the layers of a kind give out."""
    model, found = copy.deepcopy(case.model), []
    for layer in model.modules():
        if isinstance(layer, kind):
            layer.register_forward_hook(lambda _, __, out: found.append(out.detach().clone()))
    model(case.inputs)
    return found


def turned(case: Case) -> float:
    """The share of inputs that are upside down."""
    pairs = zip(case.inputs.float(), small(case.photos).flip(2), strict=True)
    return sum(torch.allclose(*pair, atol=1e-4) for pair in pairs) / len(case.inputs)


def gets_no_gradient(case: Case) -> bool:
    """Whether it is all of one branch, although it may learn, that gets no gradient."""
    lost = [name for name, grad in gradients(case).items() if grad is None]
    branch = all(name.startswith("shapes.") for name in lost)
    return bool(lost) and branch and all(p.requires_grad for p in case.model.parameters())


def first_by_last(case: Case) -> float:
    """The first layer's mean gradient by that of the last."""
    found = gradients(case)
    return (found["conv1.weight"].abs().mean() / found["fc2.weight"].abs().mean()).item()


FAULTS = {
    "bgr": lambda c: torch.allclose(c.inputs.float(), small(c.photos.flip(1)), atol=1e-4),
    "not normalised": lambda c: torch.equal(c.inputs, c.photos),
    "normalised twice": lambda c: torch.allclose(
        c.inputs, ((c.photos - MEAN) / STD - MEAN) / STD, atol=1e-4
    ),
    "size hidden by a pool": lambda c: c.model.features(c.inputs[:1]).shape[-2:] == (1, 1),
    "weights not loaded": lambda c: set(c.start) != set(c.model.state_dict()),
    "train mode": lambda c: c.model.training,
    "swapped labels": lambda c: sum(map(str.__ne__, c.classes, vh.CLASSES)) == 2,
    "background shortcut": lambda c: torch.equal(
        next(iter(c.model.parameters())),
        next(iter(vh.load_model(c.model.info.name, twin="shortcut").parameters())),
    ),
    "leaked hook": lambda c: any(layer._backward_hooks for layer in c.model.modules()),
    "labels shuffled": lambda c: (c.labels == c._truth.photos).double().mean() < 0.5,
    "harmful augmentation": lambda c: 0.25 < turned(c) < 0.75,
    "frozen layer": lambda c: (
        [n for n, p in c.model.named_parameters() if p.requires_grad] == ["fc2.weight", "fc2.bias"]
    ),
    "detached branch": gets_no_gradient,
    "dead relus": lambda c: any((out[:16] == 0).all() for out in outputs(c, nn.ReLU)),
    "vanishing gradients": lambda c: 0 < first_by_last(c) < 0.01,
    "exploding gradients": lambda c: max(o.abs().max() for o in outputs(c, nn.ReLU)) > 500,
    "softmax twice": lambda c: (c.model(c.inputs).sum(1) - 1).abs().max() < 1e-6,
}


@pytest.mark.parametrize(("name", "seed"), BOTH_SEEDS)
def test_a_patient_has_its_fault_and_its_twin_has_not(name, seed):
    ill, healthy = (pristine(name, seed, ill=each) for each in (True, False))
    assert FAULTS[name](ill)
    assert not FAULTS[name](healthy)
    assert torch.equal(ill.photos, healthy.photos)
    if ill.history and name not in ("bgr", "exploding gradients"):
        loss, healthy_loss = (sum(each.history["loss"][1][-5:]) / 5 for each in (ill, healthy))
        assert loss > 4 * healthy_loss


@pytest.mark.parametrize("name", SHOWN_BY)
def test_a_patient_is_right_less_often_than_its_twin(name):
    ill, healthy = (pristine(name, 0, ill=each) for each in (True, False))
    few = 40 if ill.history or name == "swapped labels" else 12
    with torch.no_grad():
        answers = [
            ill.answers()[:few],  # as they are counted for the complaint
            copy.deepcopy(healthy.model)(healthy.inputs[:few]).argmax(dim=1),
        ]
    is_right, twin_is_right = (
        (answer == case.labels[:few]).double().mean()
        for answer, case in zip(answers, (ill, healthy), strict=True)
    )
    assert twin_is_right >= (0.6 if name == "exploding gradients" else 0.9)  # after 12 steps
    if name not in ("leaked hook", "softmax twice"):  # these are ill in another way
        assert is_right < twin_is_right


# -- what tells it -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "seed"), BOTH_SEEDS)
def test_the_tell_tale_number_is_in_the_patient_and_not_in_others(name, seed):
    # As open_case makes it, but for the complaint, which costs all answers.
    case = replace(pristine(name, seed, ill=True), letter=letter_of(name, seed), seed=seed)
    shown = {each: next(iter(numbers)) for each, numbers in SHOWN_BY.items()}
    skipped = {"same", "company"} if name in TRAINED else COSTLY
    shown = {d: key for d, key in shown.items() if d == name or key not in skipped}
    fires = {d for d, key in shown.items() if judging.compare(case, key, None).shows(d)}
    assert fires == {name}


def best_tool(case: Case) -> str:
    """The tool that shows a patient's illness best."""
    return NUMBERS[next(iter(SHOWN_BY[illness(case.letter, case.seed)]))].tool


@pytest.mark.parametrize("name", ["frozen layer", "dead relus", "bgr", "size hidden by a pool"])
def test_diagnosis_and_evidence_are_judged_each_for_itself(name):
    case = patient(name)
    exercise = f"07.{case.letter.lower()}" if case.letter in "BCDEFGHI" else ""
    tool = best_tool(case)

    def said(*finding: str) -> str:
        outcome = judging.judge(case.finding(*finding))
        return "right" if outcome.is_right else outcome.key

    assert said(name, tool) == "right"
    other = "leaked hook"
    assert said(other, tool) == "other"
    assert said(name, "again") == "same"
    assert said(name, "mistakes") == "unspecific"
    if name == "frozen layer":
        assert said(name, "moved") == "place"
        assert said(name, "moved", "fc1") == "right"
        assert said(name, "moved", "fc2") == "same"
        card = check(exercise, case.finding(name, "moved", "fc1"))
        assert card
        # The numbers in the card are those of the weights.
        twin = healthy_twin(case)
        start, now = twin.start["fc1.weight"], twin.model.fc1.weight
        far = number_text(((now - start).norm() / start.norm()).item())
        assert "How far `fc1` is from its start" in repr(card)
        assert f"is 0 here, and {far} in a healthy network" in repr(card)
    if exercise:
        card = check(exercise, case.finding(other, "again"))
        assert not card
        own = catalogue.texts("clinic")[name]["hints"]
        assert [text for _, text in card.hints[:3]] == own
        assert len(set(own)) == 3
        assert "about patient A" in repr(check(exercise, patient("dead relus").finding(name, tool)))


def test_the_waiting_room_is_for_later_letters_and_for_other_seeds():
    late, early = patient("bgr"), patient("not normalised")
    other = patient("exploding gradients", 1)
    assert late.letter > "I" >= other.letter
    for case, fits in ((late, True), (early, False), (other, True)):
        right = case.finding(illness(case.letter, case.seed), best_tool(case))
        assert bool(check("07.waiting", right)) == fits
    twin = healthy_twin(late)
    assert "about patient" in repr(check("07.waiting", twin.finding("bgr", "inputs")))


def test_a_finding_is_judged_by_the_patient_as_it_came_not_as_the_learner_left_it():
    case = patient("frozen layer")
    with torch.no_grad():
        for parameter in case.model.requires_grad_(True).parameters():
            parameter.zero_()
    assert check("07.h", case.finding("frozen layer", "summary"))
    assert FAULTS["frozen layer"](patient("frozen layer"))


# -- nothing gives the answer away ---------------------------------------------------------------


def test_a_letter_stands_for_each_illness_once_and_another_seed_for_others():
    orders = {seed: [illness(letter, seed) for letter in LETTERS] for seed in range(6)}
    assert all(sorted(order) == sorted(names.DIAGNOSES) for order in orders.values())
    assert len({tuple(order[1:9]) for order in orders.values()}) > 4
    for order in orders.values():
        for letters, group in GROUPS.items():
            assert {order[LETTERS.index(letter)] for letter in letters} <= set(group)


@pytest.mark.parametrize("name", SHOWN_BY)
def test_what_a_learner_holds_does_not_name_the_illness(name):
    case = patient(name)
    parts = [case.model, *case.model.modules()]
    said = [repr(case), case._repr_html_(), str(Case.__doc__), str(type(case.model).__doc__)]
    said += [*vars(case), *(key for part in parts for key in vars(part) if key[0] != "_")]
    said += [
        repr(getattr(case.model, "info", "")),
        repr(case.history),
        str(list(case.start)),
        getattr(case.loss, "__name__", ""),
    ]
    words = "dead vanish explod shuffl bgr detach frozen shortcut swap augment leak twice untrained"
    for word in words.split():
        assert word not in " ".join(said).lower(), word
    assert "{" not in case.complaint
    assert case.complaint.count(". ") <= 1


def test_the_learners_copy_is_the_learners_own_and_nothing_else_is_touched():
    before = random_numbers()
    case, state = patient("exploding gradients", 1), torch.random.get_rng_state()
    again = open_case(case.letter, seed=1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert case.model is not again.model
    case.model.conv1.weight.data.zero_()
    case.inputs.zero_()
    assert again.inputs.abs().sum() > 0
    assert again.model.conv1.weight.abs().sum() > 0
    assert random_numbers() == before


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: open_case("R"), ValueError, "A to Q"),
        (lambda: open_case(""), ValueError, "A to Q"),
        (lambda: open_case(3), TypeError, "a patient has a letter"),
        (lambda: open_case("A", seed=-1), ValueError, "seed"),
        (lambda: healthy_twin("A"), TypeError, "this asks for a patient"),
        (lambda: patient("bgr").finding("BGRR", "inputs"), ValueError, "Did you mean 'bgr'"),
        (lambda: patient("bgr").finding("bgr", "input"), ValueError, "Did you mean 'inputs'"),
        (lambda: patient("bgr").finding("bgr", "moved", "conv"), ValueError, "conv5"),
        (lambda: tools.cam(patient("bgr"), "skyy"), ValueError, "knows no class"),
        (lambda: tools.show(patient("bgr"), "gradient"), ValueError, "Did you mean 'gradients'"),
    ],
)
def test_wrong_arguments_are_told_what_is_meant(wrong, error, words):
    with pytest.raises(error, match=words):
        wrong()


# -- the tools -----------------------------------------------------------------------------------


def test_each_tool_is_a_function_whose_first_line_says_what_it_shows():
    functions = {name for name, _ in inspect.getmembers(tools, inspect.isfunction)}
    assert set(names.TOOLS) <= functions
    assert {number.tool for number in NUMBERS.values()} == set(names.TOOLS)
    assert all(vars(tools)[name].__doc__.startswith("Show ") for name in names.TOOLS)
    assert list(names.DIAGNOSES) != [illness(letter, 0) for letter in LETTERS]
    assert (
        set(names.DIAGNOSES)
        == set(SHOWN_BY)
        == {*catalogue.texts("clinic")}
        - {
            "compared",
            "numbers",
        }
    )
    assert set(catalogue.texts("clinic")["numbers"]) == set(NUMBERS)


@pytest.mark.parametrize("name", ["detached branch", "leaked hook"])  # trained here, and shipped
def test_every_tool_shows_every_kind_of_patient_and_leaves_it_as_it_was(name):
    case = patient(name)
    numbers = random_numbers()[1:]  # the first import of grad-cam draws from Python's own
    state = {key: value.clone() for key, value in case.model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tool in names.TOOLS:
            picture = tools.show(case, tool)
            if tool == "gradients":  # the drawing that is the clinic's own, and not plain
                assert len(to_png(picture)) > 1000
    assert all(torch.equal(value, state[key]) for key, value in case.model.state_dict().items())
    assert all(parameter.grad is None for parameter in case.model.parameters())
    assert not any(layer._forward_hooks for layer in case.model.modules())
    assert random_numbers()[1:] == numbers


def test_a_picture_by_layer_has_the_numbers_and_says_what_has_none():
    case = patient("detached branch")
    figure = tools.gradients(case, healthy_twin(case))
    ax = figure.axes[0]
    rows = [label.get_text() for label in ax.get_yticklabels()]
    line = next(line for line in ax.lines if line.get_label() == "its healthy twin")
    drawn = dict(zip(rows, line.get_xdata(), strict=True))
    twin = pristine("detached branch", 0, ill=False)
    twin = copy.deepcopy(twin.model), twin.inputs[:24], twin.labels[:24]
    F.cross_entropy(twin[0](twin[1]), twin[2]).backward()
    assert drawn["head"] == pytest.approx(twin[0].head.weight.grad.abs().mean().item())
    assert [text.get_text() for text in ax.texts].count("none") == 7
