"""Parameters and buffers of modules that have no dynamic operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from onnxprune.errors import ChoiceError
from onnxprune.torch.dynamic.container import (
    Ids,
    MutableChannelContainer,
    as_positions,
    refuse_masked,
)
from onnxprune.torch.dynamic.cuts import Copies, take, where
from onnxprune.torch.dynamic.presence import mark
from onnxprune.units.mutable import BaseMutableChannel

__all__ = ["DynamicParameter", "dynamic_parameter", "originals", "parametrized", "resolve"]


class DynamicParameter(nn.Module):
    """A parametrization: the tensor as it is without its removed channels; masked ones are zero.

    Args:
        shape: The shape of the tensor.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.mutable_attrs = nn.ModuleDict(
            {f"axis_{i}": MutableChannelContainer(size) for i, size in enumerate(shape)}
        )

    def axes(self) -> list[MutableChannelContainer]:
        """The containers of the axes."""
        return [cast(MutableChannelContainer, c) for c in self.mutable_attrs.values()]

    def check(self, axis: int, mutable: BaseMutableChannel, positions: Any) -> Ids:
        """The positions of a mutable channel on an axis, checked.

        Args:
            axis: The axis.
            mutable: The mutable channel.
            positions: (mutable.num_channels, repeats) the indices that it owns.

        Raises:
            ChoiceError: If there is no such axis, or the positions do not fit.
        """
        if not 0 <= axis < len(self.mutable_attrs):
            raise ChoiceError(f"A tensor of {len(self.mutable_attrs)} axes has no axis {axis}.")
        return as_positions(mutable, positions, self.axes()[axis].num_channels)

    def forward(self, tensor: Tensor) -> Tensor:
        """The smaller tensor.

        Args:
            tensor: The whole one.
        """
        widths = [container.width_mask for container in self.axes()]
        tensor = take(tensor, {axis: where(width) for axis, width in enumerate(widths)})
        for axis, container in enumerate(self.axes()):
            tensor = mark(tensor, axis, container.current_mask[widths[axis]])
        return tensor

    def kept(self) -> dict[int, Ids]:
        """By axis, the indices that are kept."""
        return {axis: where(c.current_mask) for axis, c in enumerate(self.axes())}


def parametrized(module: nn.Module) -> nn.ModuleDict:
    """By name, the lists of parametrizations of a module; empty if it has none.

    Args:
        module: Any module.
    """
    if not parametrize.is_parametrized(module):
        return nn.ModuleDict()
    return cast(nn.ModuleDict, module.parametrizations)


def originals(module: nn.Module) -> dict[str, Tensor]:
    """By name, what a module's parametrized tensors are made of.

    Args:
        module: Any module.
    """
    found: dict[str, Tensor] = {}
    for name, chain in parametrized(module).items():
        known = hasattr(chain, "original")  # some are made of several tensors
        found[name] = cast(Tensor, chain.original if known else getattr(module, name))
    return found


def dynamic_parameter(module: nn.Module, name: str) -> DynamicParameter:
    """The parametrization of a tensor of a module, which is made if there is none.

    Args:
        module: The module.
        name: The name of a parameter or buffer.

    Raises:
        ChoiceError: If it has no such tensor.
    """
    found = _ours(module).get(name)
    if found is None:
        tensor = getattr(module, name, None)
        if not isinstance(tensor, Tensor):
            raise ChoiceError(f"{type(module).__name__} has no tensor '{name}'.")
        found = DynamicParameter(tensor.shape)
        if parametrize.is_parametrized(module):  # with the class of what it is a copy of, perhaps
            _own_class(module)
        persistent = name not in module._non_persistent_buffers_set
        parametrize.register_parametrization(module, name, found, unsafe=True)
        if not persistent:
            parametrized(module)[name]._non_persistent_buffers_set.add("original")
    return found


def resolve(module: nn.Module, where_to: nn.Module, copies: Copies, name: str = "") -> None:
    """Give a copy of a module plain tensors where the module has parametrized ones.

    Args:
        module: The module.
        where_to: Its copy.
        copies: Copies the tensors.
        name: The name of the module, for the error.

    Raises:
        RefusedError: If channels are masked.
    """
    ours = _ours(module)
    for tensor, dynamic in ours.items():
        for axis, container in enumerate(dynamic.axes()):
            refuse_masked(container, f"{name}{tensor}: its axis {axis}")
    if ours:
        _strip(where_to, set(ours))
    for tensor, dynamic in ours.items():
        chain = cast(parametrize.ParametrizationList, parametrized(module)[tensor])
        value: Any
        if len(chain) == 1:
            value = copies(chain.original, dynamic.kept())
        else:
            with torch.no_grad():
                value = chain().clone()
            if trained := list(chain.parameters()):
                value = nn.Parameter(value, any(p.requires_grad for p in trained))
        if isinstance(value, nn.Parameter):
            where_to.register_parameter(tensor, value)
        else:
            persistent = "original" not in chain._non_persistent_buffers_set
            where_to.register_buffer(tensor, value, persistent)


def _ours(module: nn.Module) -> dict[str, DynamicParameter]:
    """By name, the parametrizations of a module that are of this kind; they are the last ones."""
    return {
        name: part
        for name, chain in parametrized(module).items()
        for part in cast(nn.ModuleList, chain)
        if isinstance(part, DynamicParameter)
    }


def _strip(module: nn.Module, names: set[str]) -> None:
    """Take parametrizations off a copy. Its class may be that of the original, which stays."""
    cls = type(module)
    chains = parametrized(module)
    for name in names:
        del chains[name]
    if not len(chains):
        module.__class__ = cls.__bases__[0]
        del module.parametrizations
        return
    _own_class(module, names)


def _own_class(module: nn.Module, without: set[str] | None = None) -> None:
    """Give a parametrized module a class of its own, in which its parametrized tensors are."""
    cls = type(module)
    drop = {"__dict__", "__weakref__", *(without or ())}
    body = {key: value for key, value in vars(cls).items() if key not in drop}
    module.__class__ = type(cls.__name__, cls.__bases__, body)
