"""``onnxprune rules``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from onnxprune.cli.shared import emit, progress
from onnxprune.errors import OnnxPruneError, plain

if TYPE_CHECKING:
    from onnxprune.oracle import Tally

COLUMNS = ("cases", "permuted", "removed", "wrong", "missing", "known", "barred")


@click.command("rules")
@click.argument("operators", metavar="[OPERATOR]...", nargs=-1)
@click.option("--check", "checked", is_flag=True, help="Hold the rules against the operators.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="The form of what is written to standard output.",
)
def command(operators: tuple[str, ...], checked: bool, form: str) -> int:
    """List the operators that are understood; what stands beside any other stays whole.

    With --check the rules, or those of the OPERATORs, are held against the operators themselves,
    over ONNX's own test cases: claimed axes are permuted, and lose indices. The exit code is 1 if a
    claim is wrong, or if an axis that could lose indices is kept whole for no known reason.
    """
    from onnxprune.ops import RULES

    names = _known(operators) if operators else list(RULES)
    if checked and form == "markdown":
        raise click.UsageError("--check answers in text or JSON.")
    if checked:
        return _check(names, form)
    if form == "markdown":
        _markdown(names)
    else:
        _list(names, form, complete=not operators)
    return 0


def _known(operators: Sequence[str]) -> list[str]:
    """The operators, each once, if all have rules."""
    from onnxprune.ops import RULES

    names = list(RULES)
    for operator in operators:
        if operator not in names:
            near = difflib.get_close_matches(operator, names, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else "'onnxprune rules' lists all"
            raise OnnxPruneError(f"There is no rule for an operator '{operator}'; {hint}")
    return list(dict.fromkeys(operators))


@dataclass(frozen=True, slots=True)
class Listed:
    """An operator in the list: the file of its rule, None without one, and what it leaves out."""

    operator: str
    family: str | None
    macs: bool
    limits: list[str]


def _list(names: list[str], form: str, complete: bool) -> None:
    """Write what there is, and, if complete, what is missing."""
    from onnxprune.ops import FLOWS, MACS
    from onnxprune.ops.limits import limits_of
    from onnxprune.oracle import family_of, unruled

    rows = [
        Listed(name, family_of(name), MACS.find(name) is not None, list(map(str, limits_of(name))))
        for name in names
    ]
    rows += [Listed(name, "control", False, []) for name in FLOWS if complete]
    rows.sort(key=lambda row: (row.family, row.operator))
    rows += [Listed(name, None, False, []) for name in unruled() if complete]
    emit(form, rows, _list_text)


def _list_text(rows: list[Listed]) -> str:
    families: dict[str, list[str]] = {}
    limits: dict[str, list[str]] = {}
    for row in rows:
        families.setdefault(row.family or "no rule", []).append(row.operator)
        for limit in row.limits:
            limits.setdefault(limit, []).append(row.operator)
    lines = [f"{family:19} {', '.join(names)}" for family, names in families.items()]
    lines += [f"{'known limit':19} {', '.join(names)}, {text}" for text, names in limits.items()]
    return "\n".join(lines)


def _markdown(names: list[str]) -> None:
    with progress("choosing an example for every operator"):
        from onnxprune.oracle import cases, markdown, table

        text = markdown(table(names, cases(names)))
    print(text, end="")


def _check(names: list[str], form: str) -> int:
    with progress(f"checking {len(names)} rules against their operators"):
        from onnxprune.oracle import check

        tallies = check(names)
    emit(form, tallies, _check_text)
    return int(any(tally.failed for tally in tallies))


def _check_text(tallies: list[Tally]) -> str:
    width = max(len(tally.operator) for tally in tallies)
    lines = [f"{'operator':{width}}" + "".join(f"{name:>10}" for name in COLUMNS)]
    rows = [(tally.operator, _numbers(tally)) for tally in tallies]
    lines += [f"{name:{width}}" + "".join(f"{n:10,}" for n in row) for name, row in rows]
    for tally in tallies:
        lines += [f"wrong: {tally.operator}: {what}" for what in tally.wrong]
        lines += [f"missing: {what}" for what in _gathered(tally)]
    total = dict(zip(COLUMNS, map(sum, zip(*(row for _, row in rows), strict=True)), strict=True))
    lines.append(
        f"{len(tallies):,} rules on {total['cases']:,} cases: {total['permuted']:,} claims by "
        f"permuting and {total['removed']:,} by removing, {total['wrong']:,} wrong; "
        f"{total['missing']:,} missing, {total['known']:,} more by known limits; "
        f"{total['barred']:,} cases barred"
    )
    return "\n".join(map(plain, lines))


def _numbers(tally: Tally) -> tuple[int, ...]:
    return (
        *(tally.cases, tally.permuted, tally.removed, len(tally.wrong)),
        *(len(tally.unexplained), len(tally.explained), sum(tally.barred.values())),
    )


def _gathered(tally: Tally) -> list[str]:
    """What is missing for no known reason, each once for all its cases."""
    gathered: dict[object, list[str]] = {}
    for gap in tally.unexplained:
        gathered.setdefault(gap.places, []).append(str(gap))
    return [
        some[0] + (f" and {len(some) - 1} more" if some[1:] else "") for some in gathered.values()
    ]
