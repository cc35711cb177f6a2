"""``onnxprune finetune``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click
import msgspec

from onnxprune.cli.calibration import DataOptions, data_options
from onnxprune.cli.shared import bar, emit, format_option, progress
from onnxprune.errors import MissingExtra, plain


class FinetuneReport(msgspec.Struct, frozen=True):
    """What training did.

    Attributes:
        data: What it was trained with.
        trained: The number of initializers that were trained.
        frozen: Of those that stay as they are.
        before: The loss over all data before training, as `onnxprune.torch.finetune` tells it.
        after: The same afterwards.
        files: What was written.
    """

    data: str
    trained: int
    frozen: int
    before: float
    after: float
    files: list[str]


@click.command("finetune")
@click.argument("pruned", metavar="PRUNED", type=click.Path(path_type=Path))
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    required=True,
    metavar="ORIGINAL",
    help="What it was pruned from.",
)
@data_options("--data", required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The result.")
@click.option("--epochs", default=10, show_default=True, help="How often to go through the data.")
@click.option("--lr", default=1e-3, show_default=True, help="The learning rate at the start.")
@click.option(
    "--freeze",
    multiple=True,
    metavar="PATTERN",
    help="Keep initializers as they are, by name; repeatable.",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@format_option
def command(
    pruned: Path,
    teacher: Path,
    data: DataOptions,
    output: Path,
    epochs: int,
    lr: float,
    freeze: tuple[str, ...],
    force: bool,
    form: str,
) -> None:
    """Train PRUNED to answer as the original does, on data without labels.

    Needs the torch extra. --seed is also that of the order of samples.
    """
    with progress(f"reading {pruned}"):
        from onnxprune.graph import check_target, load, save

        check_target(output, force)
        finetune = _wing().finetune
        small, whole = load(pruned), load(teacher)
        dataset = data.dataset(whole)
    with bar(f"training {output}") as show:
        found = finetune(
            *(small, whole, dataset),
            epochs=epochs,
            lr=lr,
            freeze=freeze,
            seed=data.seed,
            observe=lambda step, steps, loss: show(
                completed=step, total=steps, more=f", loss {loss:.3g}"
            ),
        )
    files = save(found.graph, output, force=force)
    report = FinetuneReport(
        data=dataset.origin,
        trained=len(found.trained),
        frozen=len(found.frozen),
        before=found.before,
        after=found.after,
        files=[str(file) for file in files],
    )
    emit(form, report, _text)


def _wing() -> Any:
    """The module of the torch wing, which is imported by name: nothing else depends on it."""
    try:
        return importlib.import_module("onnxprune.torch.finetune")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra(
            "Torch is not installed; add it: pip install 'onnxprune[torch]'."
        ) from None


def _text(report: FinetuneReport) -> str:
    lines = {
        "data": report.data,
        "trained": f"{report.trained} tensors; {report.frozen} stay as they are",
        "loss": f"{report.before:.3g} -> {report.after:.3g}",
        "written": ", ".join(report.files),
    }
    return "\n".join(plain(f"{name:<11} {value}") for name, value in lines.items())
