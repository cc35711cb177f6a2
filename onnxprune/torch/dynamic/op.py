"""Layers that honour channel masks at run time, and turn back into plain ones."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from onnxprune.errors import ChoiceError
from onnxprune.torch.dynamic.container import (
    Ids,
    Mask,
    MutableChannelContainer,
    as_positions,
    refuse_masked,
)
from onnxprune.torch.dynamic.cuts import (
    Copies,
    Cut,
    Take,
    gather,
    on,
    rebuild,
    scatter,
    take,
)
from onnxprune.torch.dynamic.presence import mark
from onnxprune.units.mutable import BaseMutableChannel

__all__ = [
    "DYNAMIC_OPS",
    "DynamicOp",
    "Sites",
    "dynamic_op",
    "straight",
]

Sites = Mapping[tuple[str, int], Mapping[str, Ids]]
"""Where the indices of an axis of a parameter are in the containers: by parameter and axis, and by
container, a (size of the axis, k) table; -1 stands for nowhere."""

DYNAMIC_OPS: dict[type[nn.Module], type[DynamicOp]] = {}
"""By the plain class of a layer, its dynamic operator; its subclasses do not count."""

D = TypeVar("D", bound="type[DynamicOp]")


def dynamic_op(plain: type[nn.Module]) -> Callable[[D], D]:
    """A decorator that registers the dynamic operator of a plain layer.

    Args:
        plain: The plain class; the dynamic one derives from `DynamicOp` and from it.

    Raises:
        TypeError: If it does not.
        ValueError: If the plain class has one already.
    """

    def add(cls: D) -> D:
        if not issubclass(cls, plain):
            raise TypeError(f"{cls.__name__} must derive from {plain.__name__}, after DynamicOp.")
        if plain in DYNAMIC_OPS:
            raise ValueError(f"The dynamic operator of {plain.__name__} is registered twice.")
        cls.plain = plain
        DYNAMIC_OPS[plain] = cls
        return cls

    return add


def straight(size: int) -> Ids:
    """(size, 1) the table of an axis whose indices are those of its container."""
    return np.arange(size)[:, None]


class DynamicOp(nn.Module):
    """The first base of every dynamic operator; the second is the plain layer.

    The constructor takes what the plain layer's takes. A container for each of the layer's widths
    knows what is kept. The forward takes inputs without the removed channels (of which masked ones
    are still there), computes what the plain layer computes with the slices of its weights that
    are kept, and gives outputs without the removed channels (masked ones are zero). Gradients reach
    the full weights. Where everything is kept, it is the plain layer.

    A subclass says which containers it has, which axes of its parameters belong to them, which
    axes of its inputs and outputs, and what it is without the removed channels; the rest follows.

    Attributes:
        plain: The plain class.
        mutable_attrs: The containers by name.
        input_attr: The name of the container of the input channels, None without one.
        output_attr: The same for the output channels.
    """

    plain: ClassVar[type[nn.Module]]
    mutable_attrs: nn.ModuleDict
    input_attr: ClassVar[str | None] = "in_channels"
    output_attr: ClassVar[str | None] = "out_channels"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._add_containers()

    # What a subclass says.

    def widths(self) -> Mapping[str, int]:
        """By container, its number of channels.

        Raises:
            NotImplementedError: If a subclass does not say.
        """
        raise NotImplementedError

    def sites(self, grouped: bool) -> Sites:
        """Where the indices of parameters and buffers belong.

        Args:
            grouped: Whether those of the inner axis of a grouped weight count through all groups.

        Raises:
            NotImplementedError: If a subclass does not say.
        """
        raise NotImplementedError

    def input_axes(self) -> Mapping[str, int]:
        """By container, the axis of the input whose channels it holds."""
        return {}

    def output_axes(self) -> Mapping[str, int]:
        """By container, the axis of the output whose channels it holds."""
        return {}

    def cut(self) -> Cut:
        """The layer without its removed channels.

        Raises:
            ChoiceError: If there is no such layer.
            NotImplementedError: If a subclass does not say.
        """
        raise NotImplementedError

    def shell(self, cut: Cut, cut_with: Take = take) -> nn.Module:
        """The plain layer without the removed channels.

        Args:
            cut: What it is.
            cut_with: How slices of tensors are taken.
        """
        return rebuild(self, self.plain, cut.picks, cut.attributes, cut_with)

    @classmethod
    def tensors(cls, module: nn.Module) -> dict[str, Tensor | None]:
        """By name, the parameters and buffers that a layer of the plain class calls its own.

        Args:
            module: The layer, plain or dynamic.
        """
        return {**module._parameters, **module._buffers}

    # What follows.

    @classmethod
    def convert_from(cls, module: nn.Module) -> DynamicOp:
        """The dynamic operator of a plain layer: the same parameters, buffers, hooks, attributes.

        Args:
            module: The plain layer, which stays as it is.

        Raises:
            ChoiceError: If it is of another class; a subclass of the plain class is.
        """
        if type(module) is not cls.plain:
            raise ChoiceError(
                f"{cls.__name__} is made of a {cls.plain.__name__}, not of a "
                f"{type(module).__name__}."
            )
        op = cls.__new__(cls)
        op.__dict__.update(vars(module))
        for part in ("_parameters", "_buffers", "_modules"):
            op.__dict__[part] = copy.copy(op.__dict__[part])
        op._add_containers()
        return op

    def to_static(self) -> nn.Module:
        """A plain layer without the removed channels: copies of the kept slices, no hooks.

        Raises:
            RefusedError: If channels are masked: the model computes with the layer's full width.
            ChoiceError: If no plain layer is the one that is left.
        """
        return self.static(Copies())

    def static(self, copies: Copies) -> nn.Module:
        """`to_static`, where other layers may share tensors.

        Args:
            copies: Copies the tensors.

        Raises:
            RefusedError: If channels are masked: the model computes with the layer's full width.
            ChoiceError: If no plain layer is the one that is left.
        """
        for name in self.mutable_attrs:
            refuse_masked(self.container(name), f"{type(self).__name__}: its {name}")
        return self.shell(self.cut(), copies)

    def routes(
        self,
        parameter: str,
        axis: int,
        mutable: BaseMutableChannel,
        positions: Any,
        grouped: bool = False,
    ) -> list[tuple[MutableChannelContainer, Ids]]:
        """Which indices of which containers a mutable channel owns; see `register`.

        Args:
            parameter: The name of a parameter or buffer of the layer.
            axis: An axis of it.
            mutable: The mutable channel.
            positions: (mutable.num_channels, repeats) the indices of that axis that it owns.
            grouped: Whether they count through all groups of a grouped weight.

        Raises:
            ChoiceError: If the axis holds no channels, or the positions do not fit.
        """
        sites = self.sites(grouped)
        if (parameter, axis) not in sites:
            there = ", ".join(f"axis {place} of {name}" for name, place in sites)
            raise ChoiceError(
                f"{type(self).__name__} has no channels on axis {axis} of {parameter}; it has: "
                f"{there or 'none at all'}."
            )
        tables = sites[parameter, axis]
        size = len(next(iter(tables.values())))
        ids = as_positions(mutable, positions, size)
        return [
            (self.container(name), table[ids].reshape(len(ids), -1))
            for name, table in tables.items()
        ]

    def register(
        self,
        parameter: str,
        axis: int,
        mutable: BaseMutableChannel,
        positions: Any,
        grouped: bool = False,
    ) -> None:
        """Let the channels of a mutable channel own indices of an axis of a parameter.

        Args:
            parameter: The name of a parameter or buffer of the layer.
            axis: An axis of it.
            mutable: The mutable channel.
            positions: (mutable.num_channels, repeats) row i holds the indices of that axis that
                channel i owns.
            grouped: Whether those of the inner axis of a grouped weight count through all groups;
                else they are those of every group.

        Raises:
            ChoiceError: If the axis holds no channels, or the positions do not fit.
        """
        for container, ids in self.routes(parameter, axis, mutable, positions, grouped):
            container.add(mutable, ids)

    def get_mutable_attr(self, name: str) -> MutableChannelContainer:
        """The container of that name; `in_channels` and `out_channels` name one of every layer.

        Args:
            name: The name.

        Raises:
            ChoiceError: If there is none.
        """
        known = {"in_channels": self.input_attr, "out_channels": self.output_attr}
        found = known.get(name, name) if name not in self.mutable_attrs else name
        if found is None or found not in self.mutable_attrs:
            raise ChoiceError(
                f"{type(self).__name__} has no container '{name}'; it has: "
                f"{', '.join(self.mutable_attrs) or 'none'}."
            )
        return self.container(found)

    def container(self, name: str) -> MutableChannelContainer:
        """The container of exactly that name.

        Args:
            name: The name.
        """
        return cast(MutableChannelContainer, self.mutable_attrs[name])

    def mask(self, name: str) -> Mask:
        """(num_channels,) what a container keeps.

        Args:
            name: Its name.

        Raises:
            ChoiceError: If that is nothing.
        """
        mask = self.container(name).current_mask
        if not mask.any():
            raise ChoiceError(f"{type(self).__name__} would lose every one of its {name}.")
        return mask

    def width(self, name: str) -> Mask:
        """(num_channels,) what is physically there of a container's channels.

        Args:
            name: Its name.
        """
        return self.container(name).width_mask

    @property
    def is_whole(self) -> bool:
        """Whether everything is kept."""
        return all(self.container(name).current_mask.all() for name in self.mutable_attrs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The plain layer's forward, without the removed channels.

        Raises:
            OnnxPruneError: If the input has another width, or no layer is left.
        """
        if self.is_whole:
            return self.plain.forward(self, *args, **kwargs)
        if not args:
            bound = inspect.signature(self.plain.forward).bind(self, *args, **kwargs)
            args, kwargs = bound.args[1:], bound.kwargs
        cut = self.cut()
        x = args[0]
        for name, axis in self.input_axes().items():
            x = self.gather(x, axis, name, cut)
        shell = self.shell(cut)
        y = shell.forward(x, *args[1:], **kwargs)
        self._take_back(shell, cut)
        for name, axis in self.output_axes().items():
            y = self.scatter(y, axis, name, cut)
        return y

    def gather(self, x: Tensor, axis: int, name: str, cut: Cut) -> Tensor:
        """What the layer uses of an input.

        Args:
            x: The input, as wide as the container says.
            axis: The axis of its channels.
            name: The container of these.
            cut: What the layer uses.

        Raises:
            OnnxPruneError: If the input has another width.
        """
        what = f"{type(self).__name__} ({name})"
        return gather(x, axis, cut.kept[name], self.width(name), what)

    def scatter(self, y: Tensor, axis: int, name: str, cut: Cut) -> Tensor:
        """An output, as wide as its container says; it knows which channels are masked.

        Args:
            y: The kept channels of the output.
            axis: The axis of its channels.
            name: The container of these.
            cut: What the layer makes.
        """
        kept, width = cut.kept[name], self.width(name)
        return mark(scatter(y, axis, kept, width), axis, kept[width])

    def _add_containers(self) -> None:
        containers = {name: MutableChannelContainer(n) for name, n in self.widths().items()}
        self.mutable_attrs = nn.ModuleDict(containers).train(self.training)

    @torch.no_grad()
    def _take_back(self, shell: nn.Module, cut: Cut) -> None:
        """The buffers that the forward changed, at their kept places."""
        for name, full in self._buffers.items():
            part = shell._buffers[name]
            if self.training and full is not None and part is not None and name in cut.picks:
                full[on(full, cut.picks[name][0])] = part
