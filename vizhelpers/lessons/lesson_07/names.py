"""What can be named in an answer of the clinic: the diagnoses and the tools."""

from __future__ import annotations

from collections.abc import Collection

from vizhelpers._utils.messages import did_you_mean

DIAGNOSES = {
    "bgr": "the pictures come in as blue, green, red; the network learned red, green, blue",
    "not normalised": "the pictures go in from 0 to 1; the network learned normalised ones",
    "normalised twice": "mean and standard deviation are taken out two times",
    "size hidden by a pool": "too small a map is stretched, so that it fits the linear layer",
    "weights not loaded": "a layer of the file found no layer of its name: that one is random",
    "train mode": "the network answers in training mode, by the statistics of its company",
    "swapped labels": "the list of class names has another order than in training",
    "background shortcut": "the network learned the background, not the object",
    "leaked hook": "a hook of guided backpropagation was never removed",
    "labels shuffled": "pictures and labels were put in order separately",
    "harmful augmentation": "what is done to the pictures changes what they show",
    "frozen layer": "layers that should learn were frozen",
    "detached branch": "a branch is cut off from the gradient",
    "dead relus": "units never get above zero, so that no gradient passes them",
    "vanishing gradients": "the gradient gets smaller from layer to layer on its way back",
    "exploding gradients": "numbers and gradients get larger from layer to layer",
    "softmax twice": "the network ends in a softmax, and the loss takes another one",
}

TOOLS = {  # in the order in which one would look
    "inputs": "the pictures as they are, and as the network gets them",
    "mistakes": "what is taken for what",
    "curves": "loss and accuracy during the training",
    "summary": "the layers, their shapes and parameters",
    "activations": "how large each layer's outputs are, and how many units are silent",
    "feature_maps": "what one layer makes of a picture",
    "gradients": "how large the loss's gradient is at each layer",
    "moved": "how far each layer is from where it started",
    "weights": "how the weights of each layer are distributed",
    "again": "the same picture asked again, alone and in company",
    "cam": "which places speak for the answer (Grad-CAM)",
    "saliency": "to which pixels the likely classes are sensitive",
}


def check_name(problem: str, given: object, known: Collection[str]) -> None:
    """Raise a ValueError if a name is not known; its message names the nearest that are.

    Args:
        problem: What the message begins with, in front of the name.
        given: The name.
        known: All that there are.
    """
    if not isinstance(given, str) or given not in known:
        near = did_you_mean(str(given), known) or f"There are: {', '.join(known)}."
        raise ValueError(f"{problem} {given!r}. {near}")
