"""Exercises of lesson 08, your own model and picture."""

from functools import cache
from typing import TYPE_CHECKING, Any

import vizhelpers as vh
from vizhelpers.exercises.authoring import (
    Outcome,
    WrongKindError,
    exercise,
    expect,
    prediction,
    right,
    wrong,
)
from vizhelpers.exercises.trials import own_function, same, try_out

if TYPE_CHECKING:
    from torch import Tensor, nn

DEAD = 1 / 4  # the share of channels that the open exercise wants
PATCHES, OTHER_TOKENS = 14, 5  # of the transformer in the exercise: a class token, four registers


@prediction("08.p1")
def never_trained(found: str) -> str:
    """Which row of maps is that of a network without training?"""
    return found


@prediction("08.p2")
def not_normalised(found: tuple[int, float]) -> tuple[str, dict[str, object]]:
    """What happens to the answers if the pictures are not normalised?"""
    stay, lost = found
    letter = "a" if stay <= 1 else "c" if lost < 0.02 else "b"
    return letter, {"stay": stay, "lost": f"{lost:.0%}"}


@prediction("08.p3")
def not_strict(found: int) -> tuple[str, dict[str, object]]:
    """How often, of 200, is a network right whose names did not fit, loaded with strict=False?"""
    letter = "a" if found > 120 else "b" if found > 40 else "c"
    return letter, {"found": found}


@prediction("08.p4")
def tokens_that_change(found: int) -> tuple[str, dict[str, object]]:
    """How many of 196 tokens change behind the first block, if one patch is painted over?"""
    letter = "a" if found == 1 else "b" if found < 100 else "c"
    return letter, {"found": found}


@prediction("08.p5")
def caught(found: list[int]) -> str:
    """Which line of the checklist finds out the network that looks at the background?"""
    return {2: "a", 3: "b", 4: "c", 5: "d"}[found[0]] if len(found) == 1 else "e"


@exercise("08.transform")
def transform(answer: object) -> Outcome:
    """With which transform was a network trained that does not say so?"""
    given = expect(answer, "text", str).strip()
    shares = _sure()
    if given not in shares:
        return wrong("unknown", names=", ".join(f"`{name}`" for name in shares))
    best, second, *_ = sorted(shares, key=lambda name: -shares[name])
    values = {"name": given, "share": f"{shares[given]:.0%}"}
    if given != best:
        return wrong("other", **values)
    return right(second=second, next=f"{shares[second]:.0%}", **values)


@cache
def _sure() -> dict[str, float]:
    """For each transform, how likely the mystery network finds what the photos show."""
    from vizhelpers.lessons.lesson_08.measurements import sure_of
    from vizhelpers.lessons.lesson_08.mystery import mystery_network
    from vizhelpers.lessons.lesson_08.transforms import TRANSFORMS

    photos = vh.zoo.load_photos()
    known = photos.labels >= 0
    images, labels = photos.images[known], photos.labels[known]
    found = sure_of(mystery_network(), images, labels, TRANSFORMS)
    return {name: each.mean().item() for name, each in found.items()}


@exercise("08.tokens")
def tokens(answer: object) -> Outcome:
    """Write a function that lays the tokens of a transformer out as maps."""
    import torch

    function = own_function(answer, ready=("class_maps", "choose_target_layer"))
    given = torch.rand(2, OTHER_TOKENS + PATCHES**2, 6, generator=torch.Generator().manual_seed(0))
    trial = try_out(function, given)
    if trial.problem:
        return wrong("fails", problem=trial.problem, place=trial.place)
    patches = given[:, OTHER_TOKENS:].view(2, PATCHES, PATCHES, 6)
    expected = patches.permute(0, 3, 1, 2)
    found = trial.found
    if isinstance(found, torch.Tensor) and found.shape == patches.shape:
        return wrong("last")
    if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
        return wrong("shape", found=found, expected=list(expected.shape))
    if torch.equal(found, expected):
        return right(other=OTHER_TOKENS)
    first = given[:, : PATCHES**2].view_as(patches).permute(0, 3, 1, 2)
    one = given[:, 1 : 1 + PATCHES**2].view_as(patches).permute(0, 3, 1, 2)
    mistakes = {
        "mixed": patches.reshape(expected.shape),
        "turned": expected.mT,
        "first": first,
        "one": one,
    }
    return wrong(next((key for key, made in mistakes.items() if same(found, made)), "other"))


@exercise("08.channels")
def channels(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Write a function that gives a convolution a fourth channel and changes no answer."""
    import torch
    from torch import nn

    function = own_function(answer)
    conv, picture = _first_layer()
    before = {name: value.clone() for name, value in conv.state_dict().items()}
    with torch.random.fork_rng(devices=[]):  # a new layer draws weights
        trial = try_out(function, conv, model=conv)
    if trial.problem:
        return wrong("fails", problem=trial.problem, place=trial.place)
    made = trial.found
    if not isinstance(made, nn.Conv2d):
        return wrong("kind", found=made)
    after = conv.state_dict()
    if made is conv or any(not torch.equal(after[name], old) for name, old in before.items()):
        return wrong("changed")
    if tuple(made.weight.shape[:2]) != (conv.out_channels, 4):
        return wrong("shape", found=list(made.weight.shape))
    with torch.no_grad():
        expected, found = conv(picture[:, :3]), made(picture)
        other = made(torch.cat([picture[:, :3], 1 - picture[:, 3:]], dim=1))
    if found.shape != expected.shape:
        return wrong("settings", found=list(found.shape), expected=list(expected.shape))
    if not torch.allclose(found, other, atol=1e-5):
        return wrong("depends")
    if torch.allclose(found, expected, atol=1e-5):
        return right(weights=made.weight[:, 3].numel())
    levels = (found - expected).std(dim=(0, 2, 3)).max()
    return wrong("bias" if levels < 1e-5 else "other")


def _first_layer() -> "tuple[nn.Conv2d, Tensor]":
    """A convolution for colour pictures, and a picture of four channels."""
    import torch
    from torch import nn

    from vizhelpers._utils.random_numbers import own_random_numbers

    with own_random_numbers(0):
        return nn.Conv2d(3, 8, 5, stride=2, padding=2), torch.rand(1, 4, 16, 16)


@exercise("08.target")
def target(answer: object) -> Outcome:
    """Write a target for a segmentation network: a class's score where it is the answer."""
    import torch

    function = own_function(answer)
    scores, number = _scores_of_places()
    trial = try_out(function, scores, number)
    if trial.problem:
        return wrong("fails", problem=trial.problem, place=trial.place)
    found = trial.found
    if not isinstance(found, torch.Tensor) or found.numel() != 1:
        return wrong("number", found=found)
    there = scores.argmax(dim=0) == number
    expected = scores[number][there].mean()
    near = {
        "everywhere": scores[number].mean(),
        "sum": scores[number][there].sum(),
        "masked": (scores[number] * there).mean(),
        "count": there.sum(),
        "share": there.float().mean(),
        "probability": scores.softmax(dim=0)[number][there].mean(),
        "elsewhere": scores[number][~there].mean(),
    }
    value = found.detach().float().reshape(())
    for key, mistake in near.items():
        if torch.isclose(value, mistake.detach().float(), rtol=1e-3):
            return wrong(key)
    if not torch.isclose(value, expected.detach(), rtol=1e-3):
        return wrong("other")
    if not found.requires_grad:
        return wrong("gradient")
    return right(score=f"{expected:.1f}", share=f"{there.float().mean():.0%}")


@cache
def _scores_of_places() -> "tuple[Tensor, int]":
    """What the segmentation network says of a scene with two objects; the class of one of them."""
    import torch

    from vizhelpers.lessons.lesson_08.networks import Segmenter

    pairs = vh.scenes.load_pairs(limit=1)
    with torch.no_grad():
        scores = Segmenter(vh.load_model("resnet18")).eval()(vh.normalize(pairs.images))["out"][0]
    return scores.requires_grad_(), int(pairs.labels_a[0])


@exercise("08.open")
def dead_channels(answer: object) -> Outcome:
    """Find a layer of one of the six models of which many channels are always zero."""
    if not isinstance(answer, list | tuple):
        raise WrongKindError("list")
    if len(answer) != 2 or not all(isinstance(part, str) for part in answer):
        return wrong("form")
    name, layer = (part.strip() for part in answer)
    models = _models()
    if name not in models:
        return wrong("model", name=name, names=", ".join(f"`{each}`" for each in models))
    if layer not in dict(models[name].model.named_modules()):
        return wrong("layer", name=name, layer=layer)
    dead, count = _dead(name, layer)
    if not count:
        return wrong("no_map", name=name, layer=layer)
    values = {"name": name, "layer": layer, "dead": dead, "count": count}
    kind = type(models[name].model.get_submodule(layer)).__name__
    return right(kind=kind, **values) if dead >= count * DEAD else wrong("alive", **values)


@cache
def _models() -> dict[str, Any]:
    from vizhelpers.lessons.lesson_08.networks import six_models

    return six_models()


@cache
def _dead(name: str, layer: str) -> tuple[int, int]:
    """How many channels of a layer are zero everywhere in all pictures; how many there are."""
    import torch

    subject = _models()[name]
    with torch.no_grad():
        found = vh.capture(subject.model, subject.batch, layer)[layer]
    if not found or not isinstance(found[0], torch.Tensor) or found[0].ndim != 4:
        return 0, 0
    channels = found[0].transpose(0, 1).flatten(1)
    return int((channels == 0).all(dim=1).sum()), len(channels)
