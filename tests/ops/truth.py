"""Is a rule true? Its sentence is held against the operator itself, over ONNX's own test cases.

A name of a sentence is an index set. So if it is permuted wherever it stands among the operands,
every result must be permuted wherever it stands there, and unchanged where it does not. And if an
index is removed from it, with the node patched as the rewriter would, every result must be what it
was without that index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from corpus import Case, same

from onnxprune.axes import Barred, Rule
from onnxprune.axes.bind import Binding, bind
from onnxprune.axes.sentence import FREE, Axis
from onnxprune.errors import SentenceError
from onnxprune.graph import Dim
from onnxprune.ops import PATCHES, Kept, Op, Overlay, operator_name, rules_for

Key = tuple[object, ...]


def keys(axis: Axis, total: int, binding: Binding) -> list[Key]:
    """What each index of an axis stands for: its part, then each term with its own index."""
    found: list[Key] = []
    for place, (part, size) in enumerate(
        zip(axis.parts, binding.part_sizes(axis, total), strict=True)
    ):
        sizes = binding.term_sizes(part, size)
        for index in np.ndindex(*sizes):
            terms = []
            for term, i in zip(part, index, strict=True):
                if not term.is_name or term.index is None:
                    terms.append((term.text, i))
                else:
                    picked = binding.picked(term, binding.sizes[term.text])
                    terms.append((term.text, int(picked[i])))
            plain = all(not term.is_name for term in part)
            found.append((place if plain else -1, *terms))
    assert len(found) == total
    return found


def swapped(found: list[Key], name: str, order: Mapping[int, int]) -> np.ndarray:
    """For each index the index that takes its place; -1 where that one is not on this axis."""
    where: dict[Key, int] = {}
    for i, key in enumerate(found):
        where.setdefault(key, i)
    moved = np.empty(len(found), np.int64)
    for i, key in enumerate(found):
        new = tuple(
            (t[0], order[t[1]]) if isinstance(t, tuple) and t[0] == name else t for t in key
        )
        moved[i] = i if new == key else where.get(new, -1)
    return moved


def carries(found: list[Key], name: str, index: int) -> np.ndarray:
    """Which indices of an axis depend on one index of a name."""
    return np.array([(name, index) in key for key in found], bool)


@dataclass
class Verdict:
    """What was found out about one case."""

    barred: str = ""
    claims: int = 0
    slices: int = 0
    wrong: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def judge(
    case: Case, random: np.random.Generator, rule: Rule | Barred | None = None, seek: bool = False
) -> Verdict:
    """Hold the rule for one case against the operator.

    Args:
        case: The case.
        random: Picks permutations and indices.
        rule: Another rule than the registered one.
        seek: Also look for axes that would permute and are kept whole.
    """
    verdict = Verdict()
    rule = rule or rules_for(case.graph)(case.node)
    if isinstance(rule, Barred):
        verdict.barred = rule.reason
        if seek:
            verdict.missing = _missing(case, None, random)
        return verdict
    shapes = [None if a is None else tuple(map(Dim, a.shape)) for a in case.inputs]
    try:
        binding = bind(rule, shapes, [tuple(map(Dim, a.shape)) for a in case.outputs])
    except SentenceError as error:
        verdict.barred = str(error)
        return verdict
    if len(binding.outputs) < len(case.outputs):
        verdict.barred = "a result is not spoken of"
        return verdict
    for name in rule.parsed.names():
        size = binding.sizes.get(name, 1)
        if size > 1:
            verdict.claims += 1
            verdict.wrong += _permute(case, rule, binding, name, random.permutation(size))
            if name not in rule.parsed.contracted | rule.parsed.statistic:
                verdict.slices += 1
                verdict.wrong += _remove(case, rule, binding, name, int(random.integers(size)))
    verdict.wrong += _free(case, rule, binding)
    if seek:
        verdict.missing = _missing(case, binding, random)
    return verdict


def _free(case: Case, rule: Rule, binding: Binding) -> Iterator[str]:
    """What stands on a free axis must not matter."""
    for i, operand in enumerate(binding.inputs[: len(case.inputs)]):
        for place, axis in enumerate(operand or ()):
            array = case.inputs[i]
            if axis.term == FREE and array is not None:
                inputs = list(case.inputs)
                inputs[i] = np.roll(array, 1, place)
                if not all(map(same, case.outputs, case.run(inputs))):
                    yield f"{case.name}: '{rule.sentence}': axis {place} of {i} is not free"


def _permute(
    case: Case, rule: Rule, binding: Binding, name: str, order: np.ndarray
) -> Iterator[str]:
    mapping = dict(enumerate(order.tolist()))
    inputs = list(case.inputs)
    for i, operand in enumerate(binding.inputs):
        array = inputs[i] if i < len(inputs) else None
        for place, axis in enumerate(operand or () if array is not None else ()):
            assert array is not None
            moved = swapped(keys(axis, array.shape[place], binding), name, mapping)
            array = np.take(array, moved, place)
        if i < len(inputs):
            inputs[i] = array
    found = case.run(inputs)
    for i, operand in enumerate(binding.outputs):
        expected, actual = case.outputs[i], found[i]
        for place, axis in enumerate(operand):
            moved = swapped(keys(axis, expected.shape[place], binding), name, mapping)
            known = np.flatnonzero(moved >= 0)
            expected = np.take(expected, moved, place)
            expected, actual = np.take(expected, known, place), np.take(actual, known, place)
        if not same(expected, actual):
            yield f"{case.name}: '{rule.sentence}': permuting {name} changes result {i}"


def _remove(case: Case, rule: Rule, binding: Binding, name: str, index: int) -> Iterator[str]:
    def kept(operand: tuple[Axis, ...] | None, array: np.ndarray | None) -> list[np.ndarray]:
        if operand is None or array is None:
            return []
        axes = zip(operand, array.shape, strict=True)
        return [~carries(keys(axis, size, binding), name, index) for axis, size in axes]

    masks_in = [kept(o, a) for o, a in zip(binding.inputs, case.inputs, strict=False)]
    masks_out = [kept(o, a) for o, a in zip(binding.outputs, case.outputs, strict=False)]
    if any(not mask.any() for masks in (*masks_in, *masks_out) for mask in masks):
        return
    inputs = list(case.inputs)
    for i, masks in enumerate(masks_in):
        inputs[i] = _sliced(inputs[i], masks)
    expected = [_sliced(a, m) for a, m in zip(case.outputs, masks_out, strict=True)]
    proto = _patched(case, rule, binding, name, masks_in, masks_out, inputs)
    try:
        found = case.run(inputs, proto)
    except Exception as error:
        yield f"{case.name}: '{rule.sentence}': removing from {name} fails: {error}"
        return
    if case.node.op_type in ("Shape", "Size"):
        return  # what they tell is pinned by nodes that follow
    for i, (a, b) in enumerate(zip(expected, found, strict=True)):
        if a is not None and not same(a, b):
            yield f"{case.name}: '{rule.sentence}': removing from {name} changes result {i}"


def _sliced(array: np.ndarray | None, masks: list[np.ndarray]) -> np.ndarray | None:
    for place, mask in enumerate(masks):
        if array is not None and not mask.all():
            array = np.compress(mask, array, place)
    return array


def _patched(
    case: Case,
    rule: Rule,
    binding: Binding,
    name: str,
    masks_in: list[list[np.ndarray]],
    masks_out: list[list[np.ndarray]],
    inputs: list[np.ndarray | None],
) -> onnx.ModelProto:
    """The model with its node patched as the rewriter would; `inputs` are patched in place."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.proto)
    node = proto.graph.node[0]
    attributes: dict[str, int | list[int] | None] = {
        attribute: binding.sizes[other] - (other == name)
        for attribute, other in rule.attributes.items()
    }
    for slot, output in rule.shape_inputs.items():
        if slot < len(inputs) and inputs[slot] is not None:
            vector = inputs[slot].copy()  # type: ignore[union-attr]
            for place, mask in enumerate(reversed(masks_out[output]), 1):
                if not mask.all():
                    vector[-place] = mask.sum()
            inputs[slot] = vector
    own = PATCHES.find(operator_name(case.node))
    if own is not None:
        patch = own(Op(case.node, case.graph), _view(masks_in, masks_out))
        attributes |= patch.attributes
        for slot, change in patch.inputs.items():
            assert not isinstance(change, Overlay)
            if slot >= len(node.input):
                node.input.extend([""] * (slot - len(node.input)) + ["extra0"])
                proto.graph.input.append(
                    onnx.helper.make_tensor_value_info("extra0", onnx.TensorProto.INT64, None)
                )
                inputs.extend([None] * (slot - len(inputs)) + [change])
            else:
                old = inputs[slot]
                inputs[slot] = change if old is None else change.astype(old.dtype)
    for attribute, value in attributes.items():
        for old_attribute in [a for a in node.attribute if a.name == attribute]:
            node.attribute.remove(old_attribute)
        if value is not None:
            node.attribute.append(onnx.helper.make_attribute(attribute, value))
    return proto


def _view(masks_in: list[list[np.ndarray]], masks_out: list[list[np.ndarray]]) -> Kept:
    def mask(masks: list[list[np.ndarray]], i: int, axis: int) -> np.ndarray | None:
        found = masks[i][axis] if i < len(masks) and axis < len(masks[i]) else None
        return None if found is None or found.all() else found

    return Kept(
        input=lambda i, axis: mask(masks_in, i, axis),
        output=lambda i, axis: mask(masks_out, i, axis),
        restored=lambda i: Overlay(None),
    )


def _missing(case: Case, binding: Binding | None, random: np.random.Generator) -> list[str]:
    """Axes that are kept whole although permuting them alone permutes a result, or nothing."""
    found = []
    for i, array in enumerate(case.inputs):
        if array is None or array.dtype.kind != "f":
            continue
        operand = None
        if binding is not None and i < len(binding.inputs):
            operand = binding.inputs[i]
        for place, size in enumerate(array.shape):
            claimed = operand is not None and any(
                term.is_name or term.text == "~" for term in operand[place].terms()
            )
            if size < 3 or claimed:
                continue
            order = np.roll(np.arange(size), 1)
            inputs = list(case.inputs)
            inputs[i] = np.take(array, order, place)
            if np.array_equal(inputs[i], array):
                continue
            try:
                results = case.run(inputs)
            except Exception:
                continue
            if all(_follows(a, b, order) for a, b in zip(case.outputs, results, strict=True)):
                found.append(f"{case.node.op_type} input {i} axis {place} ({case.name})")
    return found


def _follows(before: np.ndarray, after: np.ndarray, order: np.ndarray) -> bool:
    if same(before, after):
        return True
    places = [i for i, size in enumerate(before.shape) if size == len(order)]
    return any(same(np.take(before, order, place), after) for place in places)
