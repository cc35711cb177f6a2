"""The operators in a table: an example sentence, what may be lost, what is known to be left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from onnxprune.axes import Barred, Rule
from onnxprune.axes.bind import Binding
from onnxprune.axes.sentence import Sentence, Term
from onnxprune.graph import Graph, Source
from onnxprune.ops import FLOWS, RULES, rules_for
from onnxprune.ops.limits import limits_of
from onnxprune.oracle.cases import Case
from onnxprune.oracle.verdict import understood

__all__ = ["Row", "family_of", "markdown", "table", "unruled"]


@dataclass(frozen=True, slots=True)
class Row:
    """An operator.

    Attributes:
        operator: Its registered name.
        family: The file of its rule.
        sentence: What its rule says for one of its cases, empty if it bars them all.
        loses: What may lose indices there.
        limits: What it is known to leave out, or why it bars everything.
    """

    operator: str
    family: str
    sentence: str
    loses: str
    limits: tuple[str, ...]


def table(operators: Collection[str], cases: Iterable[Case]) -> list[Row]:
    """A row for each operator, sorted by family.

    Args:
        operators: The operators.
        cases: Cases; the example is the one with the most names that may lose indices.
    """
    best: dict[str, tuple[int, Rule, Binding]] = {}
    for case in cases:
        known = understood(case)
        if not isinstance(known, Barred):
            names = sum(known[1].sizes[name] > 1 for name in known[0].parsed.names())
            if case.operator not in best or names > best[case.operator][0]:
                best[case.operator] = (names, *known)
    rows = [_row(name, best[name][1] if name in best else None) for name in operators]
    return sorted(rows, key=lambda row: (row.family, row.operator))


def family_of(operator: str) -> str:
    """The family of a rule: the file it is in.

    Args:
        operator: The operator.
    """
    return RULES.get(operator).__module__.rpartition(".")[2]


def unruled() -> list[str]:
    """The operators of ONNX that have no rule; a Constant is a weight once a model is loaded."""
    import onnx.defs

    schemas = onnx.defs.get_all_schemas()
    names = {schema.name for schema in schemas if schema.domain == "" and not schema.deprecated}
    return sorted(names - {*RULES, *FLOWS, "Constant"})


def markdown(rows: Iterable[Row]) -> str:
    """The table as Markdown.

    Args:
        rows: The rows.
    """
    lines, barred = [_HEAD], dict[str, list[str]]()
    for row in rows:
        if row.sentence:
            limits = "; ".join(row.limits)
            lines.append(f"| {row.operator} | `{row.sentence}` | {row.loses} | {limits} |")
        else:
            barred.setdefault(row.limits[0], []).append(row.operator)
    lines += ["", f"Labels flow through the graphs of {', '.join(sorted(FLOWS))}."]
    lines += ["", "These keep everything whole:", ""]
    lines += [f"- {', '.join(names)}: {reason}" for reason, names in barred.items()]
    if unruled():
        lines += [f"- {', '.join(unruled())}: no rule"]
    return "\n".join(lines) + "\n"


_HEAD = """\
# Operators

What each rule says of one of its operator's test cases. `onnxprune rules --check` holds all
rules against the operators themselves, over all cases; the language is told in
`onnxprune/axes/sentence.py`. This file is written by `make rules`.

| operator | for example | may lose indices | stays whole |
| --- | --- | --- | --- |"""


def _row(operator: str, rule: Rule | None) -> Row:
    family = family_of(operator)
    limits = tuple(str(limit) for limit in limits_of(operator))
    if rule is None:
        return Row(operator, family, "", "", (_bar(operator), *limits))
    if any(term.text == "_" for term in _terms(rule.parsed)):
        limits = (rule.reason, *limits)
    return Row(operator, family, str(rule.parsed), _loses(rule), limits)


def _bar(operator: str) -> str:
    """Why an operator that no case speaks for bars everything."""
    domain, _, name = operator.rpartition("::")
    node = ir.Node(domain, name, [])
    graph = ir.Graph([], [], nodes=[node])
    known = rules_for(Graph(ir.Model(graph, ir_version=10), Source(None, ""), {}, {}))(node)
    return known.reason if isinstance(known, Barred) else ""


def _loses(rule: Rule) -> str:
    sentence = rule.parsed
    statistic, summed = sentence.statistic, sentence.contracted - sentence.statistic
    passed = [name for name in sentence.names() if name not in summed | statistic]
    parts = [
        ", ".join(passed),
        f"{', '.join(sorted(summed))} (summed)" if summed else "",
        f"{', '.join(sorted(statistic))} (statistic)" if statistic else "",
        "~" if any(term.is_alike for term in _terms(sentence)) else "",
    ]
    return "; ".join(filter(None, parts))


def _terms(sentence: Sentence) -> Iterator[Term]:
    for operand in (*sentence.inputs, *sentence.outputs):
        for axis in operand:
            yield from axis.terms()
