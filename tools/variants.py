"""Prune what deployment tools make of models, and write docs/variants.md: ``make variants``.

A variant is a model of the zoo, or of transformers, after a tool has changed it. Each is pruned at
half of every unit and at random choices, and every result is verified. The exit code is 1 if any
result is wrong, or if nothing of a variant can be pruned; what a tool refuses is told.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.optimizer import optimize_model

from models import ZOO, export
from models.transformers import ARCHITECTURES
from models.transformers import export as export_transformer
from onnxprune.graph import load
from onnxprune.runtime.feeds import Feeds, find_feeds
from onnxprune.runtime.session import RuntimeRefusal, open_session
from tools.sweep import Row, examine, print_table

INTRODUCTION = """# Variants

Written by `make variants`. What deployment tools make of models of `models/`, their parameters
random: quantised by `onnxruntime.quantization` (static with QuantizeLinear and DequantizeLinear or
with operators on integers, per tensor and per channel; dynamic; blocks of 4 and 8 bits), halved to
float16, or fused by onnxruntime's optimisers. {variants} variants, {choices} pruned models, each
loaded in onnxruntime without a warning and compared with the variant without the removed channels;
wrong: {failed}; what a tool refuses to make or to run: {refused}.

Where zero is missing, integers agree to the last bit. Elsewhere a sum in another order may round a
number to the next step of 8 bits, and the answers are then a step apart; float64 decides, at the
tolerance of |difference| <= 1e-5 + 1e-4 * |reference|, and the note says so.

torch {torch}, onnxruntime {onnxruntime}, {machine}. The machine was shared: compare latencies
within a row only.
"""

Change = Callable[[Path, Path], None]
"""From the file of a model to that of its variant."""


@dataclass(frozen=True)
class Variant:
    """A way to change models.

    Attributes:
        change: Makes the changed file.
        models: What it is tried on.
    """

    change: Change
    models: tuple[str, ...]


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """The inputs that verification would draw, one at a time."""

    def __init__(self, path: Path) -> None:
        graph = load(path)
        self._runs: Iterator[Feeds] = iter(find_feeds(graph, open_session(graph)))

    def get_next(self) -> Feeds | None:
        return next(self._runs, None)


def _prepare(source: Path, target: Path) -> None:
    """What the quantizer asks for: shapes, and batch norms that are folded."""
    quant_pre_process(source, target, skip_symbolic_shape=True)
    try:
        open_session(target)
    except RuntimeRefusal:  # onnxruntime may not load what it has optimised
        quant_pre_process(source, target, skip_optimization=True, skip_symbolic_shape=True)


def _static(
    source: Path,
    target: Path,
    style: QuantFormat,
    per_channel: bool,
    activations: QuantType = QuantType.QUInt8,
    weights: QuantType = QuantType.QInt8,
) -> None:
    """Activations get the scales that they have on a few samples."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        _prepare(source, prepared)
        quantize_static(
            *(prepared, target, _Samples(prepared)),
            quant_format=style,
            per_channel=per_channel,
            activation_type=activations,
            weight_type=weights,
        )


def _dynamic(
    source: Path, target: Path, per_channel: bool, weights: QuantType = QuantType.QInt8
) -> None:
    """Activations get their scales anew in every run."""
    if weights == QuantType.QInt8:  # onnxruntime has no ConvInteger of signed weights
        operators = ["MatMul", "Gemm", "Gather", "Attention", "LSTM"]
        quantize_dynamic(source, target, operators, per_channel=per_channel, weight_type=weights)
        return
    quantize_dynamic(source, target, per_channel=per_channel, weight_type=weights)


def _blocks(source: Path, target: Path, style: QuantFormat, bits: int = 4) -> None:
    """Weights of matrix products in blocks that share a scale."""
    quantizer = MatMulNBitsQuantizer(
        onnx.load(source), bits=bits, block_size=16, is_symmetric=True, quant_format=style
    )
    quantizer.process()
    onnx.save(quantizer.model.model, target)


def _halved(source: Path, target: Path, keep_io_types: bool) -> None:
    """Everything in float16, the inputs and outputs too unless they are to be kept."""
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=keep_io_types), target)


def _optimized(source: Path, target: Path, level: str, without: Sequence[str] = ()) -> None:
    """What onnxruntime itself runs, once its optimizers are done."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(
        source, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without)
    )


def _fused(source: Path, target: Path) -> None:
    """Whole layers of transformers become one operator each."""
    kind = next((kind for kind in ("gpt2", "vit") if source.stem.startswith(kind)), "bert")
    fused = optimize_model(str(source), model_type=kind)
    onnxruntime.InferenceSession(fused.model.SerializeToString())  # not all that it makes will load
    fused.save_model_to_file(str(target))


IMAGES = ("resnet18", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2", "unet", "efficientnet_b0")
MORE_IMAGES = ("mobilenet_v3_small", "convnext_atto", "cbam_resnet18", "yolov8n", "centernet")
TEXT = ("bert", "vit", "gpt2")
_QDQ, _OPERATORS = QuantFormat.QDQ, QuantFormat.QOperator

FAMILIES: dict[str, dict[str, Variant]] = {
    "quantized": {
        "qdq": Variant(partial(_static, style=_QDQ, per_channel=False), IMAGES + TEXT),
        "qdq-channel": Variant(partial(_static, style=_QDQ, per_channel=True), IMAGES + TEXT),
        "qdq-unsigned": Variant(
            partial(_static, style=_QDQ, per_channel=False, weights=QuantType.QUInt8), IMAGES
        ),
        "operators": Variant(partial(_static, style=_OPERATORS, per_channel=False), IMAGES + TEXT),
        "operators-channel": Variant(
            partial(_static, style=_OPERATORS, per_channel=True), IMAGES + TEXT
        ),
        "dynamic": Variant(
            partial(_dynamic, per_channel=False, weights=QuantType.QUInt8), IMAGES + TEXT
        ),
        "dynamic-channel": Variant(partial(_dynamic, per_channel=True), TEXT),
        "blocks": Variant(partial(_blocks, style=_OPERATORS), TEXT),
        "blocks-8": Variant(partial(_blocks, style=_OPERATORS, bits=8), TEXT),
        "blocks-qdq": Variant(partial(_blocks, style=_QDQ), TEXT),
        "float16": Variant(partial(_halved, keep_io_types=False), ("resnet18", "bert")),
        "float16-inside": Variant(partial(_halved, keep_io_types=True), ("resnet18", "bert")),
    },
    "optimized": {
        "extended": Variant(
            partial(_optimized, level="ORT_ENABLE_EXTENDED"), IMAGES + MORE_IMAGES + TEXT
        ),
        "all": Variant(  # but for what lays out channels in blocks
            partial(_optimized, level="ORT_ENABLE_ALL", without=["NchwcTransformer"]),
            IMAGES + MORE_IMAGES + TEXT,
        ),
        "transformers": Variant(_fused, TEXT),
    },
}
"""Family -> variant -> how it is made and of which models."""


def exported(name: str, folder: Path) -> Path:
    """The file of a model, which is exported unless it is there.

    Args:
        name: Its name in the zoo, or among the transformers.
        folder: Where it is or shall be.
    """
    path = folder / f"{name}.onnx"
    if path.exists():
        return path
    if name in ZOO:
        entry = ZOO[name]
        size = {"opset": entry.opset, "outputs": entry.outputs}
        return export(entry.randomised(), entry.example(), path, **size)  # type: ignore[arg-type]
    return export_transformer(ARCHITECTURES[name], path)


def examined(name: str, kind: str, variant: Variant, folder: Path, samples: int) -> Row:
    """Make one variant of one model, prune it and check it."""
    source, target = exported(name, folder), folder / f"{name}.{kind}.onnx"
    try:
        if not target.exists():
            variant.change(source, target)
    except Exception as error:  # what a tool refuses is not ours
        return Row(f"{name}, {kind}", note=f"the tool refuses it: {error!r}"[:200], failed=True)
    row = examine(target, f"{name}, {kind}", samples=samples)
    row.failed |= not row.choices
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine the variants of a family and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.variants", description=__doc__)
    parser.add_argument("page", type=Path, metavar="PAGE.md")
    parser.add_argument("--family", choices=FAMILIES, action="append", help="default: all")
    parser.add_argument("--only", action="append", metavar="NAME", help="a model or a variant")
    parser.add_argument("--samples", type=int, default=3, help="random choices of each variant")
    parser.add_argument("--models", type=Path, help="where the files are kept (default: nowhere)")
    options = parser.parse_args(arguments)
    only, pages = set(options.only or ()), {}
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        folder = options.models or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for family in options.family or FAMILIES:
            rows = pages.setdefault(family, [])
            for kind, variant in FAMILIES[family].items():
                for name in variant.models:
                    if not only or {name, kind} <= only or (len(only) == 1 and {name, kind} & only):
                        rows.append(examined(name, kind, variant, folder, options.samples))
                        print(rows[-1], flush=True)
    options.page.write_text(_page(pages), encoding="utf-8")
    return int(any(row.failed for rows in pages.values() for row in rows))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the tools log; the quantizer also divides by ranges that are empty."""
    level = logging.root.manager.disable
    onnxruntime.set_default_logger_severity(3)
    try:
        logging.disable(logging.WARNING)
        with np.errstate(all="ignore"):
            yield
    finally:
        logging.disable(level)
        onnxruntime.set_default_logger_severity(2)


def _page(families: Mapping[str, Sequence[Row]]) -> str:
    rows = [row for found in families.values() for row in found]
    text = INTRODUCTION.format(
        variants=len(rows),
        choices=sum(row.choices for row in rows),
        failed=", ".join(row.name for row in rows if row.failed and row.choices) or "none",
        refused=", ".join(row.name for row in rows if not row.choices) or "none",
        torch=torch.__version__,
        onnxruntime=onnxruntime.__version__,
        machine=platform.machine(),
    )
    tables = [
        f"## {family.capitalize()}\n\n{print_table(found)}\n" for family, found in families.items()
    ]
    return "\n".join([text, *tables])


if __name__ == "__main__":
    raise SystemExit(main())
