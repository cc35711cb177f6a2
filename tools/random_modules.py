"""Random small torch modules: a pure function of a seed, made of what people build networks of.

A module is a list of pieces; each takes some of the tensors before it and adds its own. Images are
(N, channels, side, side) throughout, sequences (N, length, channels). All that nothing else takes
ends in the heads, so that every piece is seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from models import randomise
from onnxprune.torch.export import Exporter

__all__ = ["Draft", "RandomModule", "exporter_of", "random_module"]

SIDE = 8
LENGTH = 5
WORDS = 11
WIDTHS = (4, 6, 8, 12)
MOST = 24
"""Channels."""


class RandomModule(nn.Module):
    """Pieces in a row.

    Args:
        pieces: The pieces; a piece may be there more than once.
        sources: What each takes: the numbers of earlier tensors, of which the input is the first.
    """

    def __init__(self, pieces: Sequence[nn.Module], sources: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.pieces = nn.ModuleList(pieces)
        self.sources = tuple(sources)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the heads."""
        tensors = [x]
        for piece, sources in zip(self.pieces, self.sources, strict=True):
            made = piece(*(tensors[i] for i in sources))
            tensors += [made] if isinstance(made, Tensor) else made
        return tensors[-1]

    def extra_repr(self) -> str:
        """What each piece takes."""
        return ", ".join(map(str, self.sources))


class Lambda(nn.Module):
    """A function of tensors.

    Args:
        name: What it is called where the module is printed.
        function: The function.
    """

    def __init__(self, name: str, function: Callable[..., Tensor | Sequence[Tensor]]) -> None:
        super().__init__()
        self.name = name
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor | Sequence[Tensor]:
        """What the function makes of them."""
        return self.function(*tensors)

    def extra_repr(self) -> str:
        """Its name."""
        return self.name


class Draft:
    """A module in the making.

    Args:
        seed: Decides everything.
        exporter: Which exporter must be able to write it.
    """

    def __init__(self, seed: int, exporter: Exporter) -> None:
        self.random = random.Random(seed)
        self.exporter = exporter
        self.pieces: list[nn.Module] = []
        self.sources: list[tuple[int, ...]] = []
        self.tensors: list[Tensor] = []
        self.taken: set[int] = set()
        self.axis = 1

    def maybe(self, chance: float = 0.5) -> bool:
        """Yes or no."""
        return self.random.random() < chance

    def divisor(self, *numbers: int, least: int = 1) -> int:
        """A common divisor; 1 if none is as large as the least."""
        common = [d for d in range(least, MOST) if all(n % d == 0 for n in numbers)]
        return self.random.choice(common or [1])

    def width(self) -> int:
        """A number of channels."""
        return self.random.choice(WIDTHS)

    def channels(self, i: int) -> int:
        """Those of a tensor."""
        return self.tensors[i].shape[self.axis]

    def side(self, i: int) -> int:
        """The side of an image."""
        return self.tensors[i].shape[-1]

    def pick(self, like: int | None = None, rest: int | None = None) -> int:
        """One of the latest tensors of several channels: of the shape of one, or but for channels.

        Args:
            like: A tensor whose shape it must have.
            rest: A tensor whose shape it must have, but for the channels.
        """

        def fits(i: int) -> bool:
            if like is not None:
                return self.tensors[i].shape == self.tensors[like].shape
            return rest is None or self.sizes(i) == self.sizes(rest)

        several = [i for i in range(1, len(self.tensors)) if self.channels(i) > 1]
        known = [i for i in several[-7:] if fits(i)]
        if not known:
            known = [next(i for i in (like, rest) if i is not None)]
        loose = [i for i in known if i not in self.taken]
        return self.random.choice(loose if loose and self.maybe(0.6) else known)

    def sizes(self, i: int) -> list[int]:
        """The shape without channels."""
        shape = list(self.tensors[i].shape)
        del shape[self.axis]
        return shape

    def add(self, piece: nn.Module, *sources: int) -> int:
        """Let a piece take tensors; the number of the first that it makes."""
        piece.eval()
        with torch.no_grad():
            made = piece(*(self.tensors[i] for i in sources))
        self.pieces.append(piece)
        self.sources.append(sources)
        self.taken |= {*sources}
        first = len(self.tensors)
        self.tensors += [made] if isinstance(made, Tensor) else made
        return first

    def call(self, name: str, function: Callable[..., Tensor | Sequence[Tensor]], *on: int) -> int:
        """Let a function take tensors."""
        return self.add(Lambda(name, function), *on)

    def build(self) -> RandomModule:
        """The module, once the heads are there."""
        return RandomModule(self.pieces, self.sources)


Recipe = Callable[[Draft], object]

# Images. What a layer is made of is decided here; how it computes is in its forward.


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


class Pixels(nn.Module):
    """A layer of sequences, for which every pixel is an entry."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """There and back."""
        y: Tensor = self.layer(x.flatten(2).transpose(1, 2))
        return y.transpose(1, 2).unflatten(2, x.shape[2:])


def pixel_attention(draft: Draft) -> None:
    """Attention between the pixels of a small image."""
    x = draft.pick()
    if draft.side(x) == SIDE:
        x = draft.add(nn.AvgPool2d(2), x)
    draft.add(Pixels(attention_of(draft, draft.channels(x))), x)


# Sequences.


class Attention(nn.Module):
    """Multi-head self-attention as it is mostly written.

    Args:
        size: The channels of its input and output.
        heads: The number of heads.
        each: The channels of each.
        style: How queries, keys and values are told apart.
        fused: Whether torch's own function computes it.
    """

    def __init__(self, size: int, heads: int, each: int, style: str, fused: bool) -> None:
        super().__init__()
        self.heads, self.each, self.style, self.fused = heads, each, style, fused
        inner = heads * each
        if style == "apart":
            self.q, self.k, self.v = (nn.Linear(size, inner) for _ in range(3))
        else:
            self.qkv = nn.Linear(size, 3 * inner)
        self.out = nn.Linear(inner, size)

    def forward(self, x: Tensor) -> Tensor:
        """The input's entries, mixed by what they ask of one another."""
        b, n, _ = x.shape
        if self.style == "reshape":
            made = self.qkv(x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            q, k, v = made.unbind(0)
        else:
            parts = (
                (self.q(x), self.k(x), self.v(x))
                if self.style == "apart"
                else self.qkv(x).chunk(3, -1)
            )
            size = self.each if self.style == "fixed" else -1
            q, k, v = (part.view(b, n, self.heads, size).transpose(1, 2) for part in parts)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, scale=self.each**-0.5)
        else:
            y = (q * self.each**-0.5 @ k.transpose(-2, -1)).softmax(-1) @ v
        y = y.transpose(1, 2).reshape(b, n, -1)
        return self.out(y)


class Torchs(nn.Module):
    """torch's own multi-head attention."""

    def __init__(self, size: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(size, heads, bias=bias, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Self-attention."""
        y: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return y


def attention_of(draft: Draft, size: int) -> nn.Module:
    """Attention between the entries of a sequence."""
    heads = draft.divisor(size)
    if draft.maybe(0.35):
        return Torchs(size, heads, draft.maybe())
    style = draft.random.choice(["apart", "reshape", "chunk", "fixed"])
    heads, each = draft.random.choice([(2, 4), (3, 2), (2, 2), (1, 4)])
    return Attention(size, heads, each, style, draft.maybe())


def attention(draft: Draft) -> None:
    """Self-attention, mostly with a residual sum."""
    x = draft.pick()
    made = draft.add(attention_of(draft, draft.channels(x)), x)
    if draft.maybe(0.7):
        draft.call("add", torch.add, x, made)


def encoder(draft: Draft) -> None:
    """torch's own layer of a transformer."""
    x = draft.pick()
    size = draft.channels(x)
    options = {"norm_first": draft.maybe(), "activation": draft.random.choice(["relu", "gelu"])}
    options["batch_first"] = True
    draft.add(nn.TransformerEncoderLayer(size, draft.divisor(size), 6, **options), x)


def dense(draft: Draft) -> None:
    """A linear layer."""
    x = draft.pick()
    draft.add(nn.Linear(draft.channels(x), draft.width(), draft.maybe(0.7)), x)


class Gated(nn.Module):
    """A gated feed-forward layer, with one matrix or two for the gate and what it gates."""

    def __init__(self, size: int, inner: int, joined: bool) -> None:
        super().__init__()
        self.joined = joined
        if joined:
            self.up = nn.Linear(size, 2 * inner)
        else:
            self.up, self.gate = nn.Linear(size, inner), nn.Linear(size, inner, bias=False)
        self.down = nn.Linear(inner, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The input and what the layer adds."""
        up, gate = self.up(x).chunk(2, -1) if self.joined else (self.up(x), self.gate(x))
        y: Tensor = self.down(F.silu(gate) * up)
        return x + y


def feed_forward(draft: Draft) -> None:
    """A gated feed-forward layer."""
    x = draft.pick()
    draft.add(Gated(draft.channels(x), draft.width(), draft.maybe()), x)


def sequence_norm(draft: Draft) -> None:
    """A norm of sequences."""
    x, affine = draft.pick(), draft.maybe(0.7)
    size = draft.channels(x)
    bound = affine or draft.exporter == "legacy"  # see `norm`
    layers = [
        *(lambda: nn.LayerNorm(size, elementwise_affine=affine) for _ in range(2)),
        lambda: Turned(nn.BatchNorm1d(size, affine=bound)),
        lambda: Turned(nn.GroupNorm(draft.divisor(size), size, affine=affine)),
    ]
    if draft.exporter != "legacy":  # see `norm`
        layers.append(lambda: nn.RMSNorm(size, elementwise_affine=affine))
    draft.add(draft.random.choice(layers)(), x)


class Turned(nn.Module):
    """A layer that finds the channels of a sequence on axis 1."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """There and back."""
        y: Tensor = self.layer(x.transpose(1, 2))
        return y.transpose(1, 2)


def sequence_conv(draft: Draft) -> None:
    """A convolution over time."""
    x, made = draft.pick(), draft.width()
    size = draft.channels(x)
    groups = draft.divisor(size, made) if draft.maybe(0.3) else 1
    draft.add(Turned(nn.Conv1d(size, made, 3, padding=1, groups=groups)), x)


def sequence_activation(draft: Draft) -> None:
    """Of entries."""
    layers = [nn.ReLU(), nn.GELU(), nn.Sigmoid(), nn.Tanh(), nn.SiLU()]
    draft.add(draft.random.choice(layers), draft.pick())


def sequence_bare(draft: Draft) -> None:
    """A parameter of the module itself: of each channel, each place, or a matrix."""
    x, made = draft.pick(), draft.width()
    size = draft.channels(x)
    kind = draft.random.choice(["add", "mul", "gate", "matmul", "linear"])
    shape: tuple[int, ...] = draft.random.choice([(size,), (1, LENGTH, size)])
    if kind in ("matmul", "linear"):
        shape = (size, made) if kind == "matmul" else (made, size)
    draft.add(Bare(shape, kind), x)


class Pooled(nn.Module):
    """A gate for each channel, of the mean of the sequence."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        """The input times the gate."""
        return x * torch.sigmoid(self.linear(x.mean(1))).unsqueeze(1)


def pooled(draft: Draft) -> None:
    """Squeeze and excitation of sequences."""
    x = draft.pick()
    draft.add(Pooled(draft.channels(x)), x)


IMAGES: tuple[Recipe, ...] = (
    *(conv, conv, normal_conv, depthwise, transposed, linear, norm, norm, activation, binary),
    *(binary, concat, split, slices, shuffle, fold, squeeze, gate, bare, shared, softmax, pixels),
    *(resize, gated, pad, repeat, block, pixel_attention),
)

SEQUENCES: tuple[Recipe, ...] = (
    *(dense, dense, feed_forward, sequence_norm, sequence_norm, sequence_conv, binary, binary),
    *(sequence_activation, concat, split, slices, sequence_bare, pooled, shared, softmax, gated),
    *(pad, repeat, attention, attention, encoder),
)


class Head(nn.Module):
    """A linear layer over all that an image or a sequence is, or over its mean.

    Args:
        size: The number of entries, or of channels.
        spatial: The axes of the mean; none: all entries count.
    """

    def __init__(self, size: int, spatial: Sequence[int]) -> None:
        super().__init__()
        self.spatial = spatial
        self.linear = nn.Linear(size, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 5)."""
        flat = x.mean(self.spatial) if self.spatial else torch.flatten(x, 1)
        y: Tensor = self.linear(flat)
        return y


class Words(nn.Module):
    """The scores of words, with the weight of their embedding."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding.embedding_dim, WORDS)
        self.linear.weight = embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        """(N, 5), from those of the first words."""
        y: Tensor = self.linear(x.mean(1))
        return y[:, :5]


def heads(draft: Draft, embedding: nn.Embedding | None) -> None:
    """Heads for all that is left, and their sum."""
    made = []
    for x in sorted({*range(1, len(draft.tensors))} - draft.taken):
        entries, size = draft.tensors[x][0].numel(), draft.channels(x)
        if embedding is not None and embedding.embedding_dim == size and draft.maybe(0.4):
            made.append(draft.add(Words(embedding), x))
        elif entries <= 200 and draft.maybe(0.6):
            made.append(draft.add(Head(entries, ()), x))
        else:
            made.append(draft.add(Head(size, (2, 3) if draft.axis == 1 else (1,)), x))
    draft.call("sum", lambda *given: sum(given[1:], given[0]), *made)


def exporter_of(seed: int) -> Exporter:
    """The exporter of a seed's module: they take turns."""
    return "legacy" if seed % 2 else "dynamo"


def random_module(seed: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A random module and an example of its input.

    Args:
        seed: Decides everything.

    Returns:
        The module, in eval mode with random parameters, for `exporter_of(seed)`; the example.
    """
    draft = Draft(seed, exporter_of(seed))
    generator = torch.Generator().manual_seed(seed)
    embedding: nn.Embedding | None = None
    with torch.random.fork_rng(devices=[]):
        recipes = IMAGES
        if draft.maybe(0.35):
            recipes, draft.axis = SEQUENCES, 2
            embedding = nn.Embedding(WORDS, draft.width())
            draft.tensors.append(torch.randint(WORDS, (2, LENGTH), generator=generator))
            draft.add(embedding, 0)
        else:
            draft.tensors.append(torch.randn(2, 3, SIDE, SIDE, generator=generator))
            conv_to(draft, 0, draft.width())
        for _ in range(draft.random.randint(4, 12)):
            draft.random.choice(recipes)(draft)
        heads(draft, embedding)
        example = (draft.tensors[0],)
        module = randomise(draft.build(), seed, example)
    return module, example
