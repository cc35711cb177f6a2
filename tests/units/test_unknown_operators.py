"""An operator that nobody knows, put anywhere, bars what it touches; the rest still prunes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import small_shapes  # noqa: F401 - registers its models
from helpers import choose, units_of
from onnxprune.axes import Labels
from onnxprune.rewrite import prune
from random_graphs import Network
from small import MODELS

REASON = "no rule for the operator strange::Op"


def with_stranger(model: onnx.ModelProto, place: int) -> tuple[onnx.ModelProto, str]:
    """The model with an unknown operator between one node's result and its readers."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    shapes = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
    nodes = [node for node in made.graph.node if node.output[0] != made.graph.output[0].name]
    node = nodes[place % len(nodes)]
    name = node.output[0]
    index = list(made.graph.node).index(node)
    for reader in made.graph.node[index + 1 :]:
        for i, read in enumerate(reader.input):
            if read == name:
                reader.input[i] = "strange"
    stranger = onnx.helper.make_node("Op", [name], ["strange"], "stranger", domain="strange")
    made.graph.node.insert(index + 1, stranger)
    made.opset_import.append(onnx.helper.make_opsetid("strange", 1))
    for info in shapes:
        if info.name == name:
            made.graph.value_info.append(info)
            made.graph.value_info[-1].name = "strange"
    return made, name


def alive(labels: Labels, name: str) -> bool:
    """Whether any axis of a value may lose indices."""
    value = next(v for v in labels.axes if v.name == name)
    return any(True for _ in labels.living(value))


def models() -> list[tuple[str, onnx.ModelProto]]:
    some = [(name, make()) for name, make in MODELS.items()]
    return some + [(f"seed {seed}", Network(seed).build(5)) for seed in range(8)]


@pytest.mark.parametrize(("name", "model"), models(), ids=lambda x: x if isinstance(x, str) else "")
def test_a_stranger_anywhere(name: str, model: onnx.ModelProto) -> None:
    mutable = 0
    for place in range(len(model.graph.node) - 1):
        strange, touched = with_stranger(model, place)
        units = units_of(strange)
        known = {value.name: value for value in units.labels.axes}
        for value in (touched, "strange"):
            assert value not in known or not alive(units.labels, value)
        mutable += len(units.mutable)
        choose(units, place)
        small = prune(units)
        (stranger,) = (node for node in small.model.graph if node.domain == "strange")
        for value in (*stranger.inputs, *stranger.outputs):
            if value is not None and value.name in known:
                assert small.shape(value) == units.graph.shape(known[value.name])
    assert mutable


def test_the_reason_names_the_operator() -> None:
    model, _ = with_stranger(MODELS["chain"](), 1)
    units = units_of(model)
    unit = next(unit for unit in units if unit.name == "net.conv0_(0, 8)_8")
    assert unit.why_not == f"Op 'stranger': {REASON}"
    assert [unit.num_channels for unit in units.mutable] == [16]
    assert np.all(unit.mask)
