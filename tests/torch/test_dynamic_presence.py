"""Zeros in place of removed channels take no part in what a forward computes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from dynamic_checks import normal, spread
from torch import Tensor, nn
from torch.nn import functional as F

import onnxprune.torch as ot
from models import randomise
from onnxprune.torch.dynamic.presence import PresentTensor, mark

pytestmark = pytest.mark.torch

KEPT = [0, 2, 5]
N = 6
Function = Callable[[Tensor], Any]


def kept_of(indices: list[int], n: int) -> np.ndarray:
    return np.isin(np.arange(n), indices)


def hold(
    function: Function,
    axis: int | None,
    shape: tuple[int, ...] = (2, N, 4, 4),
    small: Function | None = None,
    positive: bool = False,
) -> None:
    """A function of what is masked along axis 1 is that of what is kept, scattered back.

    Args:
        function: The function.
        axis: The axis of its result along which that is missing which was; None if nothing is.
        shape: Of its argument, `N` along axis 1.
        small: The function of what is kept, if it states other sizes.
        positive: Whether it takes positive numbers only.
    """
    given = normal(*shape)
    given = (given.abs() + 0.1 if positive else given).requires_grad_()
    marked = mark(given * 1, 1, kept_of(KEPT, N))
    assert isinstance(marked, PresentTensor)
    less = given.detach()[:, KEPT].requires_grad_()
    torch.manual_seed(0)
    found = torch.utils._pytree.tree_leaves(function(marked))
    torch.manual_seed(0)
    expected = torch.utils._pytree.tree_leaves((small or function)(less))
    assert len(found) == len(expected)
    losses = []
    for a, b in zip(found, expected, strict=True):
        wide = b if axis is None else spread(b.detach().float(), axis, KEPT, N).to(b.dtype)
        assert (type(a) is Tensor) == (axis is None)
        torch.testing.assert_close(a.as_subclass(Tensor), wide, rtol=1e-5, atol=1e-5)
        if axis is not None:
            there = spread(torch.ones(b.shape), axis, KEPT, N)
            assert torch.equal(a.present.expand(a.shape), there > 0)
        if b.is_floating_point() and b.requires_grad:
            weights = normal(*b.shape, seed=3)
            there = weights if axis is None else spread(weights, axis, KEPT, N)
            losses.append((a.as_subclass(Tensor) * there, b * weights))
    if losses:
        sum(a.sum() for a, _ in losses).backward()
        sum(b.sum() for _, b in losses).backward()
        assert given.grad is not None
        assert less.grad is not None
        assert not given.grad[:, [1, 3, 4]].any(), "nothing comes back from removed channels"
        torch.testing.assert_close(given.grad[:, KEPT], less.grad, rtol=1e-4, atol=1e-5)


def test_marks() -> None:
    x = normal(2, N)
    assert mark(x, 1, np.ones(N, bool)) is x
    marked = mark(x, 1, kept_of(KEPT, N))
    assert isinstance(marked, PresentTensor)
    assert marked.present.shape == (1, N)
    assert not marked[:, [1, 3, 4]].any()
    assert x[:, 1].all(), "the tensor itself stays"
    both = mark(marked, 0, np.array([True, False]))
    assert isinstance(both, PresentTensor)
    assert both.present.shape == (2, N)
    assert both.present.sum() == 3


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1,
        lambda x: 1 - x,
        lambda x: 2 / x,
        lambda x: 2**x,
        lambda x: torch.pow(2, x),
        lambda x: x * x.sigmoid() - 3.0,
        lambda x: x + x.mean((2, 3), keepdim=True),
        lambda x: x * torch.ones(4, 4),
        lambda x: torch.where(x > 0, x, 0.5),
        lambda x: x.masked_fill(x > 0, 3.0),
        lambda x: x.clamp(min=0.1),
        torch.cos,
        F.gelu,
        F.silu,
        F.hardswish,
        F.logsigmoid,
        F.softsign,
        lambda x: F.leaky_relu(x, 0.2),
        lambda x: F.prelu(x, torch.tensor([0.3])),
        lambda x: F.dropout(x, 0.5, training=False),
        lambda x: (x.double() + 1).float(),
        lambda x: torch.ones_like(x) + x,
        lambda x: x == 0,
        nn.ReLU6(),
        nn.Softplus(),
    ],
)
def test_entry_by_entry(function: Function) -> None:
    hold(function, 1)


@pytest.mark.parametrize("function", [torch.sqrt, torch.log, torch.reciprocal, lambda x: x**-0.5])
def test_gradients_are_finite_where_those_of_zero_are_not(function: Function) -> None:
    hold(function, 1, positive=True)
    scale = torch.ones((), requires_grad=True)
    function(mark(normal(2, N).abs() + 0.1, 1, kept_of(KEPT, N)) * scale).sum().backward()
    assert scale.grad is not None
    assert scale.grad.isfinite()


@pytest.mark.parametrize(
    ("function", "axis"),
    [
        (lambda x: x.flatten(2), 1),
        (lambda x: x.transpose(1, 2), 2),
        (lambda x: x.permute(0, 2, 3, 1), 3),
        (lambda x: x.movedim(1, 0), 0),
        (lambda x: x.unsqueeze(1), 2),
        (lambda x: x.unflatten(2, (2, 2)), 1),
        (lambda x: x[:, None].expand(-1, 3, -1, -1, -1), 2),
        (lambda x: x[0], 0),
        (lambda x: x[:, :, 1:, ::2], 1),
        (lambda x: x[..., [0, 2]], 1),
        (lambda x: x.chunk(2, 2), 1),
        (lambda x: x.split((1, 3), 2), 1),
        (lambda x: x.unbind(2), 1),
        (list, 0),
        (lambda x: x.narrow(2, 1, 2), 1),
        (lambda x: x.index_select(3, torch.tensor([1, 1])), 1),
        (lambda x: x.flip(2), 1),
        (lambda x: x.roll(1, 2), 1),
        (lambda x: torch.cat([x, x], 2), 1),
        (lambda x: torch.cat(tensors=[x, x], dim=0), 1),
        (lambda x: torch.stack([x, x]), 2),
        (lambda x: x.repeat(1, 1, 2, 1), 1),
        (lambda x: x.repeat_interleave(2, 3), 1),
        (lambda x: F.pad(x, (1, 1, 0, 1), value=3.0), 1),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), 1),
        (lambda x: x.contiguous().clone(), 1),
        (lambda x: x.mT, 1),
        (lambda x: x.detach(), 1),
        (lambda x: x.unfold(2, 2, 1), 1),
        (lambda x: F.glu(x, 2), 1),
    ],
)
def test_movements(function: Function, axis: int) -> None:
    hold(function, axis)


def test_movements_of_the_axis_itself() -> None:
    x = mark(normal(2, N, 2, 2), 1, kept_of(KEPT, N))
    assert type(x[:, KEPT]) is Tensor
    assert type(x.chunk(3, 1)[0]) is PresentTensor
    assert x.view(2, 3, 2, 2, 2).present.flatten().tolist() == [True, False] * 2 + [False, True]
    rolled = x.roll(1, 1)
    assert rolled.present.flatten().nonzero().flatten().tolist() == [0, 1, 3]
    padded = F.pad(x, (0, 0, 0, 0, 1, 1))
    assert padded.present.flatten().nonzero().flatten().tolist() == [0, 1, 3, 6, 7]
    joined = torch.cat([x, torch.ones(2, 2, 2, 2)], 1)
    assert joined.present.flatten().tolist()[N:] == [True, True]
    shuffled = F.pixel_shuffle(mark(normal(1, 8, 2, 2), 1, kept_of(list(range(4)), 8)), 2)
    assert shuffled.present.flatten().tolist() == [True, False]


STATISTICS: list[tuple[Function, int | None]] = [
    (lambda x: x.softmax(1), 1),
    (nn.Softmax(1), 1),
    (lambda x: F.softmax(x, 2), 1),
    (lambda x: torch.softmax(input=x, dim=-3), 1),
    (lambda x: F.log_softmax(x, 1), 1),
    (lambda x: F.softmin(x, 1), 1),
    (lambda x: x.mean(1), None),
    (lambda x: x.mean((1, 2), keepdim=True), None),
    (lambda x: torch.mean(x, axis=(2, 3)), 1),
    (lambda x: x.mean(), None),
    (lambda x: x.var(1), None),
    (lambda x: x.var((1, 2), unbiased=False, keepdim=True), None),
    (lambda x: x.std(1, True, True), None),
    (lambda x: x.std(False), None),
    (lambda x: x.std(2, correction=0), 1),
    (lambda x: x.sum(1), None),
    (lambda x: x.sum(), None),
    (lambda x: x.prod(1), None),
    (lambda x: x.amax(1), None),
    (lambda x: x.amin((1, 2)), None),
    (lambda x: x.max(2), 1),
    (lambda x: (-x.abs()).max(1).values, None),
    (lambda x: (x.abs() + 1).min(1)[0], None),
    (lambda x: torch.max(x, x + 1), 1),
    (lambda x: (x - 5).max(), None),
    (lambda x: x.logsumexp(1), None),
    (lambda x: x.norm(dim=1), None),
    (lambda x: torch.linalg.vector_norm(x, 1, dim=1, keepdim=True), None),
    (lambda x: F.normalize(x, dim=1), 1),
    (lambda x: x.cumsum(1), 1),
    (lambda x: (x < 9).all(1), None),
    (lambda x: F.group_norm(x.transpose(1, 2), 2), 2),
    (lambda x: F.layer_norm(x, (4, 4)), 1),
    (F.instance_norm, 1),
    (lambda x: F.batch_norm(x, None, None, training=True), 1),
]


@pytest.mark.parametrize(("function", "axis"), STATISTICS)
def test_statistics(function: Function, axis: int | None) -> None:
    hold(function, axis)


def test_norms_of_fixed_shape() -> None:
    weight, bias = normal(N), normal(N, seed=2)

    def affine(y: Tensor, i: list[int]) -> Tensor:
        return y * weight[i] + bias[i]

    rows = (2, N)
    hold(
        lambda x: F.layer_norm(x, (N,), weight, bias),
        1,
        rows,
        lambda x: affine(F.layer_norm(x, (3,)), KEPT),
    )
    hold(
        lambda x: F.rms_norm(x, (N,), weight),
        1,
        rows,
        lambda x: F.rms_norm(x, (3,)) * weight[KEPT],
    )
    hold(nn.GroupNorm(1, N), 1, small=nn.GroupNorm(1, 3))
    hold(nn.InstanceNorm2d(N), 1, small=nn.InstanceNorm2d(3))
    hold(nn.BatchNorm2d(N).eval(), 1, small=nn.BatchNorm2d(3).eval())


def test_ragged_presence() -> None:
    """Other bins of each side: no slice of the tensor says that."""
    kept = np.array([1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1], bool)
    x = normal(2, 12)
    sides = mark(x, 1, kept).view(2, 3, 4)
    for function in (lambda y: y.softmax(-1), lambda y: y - y.mean(-1, keepdim=True)):
        found = function(sides)
        for side in range(3):
            own = kept.reshape(3, 4)[side]
            expected = function(x.view(2, 3, 4)[:, side, own])
            torch.testing.assert_close(found[:, side, own], expected)
            assert not found[:, side, ~own].any()


def test_rows_of_which_nothing_is_present() -> None:
    x = mark(given := normal(2, 4).requires_grad_(), 0, np.array([True, False]))
    for function in (
        lambda y: y.softmax(1),
        lambda y: y.logsumexp(1),
        lambda y: y.mean(1),
        lambda y: y.std(1),
        lambda y: F.layer_norm(y, (4,)),
    ):
        found = function(x)
        assert isinstance(found, PresentTensor)
        assert not found[1].any()
        assert torch.isfinite(torch.autograd.grad(found.sum(), given, retain_graph=True)[0]).all()


PRODUCTS: list[tuple[Function, Function | None, int | None]] = [
    (lambda x: x.mT @ x, None, None),
    (lambda x: torch.bmm(x[0].unsqueeze(0), torch.ones(1, 4, 2)), None, 1),
    (lambda x: torch.einsum("bnd,bne->bde", x, x), None, None),
    (lambda x: torch.einsum("bnd,be->bne", x, torch.ones(2, 3)), None, 1),
    (lambda x: F.linear(x, torch.ones(3, 4), torch.ones(3)), None, 1),
    (
        lambda x: F.linear(x.mT, torch.arange(18.0).view(3, N), torch.ones(3)),
        lambda x: F.linear(x.mT, torch.arange(18.0).view(3, N)[:, KEPT], torch.ones(3)),
        None,
    ),
    (
        lambda x: F.conv1d(x, torch.arange(18.0).view(1, N, 3), padding=3),
        lambda x: F.conv1d(x, torch.arange(18.0).view(1, N, 3)[:, KEPT], padding=3),
        None,
    ),
    (
        lambda x: F.conv1d(x, torch.ones(N, 1, 3), torch.ones(N), padding=1, groups=N),
        lambda x: F.conv1d(x, torch.ones(3, 1, 3), torch.ones(3), padding=1, groups=3),
        1,
    ),
    (
        lambda x: F.conv_transpose1d(x, torch.ones(N, 2, 2), torch.ones(2), stride=3),
        lambda x: F.conv_transpose1d(x, torch.ones(3, 2, 2), torch.ones(2), stride=3),
        None,
    ),
]


@pytest.mark.parametrize(("function", "small", "axis"), PRODUCTS)
def test_products(function: Function, small: Function | None, axis: int | None) -> None:
    hold(function, axis, (2, N, 4), small)


def test_rows_and_columns_of_products() -> None:
    x = mark(normal(2, N, 4), 1, kept_of(KEPT, N))
    scores = x @ x.mT
    assert scores.present.shape == (1, N, N)
    assert scores.present.sum() == 9
    added = torch.baddbmm(torch.ones(2, N, 4), x, torch.ones(2, 4, 4))
    assert added.present.flatten().tolist() == kept_of(KEPT, N).tolist()
    torch.testing.assert_close(
        torch.tensordot(x, x, ([1], [1])), torch.tensordot(x[:, KEPT], x[:, KEPT], ([1], [1]))
    )
    unfolded = F.unfold(x.unsqueeze(2), (1, 2))
    assert unfolded.present.shape == (1, 2 * N, 1)


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal: bool) -> None:
    def attend(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x * 0.5, x + 1, is_causal=causal)

    hold(attend, 1, (2, N, 4))
    query, mask = normal(2, 3, 4), normal(3, N, seed=5)

    def look(x: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, x, x, mask)

    hold(lambda x: look(x, mask), None, (2, N, 4), lambda x: look(x, mask[:, KEPT]))


@pytest.mark.parametrize(
    "function",
    [
        nn.AvgPool2d(2),
        nn.MaxPool2d(3, 2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveMaxPool2d(2),
        nn.Upsample(scale_factor=2),
        lambda x: F.interpolate(x, (6, 6), mode="bilinear"),
        lambda x: F.lp_pool2d(x, 2, 2),
    ],
)
def test_pools(function: Function) -> None:
    hold(function, 1)


def test_in_place() -> None:
    for change in (
        lambda x: x.add_(1),
        lambda x: x.sigmoid_(),
        lambda x: F.relu(x, inplace=True),
        nn.SiLU(inplace=True),
        nn.ReLU6(inplace=True),
        lambda x: x.masked_fill_(x > 0, 2.0),
        lambda x: x.copy_(x.exp()),
        lambda x: x.fill_(3.0),
    ):

        def function(x: Tensor, change: Function = change) -> Tensor:
            y = x.clone()
            assert change(y) is y
            return y.mean(1)

        hold(function, None)


def test_items() -> None:
    x = mark(normal(2, N), 1, kept_of(KEPT, N))
    x[:, 1] = 7.0
    assert x.present[0].nonzero().flatten().tolist() == [0, 1, 2, 5]
    x[:, :] = torch.ones(2, N)
    assert torch.equal(x.mean(1), torch.ones(2))


def test_what_is_not_understood_is_plain() -> None:
    x = mark(normal(2, N), 1, kept_of(KEPT, N))
    assert type(x.sort(1).values) is Tensor
    assert type(torch.fft.fft(x)) is Tensor
    assert type(torch.linalg.vector_norm(x=x)) is Tensor
    assert x.shape == (2, N)
    assert x.numpy().shape == (2, N)
    assert "tensor(" in repr(x)
    assert torch.equal(copy.deepcopy(x), x)
    with pytest.raises(RuntimeError):
        x.view(5, 5)


class Bins(nn.Module):
    """Distances as expectations over bins, of each side of a box."""

    bins: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU())
        self.sides = nn.Conv2d(8, 4 * N, 1)
        self.register_buffer("bins", torch.arange(N).float().view(1, N, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        sides = self.sides(self.stem(x)).flatten(2)
        bins = sides.unflatten(1, (4, N)).transpose(1, 2).softmax(1)
        return F.conv2d(bins, self.bins).squeeze(1)


class Radix(nn.Module):
    """Split attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.fc = nn.Conv2d(8, 16, 1)
        self.softmax = nn.Softmax(1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        answers = self.conv(x).relu().unflatten(1, (2, 8))
        scores = self.fc(answers.sum(1).mean((2, 3), keepdim=True))
        weights = self.softmax(scores.unflatten(1, (2, 8)))
        return self.head((answers * weights).sum(1))


class Mean(nn.Module):
    """A spatial gate by means over channels, which are counted beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y = y.view(len(y), 8, -1)
        y = y * torch.sigmoid(y.mean(1, keepdim=True) + y.std(1, correction=0, keepdim=True))
        return self.head(y.unflatten(2, (x.shape[2] - 2, -1)))


class Norm(nn.Module):
    """A functional norm of fixed shape, of views of fixed shape."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 8)
        self.weight = nn.Parameter(torch.ones(8))
        self.b = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x).view(-1, 8)
        return self.b(F.layer_norm(y, (8,), self.weight))


@pytest.mark.parametrize("cls", [Bins, Radix, Mean, Norm])
def test_modules_with_fixed_sizes_and_statistics(cls: type[nn.Module]) -> None:
    module = randomise(cls(), seed=1)
    example = torch.rand(2, 4) if cls is Norm else torch.rand(2, 3, 8, 8)
    report = ot.parity(module, example, 8)
    assert report.passed, str(report)
    assert report.masked
    assert max(choice.effect for choice in report.choices) > 0.01
