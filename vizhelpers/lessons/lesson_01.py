"""Exercises of lesson 01, print vs torchinfo."""

from typing import TYPE_CHECKING, Any

from vizhelpers.exercises.authoring import Outcome, exercise, expect, number, question, right, wrong

if TYPE_CHECKING:
    import torch
    from torch import nn

q1 = question("01.q1", right_choice="b")
q2 = question("01.q2", right_choice="c")
q3 = question("01.q3", right_choice="a")


@exercise("01.parameters")
def parameters(answer: object) -> Outcome:
    """How many parameters does `features.3` of VGG11 have?"""
    import torch
    from torchvision.models import vgg11

    with torch.device("meta"):  # shapes are enough: VGG11's numbers would fill 0.5 GB
        layer: Any = vgg11().features[3]
    kernels, biases = layer.weight.numel(), layer.bias.numel()
    one_kernel = layer.weight[0].numel()
    one_plane_each = kernels // layer.in_channels
    mistakes = {
        kernels: "bias",
        kernels + layer.in_channels: "bias_of_input",
        one_plane_each: "one_plane",
        one_plane_each + biases: "one_plane",
        one_kernel: "one_kernel",
        one_kernel + 1: "one_kernel",
    }
    given = number(answer)
    if given == kernels + biases:
        return right(one_kernel=one_kernel, biases=biases, total=kernels + biases)
    return wrong(mistakes.get(given, "other"), inputs=layer.in_channels, biases=biases)


@exercise("01.mult_adds")
def mult_adds(answer: object) -> Outcome:
    """How many mult-adds does `conv1` of ResNet18 take for one 128 × 128 picture?"""
    import torch
    from torchvision.models import resnet18

    with torch.device("meta"):
        conv: Any = resnet18().conv1
        picture, larger = torch.empty(1, 3, 128, 128), torch.empty(1, 3, 224, 224)
        positions, more_positions = (conv(each)[0, 0].numel() for each in (picture, larger))
    weights = conv.weight.numel()
    pixels, expected = picture[0, 0].numel(), weights * positions
    mistakes = {
        weights: "parameters",
        weights * more_positions: "size",
        weights * pixels: "stride",
        2 * expected: "flops",
        expected // conv.out_channels: "one_kernel",
        expected // conv.in_channels: "one_plane",
    }
    given = number(answer)
    if given == expected:
        return right(weights=weights, positions=positions, total=expected)
    return wrong(mistakes.get(given, "other"), weights=weights, positions=positions, pixels=pixels)


@exercise("01.mend")
def mend(answer: object) -> Outcome:  # noqa: PLR0911  (one return for each mistake)
    """Give the network with the wrong `Linear` a right one."""
    from torch import Tensor, nn

    arriving, output, problem = _try_out(expect(answer, "module", nn.Module))
    if arriving is None:
        return wrong("no_linear") if problem is None else wrong("fails", problem=problem)
    linear, found = arriving
    if len(found) != 2 or found[0] != PICTURES:
        return wrong("batch", found=list(found))
    if problem is not None:
        if linear.in_features != found[1]:
            return wrong("sizes", arrives=found[1], takes=linear.in_features)
        return wrong("fails", problem=problem)
    if not isinstance(output, Tensor) or output.shape != (PICTURES, CLASSES):
        return wrong("classes", found=output)
    arrives, kept = found[1], _feature_count()
    if arrives != kept:
        return wrong("features", arrives=arrives, kept=kept)
    return right(kept=kept)


PICTURES, SIDE, CLASSES = 2, 128, 10  # what `mend` tries a network on, and expects from it


def _feature_count() -> int:
    """How many numbers the lesson's two convolutions hand on for one picture."""
    import torch
    from torch import nn

    with torch.device("meta"):
        block = [nn.Conv2d(3, 16, 3, padding=1), nn.MaxPool2d(2)]
        block += [nn.Conv2d(16, 32, 3, padding=1), nn.MaxPool2d(2)]
        return nn.Sequential(*block)(torch.empty(1, 3, SIDE, SIDE)).numel()


def _try_out(
    model: "nn.Module",
) -> tuple["tuple[nn.Linear, torch.Size] | None", object, str | None]:
    """Run a network on two pictures and leave it as it was.

    Returns:
        The first `Linear` and the shape that arrived there, the output, and the error's text.
    """
    import torch
    from torch import nn

    from vizhelpers.state import preserve_state

    arrivals: list[tuple[nn.Linear, torch.Size]] = []

    def watch(module: Any, inputs: tuple[Any, ...]) -> None:
        arrivals.append((module, inputs[0].shape))

    problem, output = None, None
    like = next(model.parameters(), torch.empty(0))
    pictures = torch.zeros(PICTURES, 3, SIDE, SIDE, device=like.device, dtype=like.dtype)
    with preserve_state(model), torch.no_grad():
        model.eval()
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(watch)
        try:
            output = model(pictures)
        except Exception as error:  # a network that is still broken is an answer, too
            problem = (str(error) or type(error).__name__).splitlines()[0]
    return (arrivals[0] if arrivals else None), output, problem
