"""An operator that nobody knows, put anywhere, bars what it touches."""

from __future__ import annotations

import onnx
import pytest
import small_shapes  # noqa: F401 - registers its models
from helpers import choose, units_of
from random_graphs import Network
from small import MODELS

from onnxprune.axes import Labels
from onnxprune.rewrite import prune

REASON = "no rule for the operator strange::Op"


def with_stranger(model: onnx.ModelProto, place: int) -> tuple[onnx.ModelProto, str]:
    """The model with an unknown operator between one node's result and its readers."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
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
    for place in range(len(model.graph.node) - 1):
        strange, touched = with_stranger(model, place)
        units = units_of(strange)
        known = {value.name: value for value in units.labels.axes}
        for value in (touched, "strange"):
            assert value not in known or not alive(units.labels, value)
        choose(units, place)
        small = prune(units)
        for stranger in (node for node in small.model.graph if node.domain == "strange"):
            for value in (*stranger.inputs, *stranger.outputs):
                if value is not None and value.name in known:
                    assert small.shape(value) == units.graph.shape(known[value.name])


def test_the_reason_names_the_operator() -> None:
    model, _ = with_stranger(MODELS["chain"](), 2)
    units = units_of(model)
    assert units["net.conv1_(0, 16)_16"].why_not == f"Op 'stranger': {REASON}"
    assert [unit.num_channels for unit in units.mutable] == [8]
