"""Pieces that take images. What a layer is made of is decided here; its forward computes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from tools.random_modules.draft import MOST, SIDE, Draft


def conv_to(draft: Draft, x: int, channels: int) -> int:
    """A convolution that keeps the side."""
    kernel, size = draft.random.choice([1, 3]), draft.channels(x)
    groups = draft.divisor(size, channels) if draft.maybe(0.3) else 1
    options = {"padding": kernel // 2, "groups": groups, "bias": draft.maybe()}
    return draft.add(nn.Conv2d(size, channels, kernel, **options), x)


def conv(draft: Draft) -> None:
    """A convolution of any kind."""
    x, channels = draft.pick(), draft.width()
    stride = 2 if draft.side(x) > 4 and draft.maybe(0.3) else 1
    if stride == 1:
        conv_to(draft, x, channels)
    else:
        draft.add(nn.Conv2d(draft.channels(x), channels, 3, 2, 1, bias=draft.maybe()), x)


def normal_conv(draft: Draft) -> None:
    """A convolution whose weight is computed from parameters."""
    x = draft.pick()
    made = nn.Conv2d(draft.channels(x), draft.width(), 1)
    draft.add(parametrizations.weight_norm(made), x)


def depthwise(draft: Draft) -> None:
    """Each channel by itself, once or twice."""
    x = draft.pick()
    size = draft.channels(x)
    times = draft.random.choice([1, 1, 2]) if 2 * size <= MOST else 1
    draft.add(nn.Conv2d(size, size * times, 3, 1, 1, groups=size, bias=draft.maybe()), x)


def transposed(draft: Draft) -> None:
    """A transposed convolution, with groups and without."""
    x, channels = draft.pick(), draft.width()
    size = draft.channels(x)
    groups = draft.divisor(size, channels) if draft.maybe(0.4) else 1
    kernel, stride, padding = (2, 2, 0) if draft.side(x) < SIDE else (3, 1, 1)
    options = {"groups": groups, "bias": draft.maybe()}
    draft.add(nn.ConvTranspose2d(size, channels, kernel, stride, padding, **options), x)


class Last(nn.Module):
    """A layer that finds the channels of an image on the last axis."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """There and back."""
        y: Tensor = self.layer(x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2)


def linear(draft: Draft) -> None:
    """A linear layer over channels."""
    x = draft.pick()
    draft.add(Last(nn.Linear(draft.channels(x), draft.width(), draft.maybe())), x)


def norm(draft: Draft) -> None:
    """A norm, with parameters and without."""
    x, affine = draft.pick(), draft.maybe(0.7)
    size, side = draft.channels(x), draft.side(x)
    # "ONNX export of batch_norm for unknown channel size": after a reshape, without parameters
    bound = affine or draft.exporter == "legacy"
    layers = [
        *(lambda: nn.BatchNorm2d(size, affine=bound) for _ in range(2)),
        lambda: nn.GroupNorm(draft.divisor(size), size, affine=affine),
        lambda: nn.InstanceNorm2d(size, affine=affine),
        lambda: Last(nn.LayerNorm(size, elementwise_affine=affine)),
        lambda: nn.LayerNorm([size, side, side], elementwise_affine=affine),
    ]
    if draft.exporter != "legacy":  # "Exporting the operator 'aten::rms_norm' is not supported"
        layers.append(lambda: Last(nn.RMSNorm(size, elementwise_affine=affine)))
    draft.add(draft.random.choice(layers)(), x)


def activation(draft: Draft) -> None:
    """Of entries, of which some do not keep zero."""
    x = draft.pick()
    size = draft.channels(x)
    plain = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.Hardswish, nn.Softplus, nn.ELU)
    draft.add(draft.random.choice([*plain, lambda: nn.PReLU(size), nn.PReLU])(), x)


def binary(draft: Draft) -> None:
    """Two tensors of equal shape."""
    x = draft.pick()
    y = draft.pick(like=x)
    if y == x or draft.maybe(0.3):
        y = same_shape(draft, x)
    name = draft.random.choice(["add", "add", "add", "mul", "sub", "maximum"])
    draft.call(name, getattr(torch, name), *draft.random.sample([x, y], 2))


def same_shape(draft: Draft, x: int) -> int:
    """A new tensor of the shape of another, made of any."""
    source = draft.pick(rest=x)
    size = draft.channels(x)
    if draft.axis == 1:
        return conv_to(draft, source, size)
    return draft.add(nn.Linear(draft.channels(source), size, draft.maybe()), source)


def concat(draft: Draft) -> None:
    """Two or three tensors side by side."""
    x, axis = draft.pick(), draft.axis
    parts = [x, *(draft.pick(rest=x) for _ in range(draft.random.choice([1, 1, 2])))]
    if sum(map(draft.channels, parts)) > MOST:
        return
    draft.random.shuffle(parts)
    draft.call(f"cat, {axis}", lambda *given: torch.cat(given, axis), *parts)


def split(draft: Draft) -> None:
    """Parts of the channels, by fixed sizes or by what is there."""
    x, axis = draft.pick(), draft.axis
    size = draft.channels(x)
    first = draft.random.randint(1, size - 1)
    kind = draft.random.choice(["split", "chunk", "slice", "slice half", "unflatten"])
    parts = draft.divisor(size, least=2)
    if kind == "chunk" or (kind == "unflatten" and parts == 1):
        draft.call("chunk 2", lambda t: t.chunk(2, axis), x)
    elif kind == "split":
        draft.call(f"split {first}", lambda t: t.split([first, size - first], axis), x)
    elif kind == "slice":
        draft.call(f"slice {first}", lambda t: t.narrow(axis, first, size - first), x)
    elif kind == "slice half":
        draft.call("first half", lambda t: t.narrow(axis, 0, t.shape[axis] // 2), x)
    else:
        name = f"unflatten {parts}, unbind"
        draft.call(name, lambda t: t.unflatten(axis, (parts, -1)).unbind(axis), x)


def slices(draft: Draft) -> None:
    """By Python's slices, with steps, and by indices; counted from the end."""
    x = draft.pick()
    size, axis = draft.channels(x), draft.axis
    start, step = draft.random.randrange(-size, size - 1), draft.random.choice([1, 2])
    some = [draft.random.randrange(size) for _ in range(draft.random.randint(1, size))]

    def at(index: object) -> Callable[[Tensor], Tensor]:
        return lambda t: t[:, index] if axis == 1 else t[..., index]

    kind = draft.random.choice(["slice", "indices", "flip", "roll"])
    if kind == "slice":
        draft.call(f"[{start}::{step}]", at(slice(start, None, step)), x)
    elif kind == "indices":
        draft.call(f"{some}", at(some), x)
    elif kind == "flip":
        draft.call("flip", lambda t: t.flip(axis), x)
    else:
        draft.call("roll 1", lambda t: t.roll(1, axis), x)


def shuffle(draft: Draft) -> None:
    """A channel shuffle, with sizes of its own or the tensor's."""
    x = draft.pick()
    size, side = draft.channels(x), draft.side(x)
    groups = draft.divisor(size, least=2)

    def fixed(t: Tensor) -> Tensor:
        t = t.view(-1, groups, size // groups, side, side).transpose(1, 2)
        return t.reshape(-1, size, side, side)

    def free(t: Tensor) -> Tensor:
        b, c, h, w = t.shape
        return t.view(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)

    if draft.maybe():
        draft.call(f"fixed shuffle {groups}", fixed, x)
    else:
        draft.call(f"shuffle {groups}", free, x)


def fold(draft: Draft) -> None:
    """Groups of channels go into the batch; the same convolution is applied to each."""
    x = draft.pick()
    size = draft.channels(x)
    draft.add(Folded(draft.divisor(size), size, draft.random.choice([2, 3])), x)


class Folded(nn.Module):
    """A convolution of each group, with the same weight."""

    def __init__(self, groups: int, size: int, made: int) -> None:
        super().__init__()
        self.groups = groups
        self.conv = nn.Conv2d(size // groups, made, 1)

    def forward(self, x: Tensor) -> Tensor:
        """By a batch of groups."""
        b, c, h, w = x.shape
        y: Tensor = self.conv(x.reshape(b * self.groups, c // self.groups, h, w))
        return y.reshape(b, -1, h, w)


class Squeeze(nn.Module):
    """Squeeze and excitation, of convolutions or of linear layers."""

    def __init__(self, size: int, inner: int, plain: bool) -> None:
        super().__init__()
        self.plain = plain
        self.reduce = nn.Linear(size, inner) if plain else nn.Conv2d(size, inner, 1)
        self.expand = nn.Linear(inner, size) if plain else nn.Conv2d(inner, size, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The input times a gate for each channel."""
        if self.plain:
            b, c = x.shape[:2]
            pooled = F.adaptive_avg_pool2d(x, 1).view(b, c)
            return x * torch.sigmoid(self.expand(F.relu(self.reduce(pooled)))).view(b, c, 1, 1)
        pooled = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(F.silu(self.reduce(pooled))))


def squeeze(draft: Draft) -> None:
    """Squeeze and excitation."""
    x = draft.pick()
    draft.add(Squeeze(draft.channels(x), draft.random.choice([2, 4]), draft.maybe()), x)


class SpatialGate(nn.Module):
    """The mean and the largest of all channels decide where the image stays."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The input times a gate for each pixel."""
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(seen))


def gate(draft: Draft) -> None:
    """A spatial gate."""
    draft.add(SpatialGate(), draft.pick())
