"""The units of a module whose dynamic operators have mutable channels already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from torch import Tensor, nn

from onnxprune.axes import Ids
from onnxprune.errors import ChoiceError
from onnxprune.torch.dynamic import DynamicOp, MutableChannelContainer
from onnxprune.torch.tensors import to_numpy
from onnxprune.units import BaseMutableChannel, Channel, DerivedMutableChannel, Found

__all__ = ["predefined"]


_OPERATORS: list[tuple[type[nn.Module], str]] = [
    (nn.modules.conv._ConvTransposeNd, "ConvTranspose"),
    (nn.modules.conv._ConvNd, "Conv"),
    (nn.Linear, "Gemm"),
    (nn.modules.batchnorm._BatchNorm, "BatchNormalization"),
    (nn.LayerNorm, "LayerNormalization"),
    (nn.GroupNorm, "GroupNormalization"),
    (nn.modules.instancenorm._InstanceNorm, "InstanceNormalization"),
    (nn.PReLU, "PRelu"),
]
"""What ONNX calls a layer."""


@dataclass(slots=True)
class _Draft:
    mutable: BaseMutableChannel
    outputs: list[Channel] = field(default_factory=list)
    inputs: list[Channel] = field(default_factory=list)


def predefined(module: nn.Module) -> list[Found]:
    """The units of a module, in the order of its dynamic operators.

    Mutable channels that are derived from a single other one belong to that one's unit.

    Raises:
        ChoiceError: If nothing is registered with any dynamic operator.
    """
    drafts: dict[int, _Draft] = {}
    for name, layer in module.named_modules():
        if not isinstance(layer, DynamicOp):
            continue
        for side, mutable, positions in _registrations(layer):
            source, rows = _source(mutable, positions)
            draft = drafts.setdefault(id(source), _Draft(source))
            for is_output, channels in ((True, draft.outputs), (False, draft.inputs)):
                if side in (None, is_output):
                    channels.append(_channel(name, layer, is_output, rows))
    if not drafts:
        raise ChoiceError(
            "The module has no dynamic operators with mutable channels; register them "
            "(MutableChannelContainer.register_mutable_channel_to_module), or find the units of "
            "its graph (init_from_graph)."
        )
    taken: dict[str, int] = {}
    found = []
    for draft in drafts.values():
        first = (draft.outputs or draft.inputs)[0]
        name = f"{first.name}_{first.index}_{draft.mutable.num_channels}"
        taken[name] = taken.get(name, 0) + 1
        unique = name if taken[name] == 1 else f"{name}#{taken[name]}"
        nothing = np.zeros(0, np.int64)
        made = Found(unique, nothing, draft.outputs, draft.inputs, mutable_channel=draft.mutable)
        found.append(made)
    return found


def _registrations(layer: DynamicOp) -> Iterator[tuple[bool | None, BaseMutableChannel, Ids]]:
    """(whether of the outputs, None for both sides; mutable channel; its positions)."""
    for attribute, container in layer.mutable_attrs.items():
        side = None
        if attribute.startswith(("in_", "input_")):
            side = False
        elif attribute.startswith(("out_", "hidden_", "embedding_")):
            side = True
        assert isinstance(container, MutableChannelContainer)
        for mutable, positions in container.registrations:
            yield side, mutable, positions


def _source(mutable: BaseMutableChannel, positions: Ids) -> tuple[BaseMutableChannel, Ids]:
    """The channels that these follow, and the positions that each of those owns."""
    while isinstance(mutable, DerivedMutableChannel) and len(mutable.sources) == 1:
        source = mutable.sources[0]
        if mutable.made_of.shape[1] != 1:
            break  # one of several: it is no channel of the source alone
        order = np.argsort(mutable.made_of[:, 0], kind="stable")
        positions = positions[order].reshape(source.num_channels, -1)
        mutable = source
    return mutable, positions


def _channel(name: str, layer: nn.Module, is_output: bool, positions: Ids) -> Channel:
    tensor = ir.Value(name=f"{name}.weight")
    weight = getattr(layer, "weight", None)
    rank = 0
    if isinstance(weight, Tensor):
        tensor.const_value = _living(weight)
        tensor.shape = ir.Shape(weight.shape)
        rank = weight.ndim
    transposed = type(layer).__name__.startswith("DynamicConvTranspose")
    axis = int(is_output == transposed) if rank > 1 else 0
    op = next((op for kind, op in _OPERATORS if isinstance(layer, kind)), type(layer).__name__)
    return Channel(name, name, op, tensor, axis, positions, is_output)


def _living(weight: Tensor) -> ir.TensorProtocol:
    """The weight as it is whenever it is read."""
    return ir.LazyTensor(
        lambda: ir.tensor(to_numpy(weight)),
        dtype=ir.DataType.FLOAT,
        shape=ir.Shape(weight.shape),
    )
