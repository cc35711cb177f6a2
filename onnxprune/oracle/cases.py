"""Nodes with their operands and results: ONNX's own test cases."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from onnxprune.graph import Dim, Graph, Source
from onnxprune.ops import operator_name
from onnxprune.oracle.evaluate import Array, Evaluator, evaluators, same

__all__ = ["Case", "case_of", "onnx_cases"]

LARGEST = 1 << 15
"""Elements of an operand; the reference implementation is slow, and more add nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One node with its operands and what it makes of them.

    Attributes:
        name: The name of the test case.
        model: A model of nothing but the node; it states no shapes.
        graph: The same, with the shapes of the case; every operand but the first is a constant.
        inputs: The operands, None where one is left out.
        outputs: The results, None where one is left out.
        evaluator: What runs it.
    """

    name: str
    model: onnx.ModelProto
    graph: Graph
    inputs: tuple[Array | None, ...]
    outputs: tuple[Array | None, ...]
    evaluator: Evaluator

    @property
    def node(self) -> ir.Node:
        """The node."""
        return self.graph.nodes[0]

    @property
    def operator(self) -> str:
        """The registered name of the node's operator."""
        return operator_name(self.node)

    def run(
        self, inputs: Sequence[Array | None], model: onnx.ModelProto | None = None
    ) -> list[Array | None]:
        """Run the node on other operands.

        Args:
            inputs: The operands.
            model: Another model with the same inputs and outputs.
        """
        names = self.model.graph.node[0].output
        return _run(self.evaluator, model or self.model, inputs, names)


def onnx_cases(operators: Collection[str]) -> Iterator[Case]:
    """ONNX's test cases of a single node on plain tensors, as far as they can be run here.

    Args:
        operators: The operators to give cases of.
    """
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases()
    for test in found:
        if test.model is not None and len(test.model.graph.node) == 1 and test.data_sets:
            node = test.model.graph.node[0]
            name = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
            if name in operators:
                case = case_of(test.name, test.model, *test.data_sets[0])
                if case is not None:
                    yield case


def case_of(
    name: str,
    model: onnx.ModelProto,
    operands: Sequence[object],
    results: Sequence[object] | None = None,
) -> Case | None:
    """A case, None if nothing here runs it twice with the same results.

    Args:
        name: Its name.
        model: A model of one node.
        operands: Those that are present.
        results: What must come out. None if that is not known beforehand; what runs models in
            practice is then asked first.
    """
    try:
        arrays = [_array(operand) for operand in operands]
        expected = None if results is None else [_array(result) for result in results]
    except TypeError:  # sequences, optionals and sparse tensors have no axes
        return None
    if any(array.size > LARGEST for array in arrays):
        return None
    feeds = dict(zip((info.name for info in model.graph.input), arrays, strict=True))
    inputs = tuple(feeds.get(read) for read in model.graph.node[0].input)
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    _rename(plain)
    names = plain.graph.node[0].output
    ways = evaluators(plain.graph.node[0].op_type)
    for evaluator in ways if results is not None else ways[::-1]:
        try:
            found, again = (_run(evaluator, plain, inputs, names) for _ in range(2))
        except Exception:
            continue
        given = [array for array in found if array is not None]
        if expected is not None and not all(map(same, given, expected)):
            continue
        if all(map(same, found, again)):
            graph = _graph(plain, inputs, found)
            return Case(name, plain, graph, inputs, tuple(found), evaluator)
    return None


def _array(value: object) -> Array:
    if isinstance(value, onnx.TensorProto):
        return np.asarray(onnx.numpy_helper.to_array(value))
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    raise TypeError(f"not a tensor: {type(value).__name__}")


def _rename(model: onnx.ModelProto) -> None:
    """Give every operand a name of its own, in the order of the node, and forget all shapes."""
    graph, node = model.graph, model.graph.node[0]
    types = {info.name: info.type for info in (*graph.input, *graph.output)}
    for info in types.values():
        if info.HasField("tensor_type"):
            info.tensor_type.ClearField("shape")
    for letter, names, infos in (("x", node.input, graph.input), ("y", node.output, graph.output)):
        made = [
            onnx.helper.make_value_info(f"{letter}{i}", types[name])
            for i, name in enumerate(names)
            if name
        ]
        names[:] = [name and f"{letter}{i}" for i, name in enumerate(names)]
        del infos[:]
        infos.extend(made)


def _run(
    evaluator: Evaluator,
    model: onnx.ModelProto,
    inputs: Sequence[Array | None],
    results: Sequence[str],
) -> list[Array | None]:
    feeds = {f"x{i}": array for i, array in enumerate(inputs) if array is not None}
    names = (info.name for info in model.graph.output)
    found = dict(zip(names, evaluator(model, feeds), strict=True))
    return [found.get(name) for name in results]


def _graph(
    model: onnx.ModelProto, inputs: Sequence[Array | None], outputs: Sequence[Array | None]
) -> Graph:
    """The model as a loaded graph: shapes, constants, and the elements of small integer tensors."""
    made = ir.from_proto(model)
    node = next(iter(made.graph))
    dims, numbers = {}, {}
    for i, (value, array) in enumerate(zip(node.inputs, inputs, strict=True)):
        if value is None or array is None:
            continue
        dims[value] = tuple(map(Dim, array.shape))
        if i > 0 and array.dtype.kind in "iufb":
            value.const_value = ir.tensor(array)
        if array.ndim < 2 and array.dtype.kind == "i":
            numbers[value] = tuple(Dim(int(element)) for element in array.reshape(-1))
    for value, array in zip(node.outputs, outputs, strict=True):
        if array is not None:
            dims[value] = tuple(map(Dim, array.shape))
    return Graph(made, Source(None, ""), dims, numbers)
