"""``onnxprune evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.calibration import DataOptions, data_options
from onnxprune.cli.shared import bar, emit, format_option, model_argument, progress


@click.command("evaluate")
@model_argument
@data_options("--data", required=True)
@click.option(
    "--labels",
    metavar="LABELS",
    help="An array in the data's .npz file by name, a .npy, .npz or .csv file, or folders (those "
    "that the images are in).",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="ORIGINAL",
    help="A model to compare the answers with.",
)
@click.option("--output", metavar="NAME", help="The output to look at; the first by default.")
@click.option("--axis", type=int, help="The axis of the classes in that output.")
@format_option
def command(
    model: Path,
    data: DataOptions,
    labels: str | None,
    against: Path | None,
    output: str | None,
    axis: int | None,
    form: str,
) -> None:
    """Measure how well MODEL answers.

    With --labels: how often the label is the largest class, or one of the five largest. With
    --against: how near its answers are to those of the ORIGINAL. One of them is needed.
    """
    if labels is None and against is None:
        raise click.UsageError("Give --labels, or --against to compare with the original, or both.")
    with progress(f"reading {model}"):
        from onnxprune.evaluation import evaluate, read_labels
        from onnxprune.graph import load
        from onnxprune.report.evaluation import evaluation_report, evaluation_text

        dataset = data.dataset(load(model))
        known = None if labels is None else read_labels(labels, dataset)
    with bar(f"evaluating {model}", dataset.samples) as show:
        found = evaluate(model, dataset, known, against, output=output, axis=axis, on_batch=show)
    emit(form, evaluation_report(model, found, against), evaluation_text)
