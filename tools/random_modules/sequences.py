"""Pieces that take sequences, and attention between pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tools.random_modules.draft import LENGTH, SIDE, Draft
from tools.random_modules.either import Bare


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
