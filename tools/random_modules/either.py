"""Pieces that take images, most of them sequences as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.random_modules.draft import MOST, SIDE, Draft
from tools.random_modules.images import same_shape


class Bare(nn.Module):
    """A parameter that no layer owns.

    Args:
        shape: Its shape.
        kind: What is done with it.
    """

    def __init__(self, shape: Sequence[int], kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.empty(*shape))

    def forward(self, x: Tensor) -> Tensor:
        """What is done with it."""
        if self.kind == "add":
            return x + self.weight
        if self.kind == "mul":
            return x * self.weight
        if self.kind == "gate":
            return x * torch.sigmoid(self.weight)
        if self.kind == "matmul":
            return x @ self.weight
        if self.kind == "linear":
            return F.linear(x, self.weight)
        if self.kind == "einsum":
            return torch.einsum("bchw,cd->bdhw", x, self.weight)
        return F.conv2d(x, self.weight)

    def extra_repr(self) -> str:
        """What is done with which shape."""
        return f"{self.kind} {tuple(self.weight.shape)}"


def bare(draft: Draft) -> None:
    """A parameter of the module itself."""
    x, made = draft.pick(), draft.width()
    size, side = draft.channels(x), draft.side(x)
    kind = draft.random.choice(["add", "mul", "gate", "conv", "einsum"])
    shape = draft.random.choice([(1, size, 1, 1), (size, 1, 1), (1, size, side, side)])
    if kind == "conv":
        shape = (made, size, 1, 1)
    elif kind == "einsum":
        shape = (size, made)
    draft.add(Bare(shape, kind), x)


def shared(draft: Draft) -> None:
    """A layer that is used twice, or two with the same weight."""
    x = draft.pick()
    y = draft.pick(rest=x)
    size = draft.channels(x)
    if draft.channels(y) != size:
        y = same_shape(draft, x)
    made = size if draft.maybe() else draft.width()

    def layer(bias: bool) -> nn.Module:
        return nn.Conv2d(size, made, 1, bias=bias) if draft.axis == 1 else nn.Linear(size, made)

    one = layer(draft.maybe())
    other = one
    if draft.maybe():
        other = layer(True)
        other.weight = one.weight
    a = draft.add(one, x)
    if draft.maybe(0.3):
        draft.add(nn.ReLU(), a)
    draft.add(other, y)
    if draft.maybe():
        draft.call("add", torch.add, a, len(draft.tensors) - 1)


def softmax(draft: Draft) -> None:
    """Over channels, or over the parts of a split-attention."""
    x, axis = draft.pick(), draft.axis
    parts = draft.divisor(draft.channels(x), least=2)
    kind = draft.random.choice(["softmax", "parts", "normalize", "centre", "standard"])
    if kind == "softmax":
        draft.call(f"softmax {axis}", lambda t: t.softmax(axis) * 4, x)
    elif kind == "parts":
        name = f"softmax over {parts}"
        draft.call(name, lambda t: t.unflatten(axis, (parts, -1)).softmax(axis).sum(axis), x)
    elif kind == "normalize":
        draft.call("normalize", lambda t: F.normalize(t, dim=axis), x)
    elif kind == "centre":
        draft.call("centre", lambda t: t - t.mean(axis, keepdim=True), x)
    else:
        draft.call("standard", standard(axis), x)


def standard(axis: int) -> Callable[[Tensor], Tensor]:
    """A norm by hand."""

    def of(t: Tensor) -> Tensor:
        away = t - t.mean(axis, keepdim=True)
        return away / (away.square().mean(axis, keepdim=True) + 1e-3).sqrt()

    return of


def pixels(draft: Draft) -> None:
    """Channels to pixels or back."""
    x = draft.pick()
    if draft.side(x) < SIDE and draft.channels(x) % 4 == 0:
        draft.add(nn.PixelShuffle(2), x)
    elif draft.side(x) > 2 and 4 * draft.channels(x) <= MOST:
        draft.add(nn.PixelUnshuffle(2), x)


def resize(draft: Draft) -> None:
    """Pooling, or the opposite."""
    x = draft.pick()
    if draft.side(x) < SIDE:
        draft.add(nn.Upsample(scale_factor=2, mode=draft.random.choice(["nearest", "bilinear"])), x)
    else:
        draft.add(draft.random.choice([nn.MaxPool2d(2), nn.AvgPool2d(2)]), x)


def gated(draft: Draft) -> None:
    """Half of the channels gates the other half."""
    x, axis = draft.pick(), draft.axis
    if draft.channels(x) % 2 == 0:
        draft.call(f"glu {axis}", lambda t: F.glu(t, axis), x)


def pad(draft: Draft) -> None:
    """A shortcut that is filled up with zeros, beside what has more channels."""
    x, axis = draft.pick(), draft.axis
    more = draft.random.choice([1, 2, 4])
    widths = (0, 0, 0, 0, 0, more) if axis == 1 else (0, more)
    wide = draft.call(f"pad {more}", lambda t: F.pad(t, widths), x)
    draft.call("add", torch.add, wide, same_shape(draft, wide))


def repeat(draft: Draft) -> None:
    """Every channel twice."""
    x, axis = draft.pick(), draft.axis
    if 2 * draft.channels(x) > MOST:
        return
    if draft.maybe():
        made = draft.call("repeat_interleave 2", lambda t: t.repeat_interleave(2, axis), x)
    else:
        made = draft.call("twice", lambda t: torch.cat([t, t], axis), x)
    if draft.maybe():
        draft.call("mul", torch.mul, made, same_shape(draft, made))


class Block(nn.Module):
    """An inverted residual block."""

    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(size, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()),
            *(nn.Conv2d(inner, inner, 3, 1, 1, groups=inner, bias=False), nn.BatchNorm2d(inner)),
            *(nn.Dropout(0.1), nn.Conv2d(inner, size, 1), nn.Identity()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The input and what the block adds."""
        y: Tensor = self.body(x)
        return x + y


def block(draft: Draft) -> None:
    """A residual block."""
    x = draft.pick()
    draft.add(Block(draft.channels(x), draft.width()), x)
