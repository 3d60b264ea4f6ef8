"""Choose the layer that class activation maps are made from; tell where its channels are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vizhelpers._utils.checks import Output, check_images, is_float, select, to_model
from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.layouts import channels_last, fits
from vizhelpers.hooks import capture, differentiable
from vizhelpers.layers import get_layer, list_layers

Reshape = Callable[[Tensor], Tensor]

_NEEDED = (
    "is called exactly once, returns a map [N, C, H, W] with more than one position (or a token "
    "for each image patch), and leads to the output"
)
# Layers of PyTorch's own that change the order of dimensions, or work on the last one.
_NOT_IMAGES = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Flatten, nn.Unflatten)
_MOST_OTHER_TOKENS = 8  # a class token, a few registers
# At least so many of the tokens that change most belong to the changed part of the image. In 15
# families of timm it was 0.67 and more at the end of every block; out of order, 0.25 to 0.5.
_OWN_TOKENS = 0.6
_ENOUGH = 4  # of so few tokens, which ones change most is chance


@dataclass(frozen=True)
class TargetLayer:
    """The layer that maps are made from.

    Attributes:
        name: Its dotted name.
        reason: Why this one, in one or two sentences.
        map_shape: Height and width of its maps, in positions.
        reshape: Makes maps `[N, C, h, w]` of what it returns, where that is something else, such
            as the tokens `[N, T, D]` of a transformer.
        biased: FullGrad's layers, in the order of their calls.
    """

    name: str
    reason: str
    map_shape: tuple[int, int]
    reshape: Reshape | None = None
    biased: tuple[str, ...] = ()


class _Unclear(str):
    """Why a layer is no target, if it may well be one: its dimensions cannot be told apart."""


@clear_errors
def choose_target_layer(
    model: nn.Module, inputs: Tensor, *, output: Output | None = None
) -> TargetLayer:
    """Choose the layer that class activation maps are usually made from.

    In a convolutional network that is the last module in the order of the forward pass whose
    output is a map `[N, C, H, W]`, before a pooling layer makes it smaller; where a block ends
    there, the block, so `layer4` and not `layer4.1`. AlexNet and VGG end in a ReLU and a pooling
    layer: the ReLU is taken, as in the Grad-CAM paper, since the pooled map says less about
    where. In a vision transformer it is the last normalisation from which the patches still
    reach the output: behind the last attention only the class token does.

    Maps with the channels last and tokens are told by the kinds of the layers and by their
    shapes; where those leave it open, the choice is yours.

    Args:
        model: Any module; it is run once, on the first image, in eval mode.
        inputs: Images `[N, C, H, W]` as the model takes them.
        output: From what the model returns to the class scores, if it returns more than those.

    Raises:
        TypeError: The model is no module, or the inputs are no tensor.
        ValueError: No layer returns a map; a later one than the last known map may return one as
            well; or no map of a transformer changes the scores.

    Example:
        >>> choose_target_layer(load_model("resnet18"), images).name
        'layer4'
    """
    model = check_images(model, inputs)
    with differentiable(model):
        return Looked(model, inputs, output).choose()


class Looked:
    """What all layers return for the first image, and how the largest scores depend on that."""

    def __init__(self, model: nn.Module, images: Tensor, output: Output | None) -> None:
        def score(result: Any) -> Any:
            leaves = tree_leaves(select(result, output))
            scores = [leaf.amax() for leaf in leaves if is_float(leaf) and leaf.numel()]
            if not scores:
                raise TypeError("neither the model nor `output` returned a tensor of floats.")
            return sum(scores)

        image = to_model(model, images.detach()[:1])
        self.model, self.image, self.image_shape = model, image, images.shape[2:]
        self.seen = capture(model, image, list_layers(model, nn.Module), gradients=score)
        self.output = select(self.seen.output, output)

    def choose(self) -> TargetLayer:
        """The layer that is usually taken."""
        known = {n: t for n, t in self._found.items() if isinstance(t, TargetLayer)}
        found = [target for target in (self._last_norm(known), self._last_map(known)) if target]
        if not found:
            raise ValueError(
                f"no layer of this {_kind(self.model)} {_NEEDED}. So there is nothing to lay over "
                f"the image. The layers return:\n{self.seen!r}"
            )
        chosen = max(found, key=lambda target: list(self.seen).index(target.name))
        for name in reversed(self._after(chosen.name)):
            why = self._found.get(name)
            if isinstance(why, _Unclear) and self.seen.gradients[name][0].any():
                raise ValueError(
                    f"{chosen.name!r} is the last layer whose maps are known, but later on "
                    f"{name!r} {why} Give that with layer={name!r}, or say another layer."
                )
        return chosen

    def given(self, name: str, reshape: Reshape | None) -> TargetLayer:
        """The layer that was asked for, if maps can be made of it."""
        found = self._target(name)
        if reshape is not None and not self._why_not(name):
            maps = reshape(self.seen[name][0])
            if not (is_float(maps) and maps.ndim == 4 and len(maps) == 1):
                what = list(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
                shape = list(self.seen[name][0].shape)
                raise ValueError(f"reshape= must make [1, C, h, w] of {shape}; it made {what}.")
            found = TargetLayer(name, f"{name!r} was asked for.", (*maps.shape[2:],), reshape)
        elif isinstance(found, TargetLayer) and found.reshape and self.seen[name][0].ndim == 3:
            self._check_order(found, found.reshape)
        if isinstance(found, TargetLayer):
            return found
        if isinstance(found, _Unclear):
            raise ValueError(f"no map can be made at {name!r}: it {found}")
        known = [other for other, t in self._found.items() if isinstance(t, TargetLayer)]
        around = [other for other in known if name.startswith(f"{other}.")]
        such_as = f", such as {(around + known[::-1])[0]!r}" if known else ""
        raise ValueError(
            f"no map can be made at {name!r}: it {found}. Take a layer that {_NEEDED}{such_as}."
        )

    def biases(self) -> TargetLayer:
        """What FullGrad uses."""
        kinds = (nn.Conv2d, nn.BatchNorm2d)
        modules = self.model.named_modules()
        layers = {n: m for n, m in modules if isinstance(m, kinds) and m.bias is not None}
        used = [n for n in self.seen if n in layers and self.seen.gradients[n][0] is not None]
        if not used:
            why = "this model calls none"
        elif other := next((n for n in used if type(layers[n]) not in kinds), None):
            why = f"{other!r} is one of another kind, {_kind(layers[other])}, and would be left out"
        elif twice := next((n for n in used if len(self.seen[n]) > 1), None):
            why = f"{twice!r} is called {len(self.seen[twice])} times"
        elif parts := next((n for n in used if len(self.seen[n][0]) > 1), None):
            why = f"{parts!r} returns {list(self.seen[parts][0].shape)} for one image"
        else:
            reason = f"FullGrad adds up all {len(used)} Conv2d and BatchNorm2d layers with a bias."
            rows, columns = self.image_shape
            return TargetLayer("all biases", reason, (rows, columns), biased=tuple(used))
        raise ValueError(
            "FullGrad of pytorch-grad-cam adds up what nn.Conv2d and nn.BatchNorm2d layers with a "
            f"bias contribute, each called once, and {why}. Choose another method, such as "
            "'GradCAM'."
        )

    @cached_property
    def _found(self) -> dict[str, TargetLayer | str]:
        """What `_target` says of each layer, in the order in which they were called."""
        return {name: self._target(name) for name in self.seen if "[" not in name}

    # -- which one ------------------------------------------------------------------------------

    def _after(self, name: str) -> list[str]:
        names = list(self.seen)
        return names[names.index(name) + 1 :]

    def _last_norm(self, known: dict[str, TargetLayer]) -> TargetLayer | None:
        """The last normalisation of tokens, for a transformer."""
        norms = [
            (name, target, target.reshape)
            for name, target in reversed(known.items())
            if "Norm" in _kind(get_layer(self.model, name)) and self.seen[name][0].ndim == 3
        ]
        if norms and not any(self.seen.gradients[name][0].any() for name in known):
            raise ValueError(
                f"no map changes the scores of this {_kind(self.model)}. Before training the "
                "weights of a transformer's last layer are often zero: load trained ones, or say "
                "which layer to take: layer=."
            )
        for name, target, reshape in norms:
            if reshape and reshape(self.seen.gradients[name][0]).any():
                rows, columns = target.map_shape
                why = "the last normalisation from which image patches reach the output"
                where = target.reason.partition(". ")[2]
                return replace(
                    target, reason=f"{name!r} is {why}: {rows}×{columns} of them. {where}"
                )
        return None

    def _last_map(self, known: dict[str, TargetLayer]) -> TargetLayer | None:
        """The last map, for a convolutional network."""
        results = [leaf for leaf in tree_leaves(self.output) if isinstance(leaf, Tensor)]
        maps = [
            name
            for name in known
            if self.seen[name][0].ndim == 4
            and not any(torch.equal(self.seen[name][0], result) for result in results)
        ]
        if not maps:
            return None
        leaves = list_layers(self.model)
        kinds = {name: _kind(get_layer(self.model, name)) for name in maps}
        own = [name for name in maps if name in leaves and "Pool" not in kinds[name]] or maps
        size = known[own[-1]].map_shape
        # On to the blocks that end with this layer, or that join it with parallel branches.
        same = takewhile(lambda n: known[n].map_shape == size, maps[maps.index(own[-1]) :])
        name = list(same)[-1]
        output, (rows, columns) = self.seen[name][0], size
        reason = (
            f"{name!r} is the last layer that returns maps before they are pooled or flattened: "
            f"{output[0].numel() // (rows * columns)} of {rows}×{columns} positions."
        )
        if after := next((other for other in self._after(name) if other in leaves), None):
            kind, shape = _kind(get_layer(self.model, after)), list(self.seen[after][0].shape)
            reason += f" Next comes {after!r} ({kind}), which returns {shape}."
        return replace(known[name], reason=reason)

    # -- what it returns ------------------------------------------------------------------------

    def _target(self, name: str) -> TargetLayer | str:
        """The layer as a target, or why it is none."""
        if why := self._why_not(name):
            return why
        output = self.seen[name][0]
        if output.ndim == 3 and 1 in output.shape[:2]:
            return self._tokens(name, output)
        if output.ndim == 4 and len(output) == 1:
            return self._map(name, output)
        return f"returns {list(output.shape)} for one image"

    def _why_not(self, name: str) -> str:
        if name not in self.seen:
            return "was not called, or does not return a single tensor"
        if (calls := len(self.seen[name])) > 1:
            return f"is called {calls} times, of which the library would show the first"
        if self.seen.gradients[name][0] is None:
            return "does not lead to the scores, or detach() or no_grad() hides it"
        return ""

    def _map(self, name: str, output: Tensor) -> TargetLayer | str:
        """A map [1, C, h, w] or [1, h, w, C]."""
        shape, last = list(output.shape), channels_last(get_layer(self.model, name), output)
        if last is None:
            fitting = [fits(shape[2:], self.image_shape), fits(shape[1:3], self.image_shape)]
            if self._only_images and fitting != [False, True]:
                last = False
            elif not any(fitting):
                return f"returns {shape}, which has not the image's proportions"
            elif all(fitting) or self._only_images:
                return _Unclear(
                    f"returns {shape}, whose channels may come first or last. If last, say "
                    "reshape=lambda out: out.movedim(-1, 1), else reshape=lambda out: out."
                )
            elif shape[2] == shape[3] and shape[2] in self._token_counts:
                return f"returns {shape}, which looks like attention between tokens"
            else:
                last = fitting[1]
        rows, columns = shape[1:3] if last else shape[2:]
        if rows * columns == 1:
            return f"returns {shape}, with one position"
        reason = f"{name!r} was asked for."
        if not last:
            return TargetLayer(name, reason, (rows, columns))
        reason += f" Its channels come last: {rows}×{columns} positions."
        return TargetLayer(name, reason, (rows, columns), lambda maps: maps.movedim(-1, 1))

    @cached_property
    def _only_images(self) -> bool:
        """Whether all innermost layers work on [N, C, H, W], none on tokens or the last axis."""
        leaves = [
            (get_layer(self.model, name), self.seen[name][0])
            for name in list_layers(self.model)
            if name in self.seen and self.seen[name][0].ndim >= 3
        ]
        return all(
            channels_last(layer, output) is False
            or (layer.__module__.startswith("torch.nn.") and not isinstance(layer, _NOT_IMAGES))
            for layer, output in leaves
        )

    @cached_property
    def _token_counts(self) -> set[int]:
        """How many tokens there are, where a normalisation tells which dimension counts them."""
        return {
            self.seen[name][0][..., 0].numel()
            for name in list_layers(self.model)
            if name in self.seen
            and self.seen[name][0].ndim == 3
            and channels_last(get_layer(self.model, name), self.seen[name][0])
        }

    def _tokens(self, name: str, output: Tensor) -> TargetLayer | str:
        """Tokens, one for each patch that a convolution before has cut out."""
        shape = list(output.shape)
        # [1, T, D], [T, 1, D], or [1, D, T] where a map was flattened.
        axes = [0] if shape[0] > 1 else [1] if shape[1] in self._token_counts else [1, 2]
        for number, (conv, rows, columns) in enumerate(self._patches_before(name)):
            others = {axis: shape[axis] - rows * columns for axis in axes}
            most = 0 if number else _MOST_OTHER_TOKENS
            fitting = [a for a in axes if 0 <= others[a] <= (0 if a == 2 else most)]
            if len(fitting) == 1:
                (axis,) = fitting
                count = others[axis]
                behind = f", behind {count} other token{'s' * (count > 1)}" if count else ""
                reason = f"{name!r} was asked for. The patches are those of {conv!r}{behind}."
                reshape = partial(_as_maps, axis=axis, others=count, rows=rows)
                return TargetLayer(name, reason, (rows, columns), reshape)
        if shape[axes[0]] == 1:
            return f"returns {shape}, with one position"
        return _Unclear(
            f"returns {shape}, and how its tokens lie in the image cannot be told. Say so: "
            "reshape=lambda out: out.transpose(1, 2).unflatten(2, (rows, columns)); with a class "
            "token in front, out[:, 1:] first."
        )

    def _check_order(self, target: TargetLayer, reshape: Reshape) -> None:
        """Refuse tokens that stand in another order than the patches, as inside Hiera.

        A quarter of the image is changed: its own tokens must then change most.
        """
        height, width = self.image_shape
        changed = self.image.clone()
        quarter = changed[..., : height // 2, width // 2 :]
        quarter.copy_(torch.rand(quarter.shape, generator=torch.Generator().manual_seed(0)))
        new = capture(self.model, changed, target.name)[target.name][0]
        change = reshape((new - self.seen[target.name][0]).float()).abs().mean((0, 1))
        rows, columns = change.shape
        own = torch.zeros(rows, columns, dtype=torch.bool)
        own[: rows // 2, columns - columns // 2 :] = True
        if own.sum() < _ENOUGH:
            return
        most = change.flatten().topk(int(own.sum())).indices
        if own.flatten()[most.cpu()].float().mean() < _OWN_TOKENS:
            raise ValueError(
                f"how the tokens of {target.name!r} lie in the image cannot be told: when its top "
                "right quarter is changed, it is not the tokens there that change most. They stand "
                "in another order, or say nothing about places. Take another layer, or say how "
                "they lie: reshape=."
            )

    def _patches_before(self, name: str) -> Iterator[tuple[str, int, int]]:
        """The convolutions before a layer, the nearest first, and the sizes of their maps."""
        earlier = list(takewhile(lambda other: other != name, self.seen))
        for conv in filter(self._convs.__contains__, reversed(earlier)):
            output = self.seen[conv][0]
            if not self._why_not(conv) and output.ndim == 4 and output[0, 0].numel() > 1:
                yield conv, output.shape[2], output.shape[3]

    @cached_property
    def _convs(self) -> set[str]:
        return set(list_layers(self.model, nn.Conv2d))


def _as_maps(tokens: Tensor, *, axis: int, others: int, rows: int) -> Tensor:
    """Maps [N, D, h, w] of tokens that are counted along an axis, some others before them."""
    maps = tokens.permute({0: (1, 2, 0), 1: (0, 2, 1), 2: (0, 1, 2)}[axis])[..., others:]
    return maps.reshape(*maps.shape[:2], rows, -1)


def _kind(value: object) -> str:
    return type(value).__name__
