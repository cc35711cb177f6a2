"""Holds a dynamic operator against a plain layer that a test sliced by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxprune.errors import RefusedError
from onnxprune.torch.dynamic import DYNAMIC_OPS, DynamicOp
from onnxprune.units.mutable import SimpleMutableChannel

Slicer = Callable[[str, Tensor], Tensor]
Run = Callable[[nn.Module, Tensor], Sequence[Tensor]]


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with random parameters and statistics, none of them zero."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.9 + 0.1)
            signs = torch.randint(0, 2, tensor.shape, generator=generator)
            tensor.mul_(1 if tensor.ndim == 1 else 2 * signs - 1)
    return module


def normal(*shape: int, seed: int = 1) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mutable(kept: Sequence[int], n: int, masked: bool = False) -> SimpleMutableChannel:
    """A mutable channel that keeps some of n channels."""
    made = SimpleMutableChannel(n)
    made.current_mask = np.isin(np.arange(n), kept)
    made.masked = masked
    return made


def converted(plain: nn.Module) -> Any:
    """The dynamic operator of a layer."""
    op = DYNAMIC_OPS[type(plain)].convert_from(plain)
    assert type(op) is DYNAMIC_OPS[type(plain)]
    return op


def keep(op: DynamicOp, name: str, kept: Sequence[int], masked: bool = False) -> None:
    """Let a container keep some channels only."""
    container = op.get_mutable_attr(name)
    container.register_mutable(mutable(kept, container.num_channels, masked))


def one(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """A layer of one input and one output."""
    return [layer(x)]


def spread(small: Tensor, axis: int, kept: Sequence[int], n: int) -> Tensor:
    """Zeros of n entries along an axis, with those of a smaller tensor in place."""
    full = torch.zeros(*small.shape[:axis], n, *small.shape[axis:][1:])
    full[(slice(None),) * axis + (list(kept),)] = small
    return full


def check(
    plain: nn.Module,
    small: nn.Module,
    slicer: Slicer,
    kept: Mapping[str, Sequence[int]],
    x: Tensor,
    x_axes: Mapping[int, Sequence[int]],
    y_axes: Mapping[int, tuple[Sequence[int], int]],
    run: Run = one,
) -> None:
    """Hold a dynamic operator against a smaller plain layer, sliced and masked, train and eval.

    Args:
        plain: The full layer.
        small: A plain layer of the smaller sizes, of any weights.
        slicer: What is left of each of the full layer's parameters and buffers.
        kept: What each container keeps.
        x: The full input.
        x_axes: What is left of axes of the input.
        y_axes: Of axes of the outputs, what is left, and of how many.
        run: Calls a layer.
    """
    for training in (False, True):
        for masked in (False, True):
            randomised(plain).train(training)
            small.load_state_dict({k: slicer(k, v) for k, v in plain.state_dict().items()})
            small.train(training).zero_grad()
            plain.zero_grad()
            op = converted(plain)
            _check_whole(plain, op, x, run)
            for name, indices in kept.items():
                keep(op, name, indices, masked)
            _check_one(op, small, slicer, x, x_axes, y_axes, run, masked)
            _check_static(op, small, x, x_axes, run, masked)


def _check_whole(plain: nn.Module, op: Any, x: Tensor, run: Run) -> None:
    """Conversion changes nothing."""
    before = {k: v.clone() for k, v in plain.state_dict().items()}
    assert list(before) == list(op.state_dict())
    for name, parameter in plain.named_parameters():
        assert dict(op.named_parameters())[name] is parameter
    for name, buffer in plain.named_buffers():
        assert dict(op.named_buffers())[name] is buffer
    expected = run(plain, x)
    plain.load_state_dict(before)
    for a, b in zip(run(op, x), expected, strict=True):
        assert torch.equal(a, b)
    plain.load_state_dict(before)


def _check_one(
    op: Any,
    small: nn.Module,
    slicer: Slicer,
    x: Tensor,
    x_axes: Mapping[int, Sequence[int]],
    y_axes: Mapping[int, tuple[Sequence[int], int]],
    run: Run,
    masked: bool,
) -> None:
    less = _less(x, x_axes)
    given = (x if masked else less).clone()
    floating = x.is_floating_point()
    less, given = less.requires_grad_(floating), given.requires_grad_(floating)
    before = {k: v.clone() for k, v in op.state_dict().items()}
    expected, found = run(small, less), run(op, given)
    losses = []
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        weights = normal(*b.shape, seed=i)
        losses.append((b * weights).sum())
        if masked:
            b = b.detach()
            for axis, (indices, n) in y_axes.items():
                b = spread(b, axis, indices, n)
                weights = spread(weights, axis, indices, n)
                weights[weights == 0] = 7.0  # nothing may come back from removed places
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        losses[-1] = (losses[-1], (a * weights).sum())
    if not any(p.requires_grad for p in op.parameters()) and not floating:
        return
    sum(b for b, _ in losses).backward()
    sum(a for _, a in losses).backward()
    _same_gradients(op, small, slicer)
    if floating:
        expected_x = less.grad
        assert expected_x is not None
        if masked:
            for axis, indices in x_axes.items():
                expected_x = spread(expected_x, axis, indices, x.shape[axis])
        torch.testing.assert_close(given.grad, expected_x, rtol=1e-5, atol=1e-5)
    buffers = dict(small.named_buffers())
    for name, buffer in op.named_buffers():
        torch.testing.assert_close(slicer(name, buffer), buffers[name], rtol=1e-5, atol=1e-6)
        gone = _gone(name, buffer, slicer)
        assert torch.equal(buffer.flatten()[gone], before[name].flatten()[gone])
        if op.training and buffer.is_floating_point():
            assert not torch.equal(buffer, before[name])


def _same_gradients(op: nn.Module, small: nn.Module, slicer: Slicer) -> None:
    gradients = {name: p.grad for name, p in small.named_parameters()}
    for name, parameter in op.named_parameters():
        assert parameter.grad is not None
        grad = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
        torch.testing.assert_close(slicer(name, grad), gradients[name], rtol=1e-4, atol=1e-5)
        assert not grad.flatten()[_gone(name, parameter, slicer)].any()


def _gone(name: str, tensor: Tensor, slicer: Slicer) -> Tensor:
    """The flat positions of a tensor of which nothing is left."""
    places = torch.arange(tensor.numel()).reshape(tensor.shape)
    gone = torch.ones(tensor.numel(), dtype=torch.bool)
    gone[slicer(name, places).flatten()] = False
    return gone


def _check_static(
    op: Any,
    small: nn.Module,
    x: Tensor,
    x_axes: Mapping[int, Sequence[int]],
    run: Run,
    masked: bool,
) -> None:
    if masked:
        try:
            op.to_static()
        except RefusedError as error:
            assert "hard-coded" in str(error)  # noqa: PT017
        else:
            raise AssertionError("a masked layer became smaller")
        return
    for parameter in op.parameters():
        parameter.requires_grad_(False)
        break
    static = op.to_static()
    assert type(static) is type(small)
    assert repr(static) == repr(small)
    assert static.training == op.training
    state = small.state_dict()
    assert list(static.state_dict()) == list(state)
    for name, tensor in static.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=1e-5, atol=1e-6)
    for (name, parameter), live in zip(static.named_parameters(), op.parameters(), strict=True):
        assert isinstance(parameter, nn.Parameter), name
        assert parameter.is_leaf
        assert parameter.requires_grad == live.requires_grad
        assert parameter.data_ptr() != live.data_ptr()
        live.requires_grad_(True)
    less = _less(x, x_axes)
    for a, b in zip(run(static, less), run(small, less), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def _less(x: Tensor, axes: Mapping[int, Sequence[int]]) -> Tensor:
    x = x.detach()
    for axis, indices in axes.items():
        x = x[(slice(None),) * axis + (list(indices),)]
    return x.clone()
