"""Try out a learner's function: what it returns, where it fails, what it leaves on a model.

The function gets copies of the pictures, and the model is put back as it was. A map that it
returns is compared with the right one and with those of the usual mistakes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields
from functools import cache, partial
from traceback import extract_tb
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from vizhelpers.exercises.authoring import Outcome, WrongKindError, right, wrong

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vizhelpers.scenes import SceneBatch

# Whose functions are not the learner's own; "builtins" are Python's.
SOLUTIONS = {"captum", "pytorch_grad_cam", "flashtorch"}  # what is in them does an exercise
LIBRARIES = {*SOLUTIONS, "vizhelpers", "torch", "builtins"}
PAIR = 6  # the scene with two objects that a function with a target is tried on


@dataclass(frozen=True)
class Trial:
    """What came of calling a learner's function.

    Attributes:
        found: What it returned; None if it failed.
        problem: The error's first line, or an empty text.
        place: The learner's own line that failed, ` in the line …`, or an empty text.
        left: What on the model is not as it was, in words, and how much of it.
    """

    found: Any
    problem: str
    place: str
    left: dict[str, int]


def own_function(answer: object, *, ready: str | Iterable[str] = ()) -> Callable[..., object]:
    """The answer, if it is a function whose steps the learner wrote.

    A function that hands the work on is refused as well: a lambda, a `functools.partial`, a
    decorated one, one that calls a ready one by whatever name or through another function.

    Args:
        answer: Whatever was handed in.
        ready: Names of functions that do the whole exercise: those that the lesson itself has
            shown, and this package's, such as `("grad_cam", "class_maps")`.

    Raises:
        WrongKindError: It is no function, or a library's or the lesson's own, or one that calls
            such a one.
    """
    from torch import nn

    if not callable(answer) or isinstance(answer, type | nn.Module):
        raise WrongKindError("function")
    names = {ready} if isinstance(ready, str) else set(ready)
    function = _unwrapped(answer)
    if _package(function) in LIBRARIES or getattr(function, "__name__", "") in names:
        raise WrongKindError("own_function")
    used = _ready_made(function, names, set())
    if used:
        raise WrongKindError("own_steps", name=used)
    return answer


def _unwrapped(function: Any) -> Any:
    """The function inside a method, a `functools.partial` or a decorated one."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, FunctionType) and "__wrapped__" in vars(function):
            function = vars(function)["__wrapped__"]
        else:
            return function


def _package(thing: Any) -> str:
    """The package that a function, class or module is from; of another object, its type's."""
    if isinstance(thing, ModuleType):
        return thing.__name__.partition(".")[0]
    has_home = isinstance(thing, type | FunctionType | BuiltinFunctionType)
    home = thing if has_home else type(thing)
    return str(getattr(home, "__module__", None) or "builtins").partition(".")[0]


def _ready_made(function: Any, names: set[str], seen: set[int]) -> str:
    """What a function uses, itself or through the learner's others, that does the exercise."""
    if not isinstance(function, FunctionType):
        return ""
    seen.add(id(function))
    for name in _names_in(function.__code__):
        if name in names or name.partition(".")[0] in SOLUTIONS:
            return name
    for part in map(_unwrapped, _within_reach(function)):
        called = str(getattr(part, "__name__", type(part).__name__))
        if called in names or _package(part) in SOLUTIONS:
            return called
        if id(part) not in seen and _package(part) == _package(function):
            deeper = _ready_made(part, names, seen)
            if deeper:
                return deeper
    return ""


def _names_in(code: CodeType) -> Iterator[str]:
    """The global names, attributes and imports in a function, and in the functions in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _within_reach(function: FunctionType) -> Iterator[Any]:
    """What a function can use without being handed it: globals, defaults, what it encloses."""
    outside = function.__globals__
    yield from (outside[name] for name in _names_in(function.__code__) if name in outside)
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # nothing is in it yet
            yield cell.cell_contents


def try_out(
    function: Callable[..., object], *arguments: Any, model: "nn.Module | None" = None
) -> Trial:
    """Call a function with copies of the tensors given; put the model back as it was."""
    import torch

    from vizhelpers.state import preserve_state

    found, problem, place = None, "", ""
    given = [each.clone() if isinstance(each, torch.Tensor) else each for each in arguments]
    before = _state(model)
    with nullcontext() if model is None else preserve_state(model), torch.enable_grad():
        try:
            found = function(*given)
        except Exception as error:  # a function that is still broken is an answer, too
            problem = (str(error) or type(error).__name__).splitlines()[0]
            lines = [frame.line for frame in extract_tb(error.__traceback__)[1:2]]
            place = f" in the line `{lines[0][:100]}`" if lines and lines[0] else ""
        after = _state(model)
    changed = {
        what: sum(abs(now - then) for then, now in zip(before[what], after[what], strict=False))
        for what in before
    }
    return Trial(found, problem, place, {what: count for what, count in changed.items() if count})


def _state(model: "nn.Module | None") -> dict[str, list[int]]:
    """What a function may forget to put back, by the name that the learner is told."""
    from torch import nn

    modules = [] if model is None else list(model.modules())
    weights = [] if model is None else list(model.parameters())
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "hooks": [len(getattr(module, kind)) for module in modules for kind in kinds],
        "`inplace` of the ReLUs": [each.inplace for each in modules if isinstance(each, nn.ReLU)],
        "gradients in the weights' `.grad`": [weight.grad is not None for weight in weights],
        "`requires_grad` of the weights": [weight.requires_grad for weight in weights],
        "the mode, `train()` or `eval()`": [module.training for module in modules],
    }


def judge_map(
    trial: Trial, expected: "Tensor", mistakes: Iterable[tuple[str, "Tensor"]]
) -> Outcome:
    """Right for the expected map with nothing left behind; else by what a mistake makes of it.

    Args:
        trial: Of a function that returns a map, with or without a first dimension of 1.
        expected: The right map.
        mistakes: The key of each mistake, and the map that it leads to.
    """
    from torch import Tensor

    found, shape = trial.found, expected.shape
    if trial.problem:
        return wrong("fails", problem=trial.problem, place=trial.place)
    if not isinstance(found, Tensor) or found.shape not in (shape, (1, *shape)):
        return wrong("shape", found=found, expected=list(shape))
    if not same(found, expected):
        return wrong(next((key for key, made in mistakes if same(found, made)), "other"))
    if trial.left:
        return wrong("left", left=", ".join(trial.left))
    return right(largest=f"{expected.abs().max():.2g}")


def same(found: "Tensor", expected: "Tensor") -> bool:
    """Whether all numbers agree, to a thousandth of the largest."""
    difference = (found.detach().cpu().float() - expected).abs().max()
    return bool(difference <= 1e-3 * expected.abs().max())


@cache
def shipped_scene(name: str) -> "SceneBatch":
    """One shipped scene by its name, as a batch of one; `images` are not normalised."""
    from vizhelpers.scenes import SceneBatch, load_scenes

    scenes = load_scenes()
    index = scenes.names.index(name)
    one = [getattr(scenes, field.name)[index : index + 1] for field in fields(scenes)]
    return SceneBatch(*one)


def two_objects() -> "tuple[nn.Module, Tensor, int]":
    """AlexNet, an image of two objects, and the class of the one that it finds less likely."""
    import torch

    from vizhelpers.images import normalize
    from vizhelpers.scenes import load_pairs
    from vizhelpers.zoo.loading import load_model

    pairs = load_pairs(limit=PAIR + 1)
    model, image = load_model("alexnet"), normalize(pairs.images[[PAIR]])
    with torch.no_grad():
        scores = model(image)[0]
    objects = int(pairs.labels_a[PAIR]), int(pairs.labels_b[PAIR])
    return model, image, min(objects, key=lambda label: float(scores[label]))
