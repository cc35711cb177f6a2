"""Models whose layers become dynamic where a channel is registered, and plain again."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from onnxprune.errors import ChoiceError, OnnxPruneError
from onnxprune.torch.dynamic.container import MutableChannelContainer
from onnxprune.torch.dynamic.cuts import Copies
from onnxprune.torch.dynamic.op import DynamicOp
from onnxprune.torch.dynamic.parameters import (
    DynamicParameter,
    dynamic_parameter,
    originals,
    parametrized,
    resolve,
)
from onnxprune.torch.dynamic.subclasses import dynamic_class
from onnxprune.units.mutable import BaseMutableChannel

__all__ = ["refuse_removed", "register", "to_static"]


class Slot(NamedTuple):
    """A place of a tensor in a model.

    Attributes:
        path: Its name in the model.
        module: The module that owns it.
        name: Its name there.
        tensor: What is there, None if nothing is, as where a layer has no bias.
    """

    path: str
    module: nn.Module
    name: str
    tensor: Tensor | None


def register(
    model: nn.Module,
    tensor: str,
    axis: int,
    mutable: BaseMutableChannel,
    positions: Any,
    grouped: bool = False,
) -> None:
    """Let the channels of a mutable channel own indices of an axis of a model's tensor.

    Whatever holds the tensor, under this name or another, becomes dynamic in its place: a layer
    that has a dynamic operator becomes that, the tensor of another module is parametrized. Where
    no channel is removed the model computes what it did, with the same parameters.

    Args:
        model: The model, which changes.
        tensor: The name of a parameter or buffer, as in the `state_dict` of the original model.
        axis: An axis of it.
        mutable: The mutable channel.
        positions: (mutable.num_channels, repeats) row i holds the indices of that axis that channel
            i owns.
        grouped: Whether, on the inner axis of the weight of a grouped convolution, these count
            through all groups; else they are those of every group.

    Raises:
        ChoiceError: If there is no such tensor or axis, the positions do not fit, or the model is
            itself a layer that would have to be replaced. Nothing has been registered then.
        RefusedError: If these channels can never be removed.
    """
    owners = _owners(model, tensor)
    new: dict[int, DynamicOp] = {}
    actions: list[Callable[[], None]] = []
    for slot in owners:
        op = new.get(id(slot.module)) or _dynamic(slot.module)
        if op is None:
            parts = DynamicParameter(() if slot.tensor is None else slot.tensor.shape)
            ids = parts.check(axis, mutable, positions)
            actions.append(partial(_parametrize, slot, axis, mutable, ids))
            continue
        if op is not slot.module:
            _refuse_root(model, slot)
            new[id(slot.module)] = op
        routes = op.routes(slot.name, axis, mutable, positions, grouped)
        actions += [partial(container.add, mutable, ids) for container, ids in routes]
    _replace(model, new)
    for action in actions:
        action()


def to_static(model: nn.Module) -> nn.Module:
    """A copy of a model without its removed channels, of plain layers and tensors.

    Tensors that are shared stay shared. Layers that were dynamic have no hooks.

    Args:
        model: The model, which stays as it is.

    Raises:
        RefusedError: If channels are masked: the model computes with the full width.
        ChoiceError: If a layer cannot do with the channels that are left.
    """
    copies = Copies()
    memo: dict[int, Any] = {}
    for name, module in model.named_modules():
        if isinstance(module, MutableChannelContainer | DynamicParameter):
            memo[id(module)] = module  # not part of the copy, in the end
        if isinstance(module, DynamicOp):
            try:
                memo[id(module)] = module.static(copies)
            except OnnxPruneError as error:
                raise type(error)(f"{name}: {error}" if name else str(error)) from None
    prepared = {name: module for name, module in model.named_modules() if parametrized(module)}
    memo |= copies.memo
    result = copy.deepcopy(model, memo)
    for name, module in prepared.items():
        resolve(module, memo[id(module)], copies, f"{name}." if name else "")
    return result


def refuse_removed(model: nn.Module) -> None:
    """Refuse a model that follows mutable channels of which some are removed.

    Args:
        model: The model.

    Raises:
        OnnxPruneError: If there are any: what it computes now is not what its weights say.
    """
    for name, module in model.named_modules():
        if isinstance(module, MutableChannelContainer) and not module.current_mask.all():
            layer = name.partition(".mutable_attrs")[0].partition(".parametrizations")[0]
            raise OnnxPruneError(
                f"The model follows choices at the moment ('{layer}' keeps "
                f"{module.activated_channels} of {module.num_channels} channels); make it a plain "
                f"smaller one first (to_static), or let every unit keep all its channels."
            )


def _slots(module: nn.Module, prefix: str = "") -> Iterator[Slot]:
    """Every place of a tensor, under every name."""
    cls = type(module) if isinstance(module, DynamicOp) else dynamic_class(module)
    if cls is None:
        tensors = {**module._parameters, **module._buffers, **originals(module)}
    else:
        tensors = cls.tensors(module)
    for name, tensor in tensors.items():
        yield Slot(prefix + name, module, name, tensor)
    inner = {name.partition(".")[0] for name in tensors if "." in name}
    if isinstance(module, DynamicOp):
        inner.add("mutable_attrs")
    if parametrized(module):
        inner.add("parametrizations")
    for name, child in module._modules.items():
        if child is not None and name not in inner:
            yield from _slots(child, f"{prefix}{name}.")


def _owners(model: nn.Module, tensor: str) -> list[Slot]:
    """The places of a tensor: the named one, and all where the same tensor is; each module once."""
    path = re.sub(r"(^|\.)parametrizations\.(\w+)\.original$", r"\1\2", tensor)
    slots = {slot.path: slot for slot in _slots(model)}
    if path not in slots:
        near = difflib.get_close_matches(path, slots, 3)
        hint = f"; near it are: {', '.join(near)}." if near else "."
        raise ChoiceError(f"The model has no parameter or buffer '{tensor}'{hint}")
    named = slots[path]
    same = [
        slot for slot in slots.values() if slot.tensor is named.tensor is not None or slot is named
    ]
    return list({(id(slot.module), slot.name): slot for slot in same}.values())


def _dynamic(module: nn.Module) -> DynamicOp | None:
    """The module itself if it is dynamic, else a new operator for it, None if it has none."""
    if isinstance(module, DynamicOp):
        return module
    cls = dynamic_class(module)
    return None if cls is None else cls.convert_from(module)


def _refuse_root(model: nn.Module, slot: Slot) -> None:
    if slot.module is model:
        raise ChoiceError(
            f"The model is itself a {type(model).__name__}, which cannot be replaced from within; "
            "wrap it in a module, such as nn.Sequential(model)."
        )


def _parametrize(slot: Slot, axis: int, mutable: BaseMutableChannel, ids: Any) -> None:
    dynamic_parameter(slot.module, slot.name).axes()[axis].add(mutable, ids)


def _replace(model: nn.Module, new: dict[int, DynamicOp]) -> None:
    """Put dynamic operators where plain layers are; in lists and such of their parents too."""
    if not new:
        return
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if id(child) in new:
                module._modules[name] = new[id(child)]
        for name, value in vars(module).items():
            if not name.startswith("_") or isinstance(value, nn.Module):
                module.__dict__[name] = _replaced(value, new)
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # only its own fused layers can take nested tensors


def _replaced(value: Any, new: dict[int, DynamicOp]) -> Any:
    """A value in which plain layers are replaced; containers are changed in place if they can."""
    if isinstance(value, nn.Module):
        return new.get(id(value), value)
    if type(value) is list:
        value[:] = [new.get(id(entry), entry) for entry in value]
    elif type(value) is dict:
        value.update({k: new[id(entry)] for k, entry in value.items() if id(entry) in new})
    elif type(value) is tuple and any(id(entry) in new for entry in value):
        return tuple(new.get(id(entry), entry) for entry in value)
    return cast(object, value)
