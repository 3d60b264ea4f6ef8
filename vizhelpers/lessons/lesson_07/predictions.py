"""Predictions of lesson 07."""

from __future__ import annotations

from vizhelpers.exercises.authoring import prediction


@prediction("07.p1")
def learned_by_heart(found: float) -> tuple[str, dict[str, object]]:
    """Does a network learn a batch by heart whose labels were drawn by lot?

    Args:
        found: Its loss on that batch after the training.
    """
    letter = "a" if found < 0.2 else "b" if found < 1.5 else "c"
    return letter, {"found": f"{found:.2f}"}


@prediction("07.p2")
def gradient_left(found: float) -> str:
    """How much of a gradient is left in a network whose loss does not move?

    Args:
        found: The largest gradient of any of its weights.
    """
    return "c" if found == 0 else "b" if found < 0.01 else "a"


@prediction("07.p3")
def floor_of_the_loss(found: float) -> tuple[str, dict[str, object]]:
    """How low can cross-entropy fall when it is given probabilities instead of scores?

    Args:
        found: The loss of answers that are right and as sure as can be.
    """
    letter = "a" if found < 0.1 else "b" if found < 1.2 else "c"
    return letter, {"found": f"{found:.2f}"}
