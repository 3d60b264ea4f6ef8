"""What the explorer looks at: a model and pictures, and what one forward pass tells about both."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vizhelpers._utils.checks import (
    Output,
    check_hookable,
    is_float,
    named_tensors,
    select,
)
from vizhelpers.attribution.targets import checked_scores
from vizhelpers.hooks import capture
from vizhelpers.inspection._calls import Call, Calls, record_calls, where_it_stopped
from vizhelpers.state import preserve_state
from vizhelpers.widgets.explorer.pictures import (
    MOST,
    Picture,
    Preparation,
    Prepared,
    Transform,
    choose_preparation,
    other_channels,
    prepare,
    read_pictures,
    side_of,
)
from vizhelpers.widgets.paint_answers import percent

Shape = tuple[int, ...]
BEST = 3  # classes that are named in the answer
KEPT = 64  # captures, receptive fields, ascents
T = TypeVar("T")


@dataclass(frozen=True)
class Names:
    """What the things are called where the explorer was made; its lines of code say so."""

    model: str
    images: str
    transform: str
    output: str


@dataclass(frozen=True)
class Row:
    """A layer in the tree.

    Attributes:
        name: Dotted; `""` is the model itself.
        label: The last part of the name.
        kind: Its class.
        level: How deep it lies; the model is at 1.
        shape: What it returns for one picture, as text.
        parameters: Of it and all that is in it.
        mult_adds: Of one forward pass, likewise.
        note: Shared, called several times, never called; or empty.
    """

    name: str
    label: str
    kind: str
    level: int
    shape: str
    parameters: int
    mult_adds: int
    note: str


@dataclass(frozen=True, eq=False)
class Pass:
    """What one recorded forward pass tells: the calls of each layer, and what they multiplied."""

    calls: dict[str, list[Call]]
    mult_adds: dict[str, int]
    answer: Any


@dataclass(frozen=True)
class Scores:
    """How class scores are taken out of what a model returns.

    Attributes:
        output: From what it returns to [N, K]; None where that is what it returns.
        code: The same as an argument of the helpers: `, output=lambda out: out['logits']`.
        note: What is to be known about it.
        refusal: Why there are none; empty where there are.
    """

    output: Output | None = None
    code: str = ""
    note: str = ""
    refusal: str = ""


class Subject:
    """A model and its pictures; computes each thing once, and leaves the model as it was.

    Args:
        model: Any module that takes one batch of images.
        images: As for `read_pictures`.
        transform: From a picture to an input; found where it is not given.
        classes: Names of the classes.
        output: Takes the class scores out of what the model returns.
        size: Height and width to which files are cut.
        names: What all these are called.

    Attributes:
        pictures: The pictures as they were given; more can be added.
        notes: Sentences about what was not given and had to be found.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Any,
        *,
        transform: Transform | None,
        classes: Sequence[str] | None,
        output: Output | None,
        size: int | None,
        names: Names,
    ) -> None:
        self.model = check_hookable(model)
        if any(map(is_lazy, self.model.parameters())):
            raise ValueError("some layers have no weights yet: run the model once on an image.")
        self.names = names
        self.size = size or side_of(self.model, images)
        found = read_pictures(images, self.size, self.names.images)
        self.pictures: list[Picture] = found[:MOST]
        self.preparation: Preparation = choose_preparation(
            self.model,
            transform,
            (self.names.model, self.names.transform),
            len(found[0].pixels),
        )
        self._prepared: dict[int, Prepared] = {}
        self._passes: dict[Shape, Pass] = {}
        self._scores: dict[int, Tensor] = {}
        self.kept: dict[Hashable, Any] = {}
        first = self.forward(0)
        self.scores = choose_scores(first.answer, output, self.names.output)
        self.classes = _class_names(self.model, classes, self.class_scores(0))
        training = "It is in training mode; here one sees it as it is in evaluation mode."
        few = f"Of the pictures only the first {MOST} are here." * (len(found) > MOST)
        notes = self.preparation.note, self.scores.note, training * self.in_training, few
        self.notes = tuple(note for note in notes if note)

    @property
    def in_training(self) -> bool:
        """Whether any part of the model is in training mode."""
        return any(module.training for module in self.model.modules())

    def forget(self) -> None:
        """Forget all that was computed, because the model has changed."""
        for memory in (self._passes, self._scores, self.kept):
            memory.clear()

    # -- pictures -----------------------------------------------------------------------------

    def add(self, picture: Picture) -> None:
        """Add a picture.

        Raises:
            ValueError: The model cannot take it; then it is not added.
        """
        self.pictures.append(picture)
        index = len(self.pictures) - 1
        try:
            self.forward(index)
            self.class_scores(index)
        except Exception:
            self.pictures.pop()
            self._prepared.pop(index, None)
            raise

    def prepared(self, index: int) -> Prepared:
        """A picture in the model's form."""
        if index not in self._prepared:
            self._prepared[index] = prepare(self.model, self.preparation, self.pictures[index])
        return self._prepared[index]

    def shape(self, index: int) -> Shape:
        """Shape of what the model is given for a picture: (1, C, h, w)."""
        return tuple(self.prepared(index).batch.shape)

    # -- the forward pass ---------------------------------------------------------------------

    def forward(self, index: int) -> Pass:
        """What a recorded forward pass tells, once for each shape of pictures.

        Raises:
            ValueError: The model cannot take this picture; the message says in which layer.
        """
        shape = self.shape(index)
        if shape not in self._passes:
            self._passes[shape] = _recorded(self.model, self.prepared(index).batch)
        return self._passes[shape]

    def calls(self, layer: str, index: int) -> list[Call]:
        """The calls of a layer, under whichever name the model holds it."""
        return self.forward(index).calls.get(self.own_name(layer), [])

    def own_name(self, layer: str) -> str:
        """The first of a layer's names."""
        return self._first_names[self.layers[layer]]

    @cached_property
    def _first_names(self) -> dict[nn.Module, str]:
        names: dict[nn.Module, str] = {}
        for name, module in self.layers.items():
            names.setdefault(module, name)
        return names

    @cached_property
    def layers(self) -> dict[str, nn.Module]:
        """All layers under all their names, the model itself first."""
        everything = self.model.named_modules(remove_duplicate=False)
        return {name: m for name, m in everything if "parametrizations" not in name.split(".")}

    def capture(self, layer: str, index: int) -> Tensor:
        """What a layer returned for a picture at its first call, without the batch."""

        def captured() -> Tensor:
            batch = self.prepared(index).batch
            with preserve_state(self.model):
                self.model.eval()
                return capture(self.model, batch, layer, stop_early=True).map

        return self.once(("capture", layer, index), captured)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made before, or is made now; of what was not asked for long, nothing is kept."""
        if key not in self.kept:
            self.keep(key, make())
        made: T = self.kept[key]
        return made

    def keep(self, key: Hashable, value: Any) -> None:
        """Keep a value for `once`."""
        self.kept.pop(key, None)
        self.kept[key] = value
        while len(self.kept) > KEPT:
            self.kept.pop(next(iter(self.kept)))

    # -- the answer ---------------------------------------------------------------------------

    def class_scores(self, index: int) -> Tensor | None:
        """The scores of the classes, [K]; None where there are none."""
        if self.scores.refusal:
            return None
        if index not in self._scores:
            with preserve_state(self.model), torch.no_grad():
                self.model.eval()
                answer = self.model(self.prepared(index).batch.clone())
            scores = checked_scores(select(answer, self.scores.output), 1)
            self._scores[index] = scores[0].float().cpu()
        return self._scores[index]

    def class_name(self, target: int) -> str:
        """What a class is called."""
        return f"class {target}" if self.classes is None else self.classes[target]

    def ranking(self, index: int) -> list[tuple[int, float]]:
        """Classes with their probabilities (a softmax), the most likely first."""
        scores = self.class_scores(index)
        if scores is None:
            return []
        shares, order = scores.softmax(0).sort(descending=True, stable=True)
        return list(zip(order.tolist(), shares.tolist(), strict=True))

    def answer(self, index: int) -> str:
        """What the model says to a picture, in a few words."""
        ranking = self.ranking(index)
        if not ranking:
            return f"No class scores: {self.scores.refusal}"
        scores = self.class_scores(index)
        assert scores is not None
        if not scores.isfinite().all():
            return "its class scores are not finite: NaN or infinity is among them"
        if len(ranking) == 1:
            return f"score {float(scores[0]):.3g}"
        return ", ".join(f"{self.class_name(k)} {percent(share)}" for k, share in ranking[:BEST])

    # -- the tree -----------------------------------------------------------------------------

    def rows(self, index: int) -> tuple[Row, ...]:
        """The tree of layers, as they are declared."""

        def made() -> tuple[Row, ...]:
            return tuple(self._row(name, module, index) for name, module in self.layers.items())

        return self.once(("rows", self.shape(index)), made)

    def row(self, name: str, index: int) -> Row:
        """One of them."""
        return next(row for row in self.rows(index) if row.name == name)

    def _row(self, name: str, module: nn.Module, index: int) -> Row:
        done, own = self.forward(index), self.own_name(name)
        within = f"{own}." if own else ""
        inside = [key for key in done.mult_adds if key == own or key.startswith(within)]
        kind = type(module).__name__
        return Row(
            name,
            label=name.rpartition(".")[2] or kind,
            kind=kind,
            level=1 + len(name.split(".")) if name else 1,
            shape=_shape_text(done.calls.get(own, [])),
            parameters=sum(p.numel() for p in module.parameters()),
            mult_adds=sum(done.mult_adds[key] for key in inside),
            note=_note(name, own, done.calls.get(own, [])),
        )


def _recorded(model: nn.Module, batch: Tensor) -> Pass:
    with record_calls(model) as calls, torch.no_grad():
        model.eval()
        try:
            answer = model(batch.clone())
        except Exception as error:  # the model's own
            where = where_it_stopped(calls, error)
            raise ValueError(
                f"the network cannot take a picture of {list(batch.shape)}. {where}\n"
                f"{_what_to_try(calls, tuple(batch.shape))}"
            ) from error
        mult_adds = calls.mult_adds()
    by_name: dict[str, list[Call]] = {}
    for call in calls:
        by_name.setdefault(call.name, []).append(call)
    return Pass(by_name, mult_adds, answer)


def _what_to_try(calls: Calls, shape: Shape) -> str:
    """What may help where a network cannot take a picture."""
    stopped = calls.running[-1] if calls.running else None
    if stopped is not None and isinstance(stopped.module, nn.Conv2d) and stopped.inputs == [shape]:
        channels = stopped.module.in_channels
        if channels != shape[1]:
            return other_channels(channels)
    return (
        "The explorer shows networks that take one batch of pictures and nothing else; one that "
        "takes more, put into a module that adds it. If it needs pictures of another size, say "
        "size= and give paths, or resize your tensors."
    )


def choose_scores(answer: Any, output: Output | None, name: str) -> Scores:
    """Find the class scores [1, K] in what a model returned.

    Raises:
        TypeError: `output` was given and makes no tensor of floats.
        ValueError: It makes no scores [1, K].
    """
    if output is not None:
        _check_given(checked_scores(output(answer), 1))
        return Scores(output, f", output={name}")
    if is_float(answer) and answer.ndim == 2 and len(answer) == 1:
        return Scores()
    parts = {path: t for path, t in named_tensors(answer) if is_float(t) and t.shape[:1] == (1,)}
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        parts = {}  # what a detector found: of one box, [1, 4] would look like scores
    for dimensions in _SCORES_OF:
        path = next((path for path, t in parts.items() if t.ndim == dimensions), None)
        if path is not None and (dimensions > 1 or not path):
            return _taken(path, dimensions, type(answer).__name__)
    return Scores(refusal=f"the network returns {_without_scores(answer)}")


def _check_given(scores: Tensor) -> None:
    if scores.ndim != 2:
        mean = " The mean over all places makes them of maps: .mean((2, 3))." * (scores.ndim == 4)
        raise ValueError(f"output= must make scores [N, K]; it made {list(scores.shape)}.{mean}")


_MEAN = "the score of a class is the mean over all places"
# How scores [1, K] are made of so many dimensions, and the same as Python; the best first.
_SCORES_OF: dict[int, tuple[Output, str]] = {
    2: (lambda scores: scores, ""),
    4: (lambda maps: maps.mean((2, 3)), ".mean((2, 3))"),
    1: (lambda numbers: numbers[:, None], "[:, None]"),
}


def _taken(path: str, dimensions: int, kind: str) -> Scores:
    """Scores out of a part of what the model returns, and what is to be known about that."""
    make, code = _SCORES_OF[dimensions]
    what = [f"a {kind}, of which out{path} is taken"] if path else []
    if dimensions == 4:
        what.append(f"maps with a channel for each class; {_MEAN}")
    if dimensions == 1:
        what.append("one number for each picture, which is taken as its score")
    return Scores(
        lambda answer: make(dict(named_tensors(answer))[path]),
        f", output=lambda out: out{path}{code}",
        f"The network returns {': '.join(what)}. Say output= to take something else.",
    )


def _without_scores(answer: Any) -> str:
    if isinstance(answer, Tensor):
        return f"{list(answer.shape) or 'a single number'}, no scores [1, K]. Say output=."
    holds = {path: list(tensor.shape) for path, tensor in named_tensors(answer)} or "no tensors"
    return (
        f"a {type(answer).__name__} without scores [1, K]. It holds {holds}. "
        "If scores can be made of it, say output=."
    )


def _class_names(
    model: nn.Module, given: Sequence[str] | None, scores: Tensor | None
) -> tuple[str, ...] | None:
    names = getattr(getattr(model, "info", None), "classes", None) if given is None else given
    if names is None or scores is None:
        return None
    if len(names) == len(scores):
        return tuple(map(str, names))
    if given is None:
        return None
    raise ValueError(f"there are {len(names)} names in classes=, but {len(scores)} class scores.")


def _shape_text(calls: list[Call]) -> str:
    if not calls:
        return ""
    shapes = calls[0].outputs
    if len(shapes) != 1:
        return f"{len(shapes)} tensors"
    return "×".join(map(str, shapes[0][1:])) or "1"


def _note(name: str, own: str, calls: list[Call]) -> str:
    if name != own:
        return f"the same layer as {own}"
    if not calls:
        return "never called"
    return f"called {len(calls)} times" if len(calls) > 1 else ""
