"""An evaluation as data and as text."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from onnxprune.errors import plain
from onnxprune.evaluation import Accuracy, Evaluation, Fidelity, Share

__all__ = [
    "AccuracyReport",
    "EvaluationReport",
    "FidelityReport",
    "ShareReport",
    "evaluation_report",
    "evaluation_text",
    "fidelity_report",
]


class ShareReport(msgspec.Struct, frozen=True):
    """So many of so many, and between what the share lies at 95 % (Wilson)."""

    count: int
    total: int
    share: float
    low: float
    high: float


class AccuracyReport(msgspec.Struct, frozen=True):
    """Against labels; see `onnxprune.evaluation.Accuracy`."""

    top1: ShareReport
    top5: ShareReport | None


class FidelityReport(msgspec.Struct, frozen=True):
    """Against the original; see `onnxprune.evaluation.Fidelity`. An infinite number is null."""

    against: str
    agreement: float | None
    agreeing: int | None
    positions: int | None
    cosine: float | None
    kl: float | None
    relative_l2: float | None
    worst_relative_l2: float | None
    not_finite: int


class EvaluationReport(msgspec.Struct, frozen=True):
    """How well a model answers.

    Attributes:
        model: The model file.
        samples: How many samples were run, and `data` what they are.
        output: The output that was looked at.
        compared: What of it was compared, as a sentence.
        not_finite: Samples for which the model's answer holds NaN or an infinity.
        accuracy: Against labels, None without.
        fidelity: Against the original, None without.
    """

    model: str
    samples: int
    data: str
    output: str
    compared: str
    not_finite: int
    accuracy: AccuracyReport | None
    fidelity: FidelityReport | None
    schema: str = "onnxprune.evaluate/1"


def evaluation_report(
    model: Path, found: Evaluation, against: Path | None = None
) -> EvaluationReport:
    """An evaluation as data.

    Args:
        model: The model that was evaluated.
        found: What was found.
        against: The original that it was compared with, if any.
    """
    return EvaluationReport(
        model=str(model),
        samples=found.samples,
        data=found.origin,
        output=found.output,
        compared=_compared(found),
        not_finite=found.not_finite,
        accuracy=None if found.accuracy is None else _accuracy(found.accuracy),
        fidelity=None if found.fidelity is None else fidelity_report(found.fidelity, str(against)),
    )


def fidelity_report(fidelity: Fidelity, against: str) -> FidelityReport:
    """A comparison with the original as data.

    Args:
        fidelity: What was found.
        against: The original that it was compared with.
    """
    agreement = fidelity.agreement
    return FidelityReport(
        against=against,
        agreement=None if agreement is None else agreement.value,
        agreeing=None if agreement is None else agreement.count,
        positions=None if agreement is None else agreement.total,
        cosine=fidelity.cosine,
        kl=fidelity.kl,
        relative_l2=fidelity.l2,
        worst_relative_l2=fidelity.worst_l2,
        not_finite=fidelity.not_finite,
    )


def evaluation_text(report: EvaluationReport) -> str:
    """How well a model answers, for a terminal."""
    lines = [
        f"model        {report.model}",
        f"data         {report.data}",
        f"compared     {report.compared}",
    ]
    if report.accuracy is not None:
        lines.append(f"top-1        {_share_text(report.accuracy.top1)}")
        if report.accuracy.top5 is not None:
            lines.append(f"top-5        {_share_text(report.accuracy.top5)}")
    if report.fidelity is not None:
        lines += _fidelity_lines(report.fidelity)
    if report.not_finite:
        lines.append(
            f"not finite   the model's answers to {report.not_finite:,} of {report.samples:,} "
            f"samples hold NaN or infinities; they count as wrong, and in no mean"
        )
    return "\n".join(map(plain, lines))


def _fidelity_lines(fidelity: FidelityReport) -> list[str]:
    lines = [f"against      {fidelity.against}"]
    if fidelity.agreement is not None:
        lines.append(
            f"agreement    {fidelity.agreement:.2%}  {fidelity.agreeing:,} of "
            f"{fidelity.positions:,} arg max"
        )
    if fidelity.cosine is None:
        lines.append("             no sample is finite in both models; there are no means")
    else:
        lines.append(f"cosine       {fidelity.cosine:.6f}  mean")
        if fidelity.kl is not None:
            lines.append(f"KL           {fidelity.kl:.3g} nats, mean of KL(original || model)")
        mean, worst = (
            "infinite" if value is None or math.isinf(value) else f"{value:.3g}"
            for value in (fidelity.relative_l2, fidelity.worst_relative_l2)
        )
        lines.append(f"relative L2  {mean} mean, {worst} worst")
    if fidelity.not_finite:
        lines.append(
            f"not finite   the original's answers to {fidelity.not_finite:,} samples hold NaN or "
            f"infinities; they count as not agreeing, and in no mean"
        )
    return lines


def _compared(found: Evaluation) -> str:
    shape = ", ".join(map(str, found.shape))
    text = f"output '{found.output}', ({shape}) for a sample"
    if found.axis is None:
        return f"{text}, without classes"
    text += f"; {found.shape[found.axis]:,} classes"
    if len(found.shape) > 1:
        text += f" on axis {found.axis + 1} of the output"
    if found.fidelity is not None:
        made = "as they are, probabilities" if found.probabilities else "by softmax"
        text += f", for KL {made}"
    return text


def _accuracy(accuracy: Accuracy) -> AccuracyReport:
    top5 = None if accuracy.top5 is None else _share(accuracy.top5)
    return AccuracyReport(_share(accuracy.top1), top5)


def _share(share: Share) -> ShareReport:
    low, high = share.interval
    return ShareReport(share.count, share.total, share.value, low, high)


def _share_text(share: ShareReport) -> str:
    return (
        f"{share.share:.2%}  {share.count:,} of {share.total:,}, 95 % interval "
        f"{share.low:.2%} to {share.high:.2%}"
    )
