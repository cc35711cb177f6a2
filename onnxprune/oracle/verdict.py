"""Whether a rule holds for one case: both oracles, and what the rule leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from onnxprune.axes import Barred, Ids, Rule
from onnxprune.axes.bind import Binding, bind
from onnxprune.axes.sentence import Term
from onnxprune.errors import SentenceError
from onnxprune.graph import Dim
from onnxprune.ops import rules_for
from onnxprune.oracle.cases import Case
from onnxprune.oracle.evaluate import Array
from onnxprune.oracle.gaps import Gap, gaps
from onnxprune.oracle.permute import free, permute
from onnxprune.oracle.remove import removal
from onnxprune.oracle.within import Selection

__all__ = ["Verdict", "judge", "understood"]


@dataclass(slots=True)
class Verdict:
    """What was found out about one case.

    Attributes:
        barred: Why nothing is claimed, empty where something is.
        permuted: How many claims the first oracle tried.
        removed: How many the second tried.
        wrong: What was claimed and does not hold.
        missing: What holds and was not claimed.
    """

    barred: str = ""
    permuted: int = 0
    removed: int = 0
    wrong: list[str] = field(default_factory=list)
    missing: list[Gap] = field(default_factory=list)


def judge(case: Case, rule: Rule | Barred | None = None, seed: int = 0) -> Verdict:
    """Hold the rule for a case against the operator itself.

    Args:
        case: The case.
        rule: The rule; the registered one if None.
        seed: Of the permutations and removals.

    Returns:
        The verdict.
    """
    verdict, random = Verdict(), np.random.default_rng(seed)
    known = understood(case, rule)
    if isinstance(known, Barred):
        verdict.barred = known.reason
        verdict.missing = list(gaps(case, None, random))
        return verdict
    rule, binding = known
    found = [*free(case, binding)]
    for name in dict.fromkeys(term.text for term in _terms(binding) if term.is_alike):
        verdict.permuted += 1
        gone = removal(case, rule, binding, name, [0])
        if gone is not None:
            verdict.removed += 1
            found += gone.check()
    for name in rule.parsed.names():
        size = binding.sizes.get(name, 1)
        if size < 2:
            continue
        verdict.permuted += 1
        found += permute(case, binding, name, dict(enumerate(random.permutation(size).tolist())))
        some = random.permutation(size)
        for count in sorted({1, size // 2}):
            gone = removal(case, rule, binding, name, some[:count].tolist())
            if gone is not None:
                verdict.removed += 1
                found += gone.check()
    for name in rule.within:
        for kept in _selections(binding.sizes, name, rule.within[name], random):
            verdict.permuted += len(kept[0]) == binding.sizes[name]
            verdict.removed += len(kept[0]) < binding.sizes[name]
            found += Selection(case, rule, binding, name, kept).check()
    verdict.wrong = [f"{case.name}: '{rule.sentence}': {what}" for what in found]
    verdict.missing = list(gaps(case, binding, random))
    return verdict


def _selections(
    sizes: Mapping[str, int], name: str, group: str, random: np.random.Generator
) -> Iterator[list[Ids]]:
    """For every group another order of all indices, then another half of them."""
    if min(sizes.get(name, 1), sizes.get(group, 1)) > 1:
        orders = [random.permutation(sizes[name]) for _ in range(sizes[group])]
        yield orders
        yield [np.sort(order[: sizes[name] // 2]) for order in orders]


def understood(case: Case, rule: Rule | Barred | None = None) -> tuple[Rule, Binding] | Barred:
    """What is known of a case's node: its rule and the sizes of its names, or why there is none.

    Args:
        case: The case.
        rule: The rule; the registered one if None.
    """
    known = rule or rules_for(case.graph)(case.node)
    if not isinstance(known, Rule):
        return known if isinstance(known, Barred) else Barred("its graphs are looked into")
    rule = known
    reached = case.inputs[: len(rule.parsed.inputs)]
    if any(array is not None and not array.size for array in (*reached, *case.outputs)):
        return Barred("one of its tensors is empty")
    try:
        binding = bind(rule, _shapes(case.inputs), _shapes(case.outputs))
    except SentenceError as error:
        return Barred(str(error))
    if len(binding.outputs) < len(case.outputs):
        return Barred(f"nothing is known of its result {len(binding.outputs)}")
    return rule, binding


def _terms(binding: Binding) -> Iterator[Term]:
    for operand in (*binding.inputs, *binding.outputs):
        for axis in operand or ():
            yield from axis.terms()


def _shapes(arrays: Sequence[Array | None]) -> list[tuple[Dim, ...] | None]:
    return [None if array is None else tuple(map(Dim, array.shape)) for array in arrays]
