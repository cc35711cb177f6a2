"""Operators that run graphs: what goes in, what is carried from turn to turn, what comes out."""

from __future__ import annotations

import onnx_ir as ir

from onnxprune.axes.flow import Flow, Link
from onnxprune.graph.nested import graphs_of
from onnxprune.ops.registry import flow
from onnxprune.ops.view import Op, Unknown


def _body(op: Op, name: str) -> ir.Graph:
    attribute = op.node.attributes.get(name)
    graphs = [] if attribute is None else graphs_of(attribute)
    if len(graphs) != 1:
        raise Unknown(f"it has no graph {name}")
    return graphs[0]


def _links(outer: list[ir.Value | None], inner: list[ir.Value]) -> tuple[Link, ...]:
    if len(outer) != len(inner):
        raise Unknown("its graph has another number of inputs or outputs than it")
    return tuple(Link(o, i) for o, i in zip(outer, inner, strict=True) if o is not None)


@flow("If")
def if_(op: Op) -> Flow:
    """https://onnx.ai/onnx/operators/onnx__If.html."""
    branches = (_body(op, "then_branch"), _body(op, "else_branch"))
    results = [_links([*op.node.outputs], [*branch.outputs]) for branch in branches]
    return Flow(branches, results=(*results[0], *results[1]))


@flow("Loop")
def loop(op: Op) -> Flow:
    """https://onnx.ai/onnx/operators/onnx__Loop.html."""
    body, outputs = _body(op, "body"), [*op.node.outputs]
    state, taken, made = [*op.node.inputs[2:]], [*body.inputs[2:]], [*body.outputs[1:]]
    count = len(state)
    collected = _links([*outputs[count:]], made[count:])
    return Flow(
        (body,),
        given=_links(state, taken),
        carried=_links([*taken], made[:count]),
        results=(
            *_links([*outputs[:count]], made[:count]),
            *(Link(link.outer, link.inner, 0) for link in collected),
        ),
    )


@flow("Scan")
def scan(op: Op) -> Flow:
    """https://onnx.ai/onnx/operators/onnx__Scan.html; since opset 9, before it had a batch."""
    if op.version < 9:
        raise Unknown("it scans a batch of sequences, as only opset 8 has it")
    body, inputs, outputs = _body(op, "body"), [*op.node.inputs], [*op.node.outputs]
    count = len(inputs) - op.attr("num_scan_inputs", 0)
    collected = len(outputs) - count
    taken = op.attr("scan_input_axes", [0] * (len(inputs) - count))
    given = op.attr("scan_output_axes", [0] * collected)
    fed, made = _links(inputs, [*body.inputs]), _links([*outputs], [*body.outputs])
    if not 0 <= count <= len(outputs) or len(fed) != len(inputs):
        raise Unknown("its inputs do not fit its graph")
    return Flow(
        (body,),
        given=(*fed[:count], *_along(fed[count:], taken)),
        carried=_links([*body.inputs[:count]], [*body.outputs[:count]]),
        results=(*made[:count], *_along(made[count:], given)),
    )


def _along(links: tuple[Link, ...], axes: list[int]) -> tuple[Link, ...]:
    return tuple(Link(n.outer, n.inner, a) for n, a in zip(links, axes, strict=True))
