"""An operator that nobody knows, put anywhere, bars what it touches and says so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import small_control  # noqa: F401 - registers its models
import small_ops  # noqa: F401 - registers its models
import small_shapes  # noqa: F401 - registers its models
from helpers import choose, close, feeds_of, run, to_proto, units_of, zeroed
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from onnx.defs import OpSchema
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from random_graphs import Network
from small import MODELS

from onnxprune.axes import Labels
from onnxprune.graph import load
from onnxprune.rewrite import prune
from onnxprune.units import MutableChannelUnit, Units

DOMAIN = "strange"
SHAPED, SHAPELESS = "Shaped", "Shapeless"
"""An operator of which at least the shape of its result is known, and one without even that."""

COMPUTED = "computed while the model runs"
"""What a node says whose scales or other parameters are no constants any more."""


@pytest.fixture(scope="module", autouse=True)
def strange_schema() -> Iterator[None]:
    kinds = ["tensor(float)", "tensor(int64)", "tensor(int32)", "tensor(bool)"]
    rest = OpSchema.FormalParameterOption.Optional
    schema = OpSchema(
        SHAPED,
        DOMAIN,
        1,
        inputs=[
            OpSchema.FormalParameter("x", "T"),
            OpSchema.FormalParameter("z", "Z", param_option=rest),
        ],
        outputs=[OpSchema.FormalParameter("y", "T")],
        type_constraints=[("T", kinds, ""), ("Z", kinds, "")],
    )
    schema.set_type_and_shape_inference_function(
        lambda context: context.set_output_type(0, context.get_input_type(0))
    )
    onnx.defs.register_schema(schema)
    yield
    onnx.defs.deregister_schema(SHAPED, 1, DOMAIN)


def reason(operator: str) -> str:
    return f"{operator} 'stranger': no rule for the operator {DOMAIN}::{operator}"


@cache
def loaded(name: str, seed: int) -> onnx.ModelProto:
    """A model as loading leaves it, a small one or a random one."""
    return to_proto(load(MODELS[name]() if name else Network(seed).build(6)))


def readers(model: onnx.ModelProto) -> list[tuple[int, int]]:
    """Every (node, input slot) that reads a value."""
    return [
        (i, slot)
        for i, node in enumerate(model.graph.node)
        for slot, name in enumerate(node.input)
        if name
    ]


def with_stranger(
    model: onnx.ModelProto,
    operator: str,
    reader: tuple[int, int],
    everyone: bool,
    other: int | None,
) -> onnx.ModelProto:
    """The model with an unknown operator in front of what a node reads.

    Args:
        model: The model.
        operator: The unknown operator.
        reader: The node and its input.
        everyone: Whether all later readers of that value read the stranger's result too.
        other: Another value that is read by the stranger, by its number.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    nodes, (place, slot) = made.graph.node, reader
    name = nodes[place].input[slot]
    ahead = [v for node in nodes[:place] for v in node.output]
    ahead += [v.name for v in (*made.graph.input, *made.graph.initializer)]
    operands = [name] if other is None else [name, ahead[other % len(ahead)]]
    for i in range(place, len(nodes) if everyone else place + 1):
        for j, read in enumerate(nodes[i].input):
            if read == name and (everyone or j == slot):
                nodes[i].input[j] = "strange"
    stranger = onnx.helper.make_node(operator, operands, ["strange"], "stranger", domain=DOMAIN)
    nodes.insert(place, stranger)
    made.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    return made


def without_stranger(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the identity in its place, so that it can be run."""
    for node in model.graph.node:
        if node.domain == DOMAIN:
            node.op_type, node.domain = "Identity", ""
            del node.input[1:]
    return model


def runs(model: onnx.ModelProto) -> bool:
    """Whether onnxruntime takes a model."""
    try:
        ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Fail:
        return False
    return True


def alive(labels: Labels) -> dict[str, dict[int, np.ndarray]]:
    """Tensor -> axis -> which of its indices may go."""
    return {str(value.name): dict(labels.living(value)) for value in labels.axes}


def newly_barred(units: Units, clean: Units) -> Iterator[MutableChannelUnit]:
    """The units that stay whole and did not without the stranger."""
    before = alive(clean.labels)
    for unit in units:
        if unit.is_mutable or unit.num_channels == 1:
            continue
        for channel in (*unit.output_related, *unit.input_related):
            mask = before.get(str(channel.tensor.name), {}).get(channel.axis)
            places = np.unique(channel.positions)
            if channel.blocks is None and mask is not None and mask[places].all():
                yield unit
                break


def touched(units: Units, stranger: ir.Node) -> set[int]:
    """The atoms of all axes of what the stranger reads."""
    labels = units.labels
    return {
        int(atom)
        for value in stranger.inputs
        if value is not None
        for axis in labels.axes.get(value, ())
        for factor in axis
        if factor.label is not None
        for atom in labels.atoms.expand(factor.label).reshape(-1)
    } - {0}


@st.composite
def strange_models(draw: st.DrawFn) -> tuple[onnx.ModelProto, onnx.ModelProto, str]:
    """A model, the same with a stranger in it, and the stranger's operator."""
    name = draw(st.sampled_from(["", *sorted(MODELS)]))
    model = loaded(name, draw(st.integers(0, 19)) if not name else 0)
    operator = draw(st.sampled_from([SHAPED, SHAPELESS]))
    reader = draw(st.sampled_from(readers(model)))
    other = draw(st.none() | st.integers(0, 1 << 16))
    note(f"{name or 'random'}: {reader}, {other}")
    everyone = draw(st.booleans())
    return model, with_stranger(model, operator, reader, everyone, other), operator


@settings(max_examples=150)
@given(strange_models(), st.integers(0, 1 << 16))
def test_a_stranger_anywhere(
    models: tuple[onnx.ModelProto, onnx.ModelProto, str], seed: int
) -> None:
    clean, units = units_of(models[0]), units_of(models[1])
    stranger = next((node for node in units.graph.nodes if node.domain == DOMAIN), None)
    if stranger is None:
        return  # nothing reads it, so it is gone
    living = alive(units.labels)
    for value in (*stranger.inputs, *stranger.outputs):
        assert value is not None
        assert not living.get(str(value.name))
    first = stranger.inputs[0]
    assert first is not None
    tells_shapes = models[2] == SHAPED and first.dtype == ir.DataType.FLOAT
    atoms = touched(units, stranger)
    for unit in newly_barred(units, clean):
        spelt = units.labels.atoms.expand(unit.atoms.reshape(-1, 1))
        touches = not atoms.isdisjoint(spelt.reshape(-1).tolist())
        if touches or (tells_shapes and not str(unit.why_not).endswith(COMPUTED)):
            assert unit.why_not == reason(models[2]), unit.name
    choose(units, seed)
    assume(runs(without_stranger(to_proto(units.graph))))  # some operands must be constants
    small = prune(units)
    pruned, masked = without_stranger(to_proto(small)), without_stranger(zeroed(units.graph, small))
    for size in (2, 3):
        feeds = feeds_of(models[0], size)
        close(run(pruned, feeds), run(masked, feeds))


@pytest.mark.parametrize("operator", [SHAPED, SHAPELESS])
def test_the_reason_names_the_operator(operator: str) -> None:
    model = loaded("chain", 0)
    place = next(i for i, n in enumerate(model.graph.node) if n.op_type == "GlobalAveragePool")
    units = units_of(with_stranger(model, operator, (place, 0), True, None))
    assert units["net.conv1_(0, 16)_16"].why_not == reason(operator)
    assert [unit.num_channels for unit in units.mutable] == [8]
