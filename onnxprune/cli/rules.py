"""``onnxprune rules``."""

from __future__ import annotations

import click

from onnxprune.cli.shared import emit, format_option


@click.command("rules")
@format_option
def command(form: str) -> None:
    """List the operators that are understood; what stands beside any other stays whole."""
    from onnxprune.ops import MACS, RULES

    def text(rows: list[dict[str, object]]) -> str:
        families: dict[str, list[str]] = {}
        for row in rows:
            families.setdefault(str(row["family"]), []).append(str(row["operator"]))
        return "\n".join(f"{family:14} {', '.join(names)}" for family, names in families.items())

    rows: list[dict[str, object]] = [
        {
            "operator": name,
            "family": RULES.get(name).__module__.rpartition(".")[2],
            "macs": MACS.find(name) is not None,
        }
        for name in RULES
    ]
    emit(form, sorted(rows, key=lambda row: (str(row["family"]), str(row["operator"]))), text)
