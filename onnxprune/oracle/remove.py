"""The second oracle: an index set may lose indices, with the node patched by the rewriter.

Every result must be what it was without the removed indices. Where results sum over a name, they
must count as zeros; where a statistic runs over it, only the shapes of the results are foretold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx_ir as ir

from onnxprune.axes import Rule
from onnxprune.axes.bind import Binding
from onnxprune.axes.sentence import Operand
from onnxprune.ops import PATCHES, Kept, Op, Overlay, Patch
from onnxprune.ops.patch import Mask
from onnxprune.ops.stored import PARAMETERS, aligned
from onnxprune.oracle.cases import Case
from onnxprune.oracle.evaluate import Array, same
from onnxprune.oracle.places import carries, keys
from onnxprune.rewrite.apply import apply
from onnxprune.rewrite.plan import Plan

__all__ = ["Removal", "removal", "zero_of"]

Masks = list[list[Mask]]


def removal(
    case: Case, rule: Rule, binding: Binding, name: str, indices: Collection[int]
) -> Removal | None:
    """Work out what goes when a name loses indices.

    Args:
        case: The case.
        rule: The rule.
        binding: Its sentence, bound to the shapes of the case.
        name: The name; "~" and its like for all free axes and alike entries.
        indices: Which of its indices go.

    Returns:
        The removal; None if it would leave nothing of some axis, which is never asked for.
    """

    def masks(arrays: Sequence[Array | None], operands: Sequence[Operand | None]) -> Masks:
        return [
            []
            if operand is None or array is None
            else [
                ~carries(keys(axis, size, binding), name, indices)
                for axis, size in zip(operand, array.shape, strict=True)
            ]
            for operand, array in zip(operands, arrays, strict=False)
        ]

    taken, given = masks(case.inputs, binding.inputs), masks(case.outputs, binding.outputs)
    if not all(mask.any() for axes in (*taken, *given) for mask in axes):
        return None
    sizes = {n: size - len(indices) * (n == name) for n, size in binding.sizes.items()}
    return Removal(case, rule, name, sizes, taken, given)


@dataclass(frozen=True, slots=True, eq=False)
class Removal:
    """Some indices of one name that go.

    Attributes:
        case: The case.
        rule: The rule.
        name: The name that loses indices.
        sizes: What stays of every name.
        taken: For each operand and axis which indices stay.
        given: The same for the results.
    """

    case: Case
    rule: Rule
    name: str
    sizes: dict[str, int]
    taken: Masks
    given: Masks

    def check(self) -> Iterator[str]:
        """What does not hold, in words."""
        try:
            model = self.model()
            found = self.case.run(self.inputs(), model)
        except Exception as error:
            yield f"removing from {self.name} fails: {error}"
            return
        wrong = self._unlike(found, self._summed())
        if wrong and self._repeated() and not self._summed():
            wrong = self._unlike(found, zeros=True)
        yield from wrong

    def _unlike(self, found: Sequence[Array | None], zeros: bool) -> list[str]:
        """How results differ from what they must be."""
        wrong = []
        for i, (a, b) in enumerate(zip(self.expected(zeros), found, strict=True)):
            if a is None or b is None:
                continue
            if self.name in self.rule.parsed.statistic:
                if a.shape != b.shape:
                    wrong.append(f"removing from {self.name} gives a result {i} of another shape")
            elif not same(a, b):
                wrong.append(f"removing from {self.name} changes result {i}")
        return wrong

    def inputs(self) -> list[Array | None]:
        """The operands without the indices that go."""
        inputs = list(self.case.inputs)
        for i, masks in enumerate(self.taken):
            inputs[i] = _sliced(inputs[i], masks)
        return inputs

    def expected(self, zeros: bool) -> list[Array | None]:
        """What the results must be.

        Args:
            zeros: Whether what goes counts as zeros in what is left.
        """
        results = list(self.case.outputs)
        if zeros:
            inputs = list(self.case.inputs)
            for i, masks in enumerate(self.taken):
                inputs[i] = _zeroed(inputs[i], masks, zero_of(self.case, i))
            results = self.case.run(inputs)
        for i, masks in enumerate(self.given):
            results[i] = _sliced(results[i], masks)
        return results

    def _summed(self) -> bool:
        """Whether results sum over the name, be it only through a recurrence."""
        axes = [
            [any(term.text == self.name for term in axis.terms()) for axis in operand]
            for operand in self.rule.parsed.inputs
        ]
        return self.name in self.rule.parsed.contracted or any(sum(found) > 1 for found in axes)

    def _repeated(self) -> bool:
        """Whether operands hold the name more than once, so that a sum over it may be hidden."""
        operands = self.rule.parsed.inputs
        terms = (term for operand in operands for axis in operand for term in axis.terms())
        return sum(term.text == self.name for term in terms) > 1

    def model(self) -> onnx.ModelProto:
        """The case's model as the rewriter leaves it."""
        plan = Plan({}, {self.case.node: self._patch()})
        return ir.to_proto(apply(self.case.graph.model, plan))

    def _patch(self) -> Patch:
        """What the rule itself asks for, and what the operator's own patch adds."""
        own = PATCHES.find(self.case.operator)
        patch = Patch() if own is None else own(Op(self.case.node, self.case.graph), self._kept())
        attributes = self.rule.stated(self.sizes.__getitem__)
        inputs = {
            slot: self._spelt(slot, output)
            for slot, output in self.rule.shape_inputs.items()
            if slot < len(self.case.inputs) and self.case.inputs[slot] is not None
        }
        return replace(
            patch, attributes={**attributes, **patch.attributes}, inputs={**inputs, **patch.inputs}
        )

    def _spelt(self, slot: int, output: int) -> Overlay:
        """New elements for an operand that spells out a shape, or its last axes."""
        vector = self.case.inputs[slot]
        assert vector is not None
        first = len(self.given[output]) - vector.size
        shrunk = [
            (i - first, int(m.sum())) for i, m in enumerate(self.given[output]) if not m.all()
        ]
        return Overlay(vector.size, {i: size for i, size in shrunk if i >= 0})

    def _kept(self) -> Kept:
        def mask(masks: Masks, i: int, axis: int) -> Mask | None:
            found = masks[i][axis] if i < len(masks) and axis < len(masks[i]) else None
            return None if found is None or found.all() else found

        def restored(i: int) -> Overlay:
            old = {axis: m.size for axis, m in enumerate(self.taken[i]) if not m.all()}
            return Overlay(len(self.taken[i]), old)

        return Kept(
            input=lambda i, axis: mask(self.taken, i, axis),
            output=lambda i, axis: mask(self.given, i, axis),
            restored=restored,
        )


def _sliced(array: Array | None, masks: list[Mask]) -> Array | None:
    for axis, mask in enumerate(masks):
        if array is not None and not mask.all():
            array = np.compress(mask, array, axis)
    return array


def zero_of(case: Case, i: int) -> Array:
    """What stands for nothing in an operand: its zero point, broadcast to it, or 0."""
    array, node = case.inputs[i], case.node
    slot = PARAMETERS.get((node.domain, node.op_type), {}).get(i, (None, None))[1]
    zero = case.inputs[slot] if slot is not None and slot < len(case.inputs) else None
    packed = node.op_type == "MatMulNBits"  # what its zeros meet is zero
    if array is None or zero is None or packed:
        return np.zeros(())
    return np.broadcast_to(aligned(node, i, zero, array.shape), array.shape)


def _zeroed(array: Array | None, masks: list[Mask], zero: Array) -> Array | None:
    if array is None:
        return array
    for axis, mask in enumerate(masks):
        gone = ~mask.reshape([-1 if a == axis else 1 for a in range(array.ndim)])
        array = np.where(gone, zero.astype(array.dtype), array)
    return array
