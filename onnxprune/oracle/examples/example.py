"""How an example is written down, and made a case of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from onnxprune.oracle.cases import Case, case_of
from onnxprune.oracle.evaluate import Array

__all__ = ["Example", "example"]

Operand = tuple[int, ...] | Array | None
"""Elements, or the shape of random positive numbers; None for one that is left out."""


@dataclass(frozen=True, slots=True)
class Example:
    """One node.

    Attributes:
        operator: Its registered name, such as ``Conv`` or ``com.microsoft::BiasGelu``.
        operands: Its operands.
        opset: The version of ONNX's operators.
        results: How many results it has; None for one that is left out.
        attributes: Its attributes.
        definition: What the operator does, as a function of ONNX's operators in ONNX's text, where
            nothing here runs it.
    """

    operator: str
    operands: tuple[Operand, ...]
    opset: int = 21
    results: tuple[str, ...] = ("y0",)
    attributes: Mapping[str, object] = field(default_factory=dict)
    definition: str = ""

    def case(self, name: str, seed: int) -> Case | None:
        """The example as a case, None if nothing here can run it.

        Args:
            name: The name of the case.
            seed: Of the random numbers.
        """
        random = np.random.default_rng(seed)
        data = [
            x
            if x is None or isinstance(x, np.ndarray)
            else random.random(x).astype(np.float32) + np.float32(0.1)
            for x in self.operands
        ]
        names = [f"x{i}" for i in range(len(data))]
        given = [(name, x) for name, x in zip(names, data, strict=True) if x is not None]
        read = [name if x is not None else "" for name, x in zip(names, data, strict=True)]
        domain, _, kind = self.operator.rpartition("::")
        node = onnx.helper.make_node(
            kind, read, list(self.results), domain=domain, **self.attributes
        )
        inputs = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), None
            )
            for name, x in given
        ]
        results = [onnx.helper.make_empty_tensor_value_info(n) for n in self.results if n]
        graph = onnx.helper.make_graph([node], kind, inputs, results)
        imports = [onnx.helper.make_opsetid("", self.opset)]
        if domain:
            imports.append(onnx.helper.make_opsetid(domain, 1))
        model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=10)
        if self.definition:
            model.functions.append(onnx.parser.parse_function(self.definition))
        return case_of(name, model, [x for _, x in given])


def example(
    operator: str, *operands: Operand, opset: int = 21, results: int = 1, **attributes: object
) -> Example:
    """One node, written in one line.

    Args:
        operator: Its registered name.
        operands: Arrays, shapes of random numbers, or None.
        opset: The version of ONNX's operators.
        results: How many results it has.
        attributes: Its attributes.
    """
    names = tuple(f"y{i}" for i in range(results))
    return Example(operator, operands, opset, names, attributes)
