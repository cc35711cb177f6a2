"""What was found out when all references of a pruned model were compared with each other."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from onnxprune.verification.compare import ABSOLUTE, RELATIVE

__all__ = ["ChoiceParity", "Comparison", "Failure", "ParityReport"]


class Comparison(msgspec.Struct, frozen=True):
    """One answer beside the reference.

    Attributes:
        error: The largest |answer - reference|, None if there is no answer.
        excess: The largest |answer - reference| / tolerance, in float32.
        agrees: Whether it is within tolerance, None where this answer need not be.
        note: What decided: rounding, or why it need not agree, or why there is no answer.
    """

    error: float | None
    excess: float | None
    agrees: bool | None
    note: str = ""


class Failure(msgspec.Struct, frozen=True):
    """Where answers part.

    Attributes:
        units: The smallest set of units found that still fails, with what it keeps of them.
        tensor: The first tensor that differs, None where it was not found.
        node: The node that computes it.
        reason: How it differs.
    """

    units: dict[str, list[int]]
    tensor: str | None
    node: str | None
    reason: str

    def __str__(self) -> str:
        where = f"first at {self.node}, tensor '{self.tensor}'" if self.node else "nowhere inside"
        return f"{where} ({self.reason}); with {', '.join(self.units)} alone it fails as well"


class ChoiceParity(msgspec.Struct, frozen=True):
    """All answers to one choice, beside those of the interpreted graph.

    Attributes:
        name: What was chosen.
        kept: How many channels of all mutable units.
        channels: Out of how many.
        effect: The largest difference that the choice makes to any output element; where it is no
            more than rounding, agreement shows nothing.
        answers: ``dynamic`` (torch, dynamic operators), ``masked`` (onnxruntime, removed slices
            zero), ``pruned`` (onnxruntime, the smaller model) -> how it compares.
        failure: Where it fails, None where it does not.
    """

    name: str
    kept: int
    channels: int
    effect: float
    answers: dict[str, Comparison]
    failure: Failure | None = None

    @property
    def passed(self) -> bool:
        """Whether all answers agree."""
        return self.failure is None and all(a.agrees is not False for a in self.answers.values())


class ParityReport(msgspec.Struct, frozen=True):
    """All choices of one exported module.

    Attributes:
        model: The module.
        exporter: Which of torch's exporters wrote the graph.
        units: The number of units that may lose channels.
        masked: The units whose removed channels stay in place as zeros in torch, because the
            module computes with fixed sizes.
        choices: What was compared.
    """

    model: str
    exporter: str
    units: int
    masked: list[str]
    choices: list[ChoiceParity]
    schema: str = "onnxprune.parity/1"

    @property
    def passed(self) -> bool:
        """Whether every choice passed."""
        return all(choice.passed for choice in self.choices)

    def worst(self, answer: str) -> float | None:
        """The largest error of an answer over all choices, None where it need not agree."""
        found = [c.answers[answer] for c in self.choices if answer in c.answers]
        judged = [a.error for a in found if a.agrees is not None and a.error is not None]
        return max(judged, default=None)

    def __str__(self) -> str:
        names = list(dict.fromkeys(name for choice in self.choices for name in choice.answers))
        width = max(len("choice"), *(len(choice.name) for choice in self.choices))
        lines = [
            f"{self.model}, exported by {self.exporter}: {self.units} units; largest difference "
            f"from the interpreted graph without the removed channels; effect: "
            f"what the choice changes",
            f"{'choice':{width}} {'channels':>15} {'effect':>8} "
            + " ".join(f"{name:>12}" for name in names),
        ]
        notes: list[str] = []
        for choice in self.choices:
            cells = [_cell(choice.answers.get(name)) for name in names]
            kept = f"{choice.kept:,} of {choice.channels:,}"
            lines.append(
                f"{choice.name:{width}} {kept:>15} {choice.effect:8.1e} "
                + " ".join(f"{c:>12}" for c in cells)
            )
            if choice.failure is not None:
                lines.append(f"{'':{width}} {choice.failure}")
            notes += [f"{n}: {a.note}" for n, a in choice.answers.items() if a.note]
        if self.masked:
            lines.append(f"in place as zeros in torch: {', '.join(self.masked)}")
        lines += _counted(notes)
        tolerance = f"|difference| <= {ABSOLUTE:g} + {RELATIVE:g} * |reference|"
        lines.append(f"{'agreed' if self.passed else 'FAILED'}: {tolerance}")
        return "\n".join(lines)


def _cell(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    if comparison.error is None:
        return "no answer"
    mark = {True: "", False: " !", None: " *"}[comparison.agrees]
    return f"{comparison.error:.1e}{mark}"


def _counted(notes: Sequence[str]) -> list[str]:
    """Each note once, with how often it was made."""
    return [
        f"note: {note}" + (f" ({notes.count(note)} times)" if notes.count(note) > 1 else "")
        for note in dict.fromkeys(notes)
    ]
