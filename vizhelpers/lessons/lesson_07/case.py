"""A patient of the clinic, and what a learner says about one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

import vizhelpers as vh
from vizhelpers.exercises.cards import Card
from vizhelpers.lessons.lesson_07.names import DIAGNOSES, TOOLS, check_name

Loss = Callable[[Tensor, Tensor], Tensor]
History = Mapping[str, tuple[list[int], list[float]]]  # a curve's name → its steps and values
T = TypeVar("T")


def once(measure: Callable[[Case], T]) -> Callable[[Case], T]:
    """Keep what is measured on a patient whom nobody changes, so that it is measured once."""

    @wraps(measure)
    def measured(case: Case) -> T:
        if case._known is None:
            return measure(case)
        if measure.__name__ not in case._known:
            case._known[measure.__name__] = measure(case)
        found: T = case._known[measure.__name__]
        return found

    return measured


class Truth(NamedTuple):
    """What is known of drawn pictures, and a stranger's photos would not tell.

    Attributes:
        photos: int64 ``[N]``, what the photos show.
        inputs: int64 ``[N]``, what is still to be seen in what the network gets.
        backgrounds: int64 ``[N]``, index in ``vh.scenes.BACKGROUNDS``.
        masks: float32 ``[N, H, W]``, where the object is in the photo.
    """

    photos: Tensor
    inputs: Tensor
    backgrounds: Tensor
    masks: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Case:
    """A patient: a network that somebody brings, with their pictures and what they say about it.

    Attributes:
        model: The network, in the state in which it came: its mode, its hooks, its weights.
        photos: float32 ``[N, 3, H, W]`` in [0, 1], the owner's pictures.
        inputs: ``[N, 3, h, w]``, the same as the network gets them.
        labels: int64 ``[N]``, what the owner says they show: index in ``classes``.
        classes: The names of the classes, as the owner has them.
        start: The state dict from which it came: that of the file that the owner loaded, or
            that before the training.
        history: The curves of its training; None where it came trained.
        loss: From scores and labels to the number that the training makes small.
        complaint: What the owner says.
        letter: The patient's name.
        seed: Of all that was drawn by lot.
    """

    model: nn.Module
    photos: Tensor
    inputs: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    start: Mapping[str, Tensor]
    _truth: Truth
    history: History | None = None
    loss: Loss = nn.functional.cross_entropy
    complaint: str = ""
    letter: str = ""
    seed: int = 0
    _known: dict[str, Any] | None = None  # see `once`; None in what learners get, to change it

    def __repr__(self) -> str:
        return f"{self._title}: {self.complaint}"

    def _repr_html_(self) -> str:
        return Card("prediction", self._title, lines=(self.complaint,))._repr_html_()

    @property
    def _title(self) -> str:
        return f"Patient {self.letter}" + (f", seed {self.seed}" if self.seed else "")

    @once
    def scores(self) -> Tensor:
        """What the network says to each picture, asked one by one, as the owner does: [N, C]."""
        size = 1 if self.model.training else len(self.inputs)  # else it makes no difference
        with vh.preserve_state(self.model), torch.no_grad():
            return torch.cat([self.model(few) for few in torch.split(self.inputs, size)])

    def answers(self) -> Tensor:
        """The class that the network gives each picture: int64 ``[N]``, index in ``classes``."""
        return self.scores().argmax(dim=1)

    def finding(self, diagnosis: str, tool: str, where: str | None = None) -> Finding:
        """Say what is wrong with this patient, and which picture told you: for `check`.

        Args:
            diagnosis: One of ``names.DIAGNOSES``.
            tool: The name of the tool whose picture shows it: one of ``names.TOOLS``.
            where: The layer at which that picture shows it, if it shows layers.

        Raises:
            ValueError: There is no such diagnosis, tool or layer; the nearest ones are named.

        Example:
            >>> check("07.patient", case.finding("bgr", "inputs"))
        """
        check_name("there is no diagnosis called", diagnosis, DIAGNOSES)
        check_name("there is no tool called", tool, TOOLS)
        if where is not None:
            vh.get_layer(self.model, where)
        return Finding(self, diagnosis, tool, where)


class Finding(NamedTuple):
    """What a learner says about a patient: `Case.finding` makes it."""

    case: Case
    diagnosis: str
    tool: str
    where: str | None = None
