"""Both oracles for `Rule.within`: every group permutes, or loses, indices of its own choosing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from onnxprune.axes import Ids, Rule
from onnxprune.axes.bind import Binding
from onnxprune.axes.sentence import Axis, Operand
from onnxprune.ops.patch import Patch
from onnxprune.oracle.cases import Case
from onnxprune.oracle.evaluate import Array, same
from onnxprune.oracle.places import Key, keys
from onnxprune.oracle.remove import zero_of
from onnxprune.rewrite.apply import apply
from onnxprune.rewrite.plan import Plan

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What every group keeps of a name.

    Attributes:
        case: The case.
        rule: The rule.
        binding: Its sentence, bound to the shapes of the case.
        name: The name.
        kept: For each group the indices that stay, in their new order; equally many in each.
    """

    case: Case
    rule: Rule
    binding: Binding
    name: str
    kept: Sequence[Ids]

    def check(self) -> Iterator[str]:
        """What does not hold, in words."""
        group = self.rule.within[self.name]
        for operand in (*self.binding.inputs, *self.binding.outputs):
            names = {term.text for axis in operand or () for term in axis.terms()}
            if self.name in names and group not in names:
                yield f"{self.name} stands without its group {group}"
                return
        what = f"{'permuting' if self._whole else 'removing from'} {self.name} in every group"
        inputs, expected = list(self.case.inputs), list(self.case.outputs)
        for i, operand in enumerate(self.binding.inputs):
            if operand is not None:
                inputs[i] = self.select(inputs[i], operand)
        try:
            if self.name in self.rule.parsed.contracted and not self._whole:
                expected = self.case.run(self._zeroed())
            found = self.case.run(inputs, self._model())
        except Exception as error:
            yield f"{what} fails: {error}"
            return
        for i, operand in enumerate(self.binding.outputs):
            if not same(self.select(expected[i], operand), found[i]):
                yield f"{what} changes result {i}"

    def select(self, array: Array | None, operand: Operand) -> Array | None:
        """What is left of a tensor.

        Args:
            array: The tensor.
            operand: Its axes.
        """
        if array is None:
            return None
        group = self.rule.within[self.name]
        for axis, term in enumerate(operand):
            found = self._keys(term, array.shape[axis])
            if not any(t.text == self.name for t in term.terms()):
                continue
            if any(t.text == group for t in term.terms()):
                array = np.take(array, self._sources(found), axis)
                continue
            by = next(i for i, t in enumerate(operand) if any(u.text == group for u in t.terms()))
            rows = [
                self._sources(found, dict(terms)[group])
                for _, terms in self._keys(operand[by], array.shape[by])
            ]
            turned = np.moveaxis(array, (by, axis), (0, 1))
            places = np.array(rows).reshape(*np.shape(rows), *[1] * (array.ndim - 2))
            array = np.moveaxis(np.take_along_axis(turned, places, 1), (0, 1), (by, axis))
        return array

    @property
    def _whole(self) -> bool:
        return len(self.kept[0]) == self.binding.sizes[self.name]

    def _keys(self, axis: Axis, size: int) -> list[Key]:
        return keys(axis, size, self.binding)

    def _model(self) -> onnx.ModelProto:
        """The case's model, its attributes stating what is left."""
        sizes = {**self.binding.sizes, self.name: len(self.kept[0])}
        patch = Patch(attributes=self.rule.stated(sizes.__getitem__))
        plan = Plan({}, {self.case.node: patch})
        return ir.to_proto(apply(self.case.graph.model, plan))

    def _sources(self, found: list[Key], group: int | None = None) -> list[int]:
        """For each place that is left on an axis the index that comes there."""
        where = {key: i for i, key in enumerate(found)}
        sources = []
        for place, names in found:
            terms = dict(names)
            if self.name not in terms:
                sources.append(where[place, names])
                continue
            kept = self.kept[terms[self.rule.within[self.name]] if group is None else group]
            if terms[self.name] < len(kept):
                terms[self.name] = int(kept[terms[self.name]])
                sources.append(where[place, tuple(terms.items())])
        return sources

    def _zeroed(self) -> list[Array | None]:
        """The operands with zeros for what goes."""
        inputs = list(self.case.inputs)
        for i, (array, operand) in enumerate(zip(inputs, self.binding.inputs, strict=False)):
            if array is not None and operand is not None:
                numbers = np.arange(array.size).reshape(array.shape)
                left = self.select(numbers, operand)
                assert left is not None
                inputs[i] = np.where(np.isin(numbers, left), array, zero_of(self.case, i)).astype(
                    array.dtype
                )
        return inputs
