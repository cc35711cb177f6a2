"""Runs an ONNX graph in torch, with some entries of its parameters missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from torch import Tensor

from onnxprune.torch import functions
from onnxprune.torch.control import CONTROL, Run
from onnxprune.torch.errors import BadFeeds, BadRemoval, Leak, LeakError, UnsupportedOperator
from onnxprune.torch.masked import Masked, without
from onnxprune.torch.operators import Call, find
from onnxprune.torch.operators.sequences import Parts
from onnxprune.torch.plan import Plan, Step
from onnxprune.torch.tensors import to_torch

__all__ = ["Interpreter"]

logger = logging.getLogger(__name__)

Removal = Mapping[int, np.ndarray] | np.ndarray
_Values = dict[ir.Value, Masked]
_Results = Sequence[Masked | None]
Observer = Callable[[ir.Node, _Results], None]


class Interpreter:
    """Runs an ONNX graph in torch; its parameters are the initializers, by name.

    The graph runs at its original size, always: what is missing keeps its place and holds 0, and
    Shape tells original sizes. Gradients flow to every parameter that requires them.

    Attributes:
        parameters: The initializers and constants, by name, as tensors that may be replaced,
            trained or told to require a gradient.
        observe: Called with every node that has run, and its results.
    """

    def __init__(self, model: ir.Model) -> None:
        self._inputs = {str(value.name): value for value in model.graph.inputs}
        self._plan = Plan.of(model.graph, model.opset_imports)
        self._constants = _named(self._plan.constants)
        self.parameters: dict[str, Tensor] = {
            name: self._plan.constants[value] for name, value in self._constants.items()
        }
        self._bodies: dict[Any, Interpreter] = {}
        self.observe: Observer | None = None

    def run(
        self,
        feeds: Mapping[str, np.ndarray | Tensor],
        missing: Mapping[str, Removal] | None = None,
    ) -> dict[str, Masked]:
        """Run the graph.

        Args:
            feeds: The inputs, by name.
            missing: The parameters and inputs that miss slices: name, axis, indices.

        Returns:
            The outputs, by name, at their original size.

        Raises:
            LeakError: The removed slices are inconsistent.
            UnsupportedOperator: The graph has an operator that cannot be run here.
            BadFeeds: An input is not fed, or a feed is no input.
            BadRemoval: What should be missing is no parameter or input, or lies outside it.
        """
        inputs = {
            name: Masked(feed if isinstance(feed, Tensor) else to_torch(feed))
            for name, feed in feeds.items()
        }
        unknown = set(missing or ()) - {*self.parameters, *self._inputs}
        if unknown:
            raise BadRemoval(f"no such parameter or input: {', '.join(sorted(unknown))}")
        values = self._start(inputs, missing or {})
        self._execute(self._plan, values)
        outputs = {str(output.name): values[output] for output in self._plan.outputs}
        for name, output in outputs.items():
            if isinstance(output, Parts):
                raise UnsupportedOperator(f"output {name!r} is a sequence")
        return outputs

    def _start(self, feeds: Mapping[str, Masked], missing: Mapping[str, Removal]) -> _Values:
        """The parameters and the inputs."""
        values: _Values = {}
        for name, value in self._constants.items():
            tensor = self.parameters[name]
            gone = missing.get(name)
            values[value] = Masked(tensor) if gone is None else without(name, tensor, gone)
        unknown = set(feeds) - set(self._inputs)
        if unknown:
            raise BadFeeds(f"not an input of the graph: {', '.join(sorted(unknown))}")
        for name, value in self._inputs.items():
            if name in feeds:
                gone = missing.get(name)
                fed = feeds[name]
                values[value] = fed if gone is None else without(name, fed.value, gone)
            elif value not in values:
                raise BadFeeds(f"input {name!r} is not fed")
        return values

    def _execute(self, plan: Plan, values: _Values) -> None:
        """Run all steps, forgetting values after their last use."""
        for step in plan.steps:
            results = self._evaluate(step, values)
            if self.observe is not None:
                self.observe(step.node, results)
            for output, result in zip(step.node.outputs, results, strict=False):
                if result is not None:
                    values[output] = result
            for value in step.dead:
                values.pop(value, None)

    def _evaluate(self, step: Step, values: _Values) -> _Results:
        """Run one node; errors name it."""
        node = step.node
        try:
            arguments = [None if v is None else values.get(v) for v in node.inputs]
            if step.blocks and node.op_type in CONTROL:
                return CONTROL[node.op_type](step, arguments, self._inside(values))
            handler = find(node.domain, node.op_type)
            if handler is None:
                return self._run_body(step, arguments)
            wanted = sum(1 for output in node.outputs if output.name)
            results = handler(Call(node.op_type, step.opset, arguments, step.attributes, wanted))
        except Leak as leak:
            raise LeakError(f"{step}{_operand(node, leak.operand)}: {leak.detail}") from None
        except (UnsupportedOperator, NotImplementedError) as error:  # the latter from torch
            raise UnsupportedOperator(f"{step}: {error}") from error
        except Exception as error:
            error.add_note(f"in {step}")
            raise
        return [results] if isinstance(results, Masked) else results

    def _inside(self, values: _Values) -> Run:
        """What runs the graphs inside a node, which see the values outside."""

        def run(block: Plan, given: Sequence[Masked | None]) -> list[Masked]:
            pairs = zip(block.inputs, given, strict=True)
            inner = values | {name: x for name, x in pairs if x is not None}
            self._execute(block, inner)
            return [inner[output] for output in block.outputs]

        return run

    def _run_body(self, step: Step, arguments: Sequence[Masked | None]) -> _Results:
        """Run a node through the function that the ONNX standard defines it by."""
        if any(isinstance(x, Parts) for x in arguments):
            raise UnsupportedOperator("a function of sequences")
        key = (
            step.node,
            *(None if x is None else (x.value.dtype, tuple(x.value.shape)) for x in arguments),
        )
        if key not in self._bodies:
            model = functions.body(step.node, step.opset, arguments)
            if model is None:
                raise UnsupportedOperator("not known, and ONNX defines no function body for it")
            logger.debug("%s runs as its function body", step)
            self._bodies[key] = Interpreter(model)
        inner = self._bodies[key]
        given = (x for x in arguments if x is not None)
        values = inner._start(dict(zip(inner._inputs, given, strict=True)), {})
        inner._execute(inner._plan, values)
        results = iter([values[output] for output in inner._plan.outputs])
        return [next(results) if output.name else None for output in step.node.outputs]


def _named(values: Iterable[ir.Value]) -> dict[str, ir.Value]:
    """Values by name; where graphs inside nodes use one again, it is numbered."""
    named: dict[str, ir.Value] = {}
    for value in values:
        name = str(value.name)
        count = 1
        while name in named:
            count += 1
            name = f"{value.name}#{count}"
        named[name] = value
    return named


def _operand(node: ir.Node, position: int | None) -> str:
    """Which input of a node an error is about."""
    if position is None or position >= len(node.inputs):
        return ""
    value = node.inputs[position]
    return f", input {position} {'' if value is None else repr(value.name)}"
