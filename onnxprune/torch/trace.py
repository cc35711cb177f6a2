"""A torch module as a graph whose weights are the module's own parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils import parametrize

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, load
from onnxprune.torch.export import Exporter, export
from onnxprune.torch.tensors import to_numpy

__all__ = ["ModuleGraph", "example_of", "is_parameter", "trace"]

IMAGE = (1, 3, 224, 224)

_PARAMETER = "onnxprune.parameter"
"""Key of ``Value.meta``: the initializer is that parameter of the module."""


def trace(
    module: nn.Module,
    example: Tensor | Sequence[Any] | None = None,
    exporter: Exporter = "dynamo",
    dynamic: bool = True,
) -> Graph:
    """The graph of a module, with its parameters and buffers as initializers of their names.

    The initializers are the module's own tensors, not copies: when the module is trained, the
    graph has the trained weights. Those of parametrized tensors are copies.

    Args:
        module: The module.
        example: The inputs of ``forward``, or the sizes of one; None tries an image.
        exporter: Which of torch's exporters traces: ``dynamo`` or ``legacy``.
        dynamic: Whether the batch is left open.

    Returns:
        The graph.

    Raises:
        OnnxPruneError: If the module cannot be exported with this example.
    """
    plain = _plain(module)
    model = export(plain, example_of(example), exporter=exporter, dynamic=dynamic)
    names = plain.state_dict().keys()
    graph = load(model, untouched=names)
    living = module.state_dict(keep_vars=True)
    for name, value in graph.initializers.items():
        if name not in names or value.const_value is None:
            continue
        value.meta[_PARAMETER] = True
        if name in living:
            value.const_value = ir.LazyTensor(
                _reader(living[name], name),
                dtype=value.const_value.dtype,
                shape=ir.Shape(value.const_value.shape.numpy()),
                name=name,
            )
    return graph


def _plain(module: nn.Module) -> nn.Module:
    """The module as it is pruned: with a parameter for every tensor whose channels may go.

    Where it has parametrized ones, such as weight norm, what is pruned is the weight that a layer
    uses, not what that is computed from. A norm without weights has channels all the same.
    """
    parts = list(module.modules())
    if not any(parametrize.is_parametrized(part) or _is_bare_norm(part) for part in parts):
        return module
    plain = copy.deepcopy(module)
    for part in list(plain.modules()):
        if parametrize.is_parametrized(part):
            _compute(part)
        if _is_bare_norm(part):
            ones = torch.ones(_channels(part))
            part.register_parameter("weight", nn.Parameter(ones, requires_grad=False))
    return plain


_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _InstanceNorm)


def _is_bare_norm(module: nn.Module) -> bool:
    return isinstance(module, _NORMS) and module.weight is None


def _channels(norm: nn.Module) -> tuple[int, ...]:
    """The shape of the weight that a norm might have."""
    if isinstance(norm, nn.LayerNorm | nn.RMSNorm):
        return tuple(norm.normalized_shape)
    if isinstance(norm, nn.GroupNorm):
        return (norm.num_channels,)
    assert isinstance(norm, _InstanceNorm)
    return (norm.num_features,)


def _compute(module: nn.Module) -> None:
    """Give a module plain parameters where it has parametrized ones."""
    assert isinstance(module.parametrizations, nn.ModuleDict)
    values = {name: getattr(module, name).detach() for name in module.parametrizations}
    module.__class__ = type(module).__bases__[0]  # other copies share the class with properties
    del module.parametrizations
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=False))


def _reader(tensor: Tensor, name: str) -> Callable[[], ir.TensorProtocol]:
    return lambda: ir.tensor(to_numpy(tensor), name=name)


def is_parameter(value: ir.Value) -> bool:
    """Whether an initializer is a parameter or buffer of the module that was traced."""
    return bool(value.meta.get(_PARAMETER, False))


def example_of(example: Tensor | Sequence[Any] | None) -> tuple[Any, ...]:
    """The inputs that a user means by a tensor, several, or the sizes of an image.

    Raises:
        OnnxPruneError: If it is none of these.
    """
    given = IMAGE if example is None else example
    if isinstance(given, Tensor):
        return (given,)
    if isinstance(given, Sequence) and given and all(isinstance(size, int) for size in given):
        return (torch.rand(*given),)
    if isinstance(given, tuple | list) and given:
        return tuple(given)
    raise OnnxPruneError(
        f"An example is a tensor, a tuple of what forward takes, or the sizes of one input, not "
        f"{given!r}."
    )


class ModuleGraph:
    """MMRazor's names for `trace`; one tracer stands behind both."""

    @staticmethod
    def init_from_backward_tracer(module: nn.Module, example: Any = None) -> Graph:
        """The graph of a module; see `trace`."""
        return trace(module, example)

    init_from_fx_tracer = init_from_backward_tracer
