"""Convert models of other frameworks, prune them and check: writes docs/converted.md.

Each framework is installed into a virtual environment of its own, where a script of
`tools/converters` builds the models with random weights and converts them to ONNX.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import tempfile
import venv
from pathlib import Path

import onnxruntime

from tools.sweep import Row, examine, print_table

CONVERTERS = Path(__file__).parent / "converters"

PACKAGES = {
    "keras": (
        *("tensorflow-cpu==2.21.0", "keras==3.15.1", "tf2onnx==1.17.0", "onnx==1.23.2"),
        *("numpy==2.4.6", "protobuf==7.36.2"),
    ),
    "paddle": (
        *("paddlepaddle==3.3.1", "paddle2onnx==2.1.0", "onnx==1.17.0", "polygraphy==0.53.6"),
        *("onnx_graphsurgeon==0.6.1", "onnxruntime==1.32.0", "sympy==1.14.0"),
        *("packaging==26.3", "numpy==2.4.6", "protobuf==7.36.2"),
    ),
}
"""The packages that convert: the script of a key is ``converters/{key}_models.py``."""

INTRODUCTION = """# Converted models

Written by `python -m tools.converted docs/converted.md`. Models of Keras, converted by tf2onnx
({tf2onnx}) with images channels last (`.nhwc`) and channels first (`.nchw`) and by Keras' own
exporter ({keras}, `.keras`), and models of Paddle ({paddle}), converted by paddle2onnx
({paddle2onnx}) without optimisation (`.11`) and with its default (`.17`). Weights are random, the
statistics of batch norms those of random inputs; batches are dynamic.

Every model was pruned to half of every unit by the size of the weights and at random choices; each
of the {results} results was loaded in onnxruntime without a warning and compared with the original
without the removed channels, within |difference| <= 1e-5 + 1e-4 * |reference|. Models with a
failure: {failed}. The columns are those of [the zoo](zoo.md); notes tell where the reference that
zeroes slices is not exact, and the one in torch decided.

onnxruntime {onnxruntime}, {machine}. The machine was shared: compare latencies within a row only.

"""


def main() -> int:
    """Convert, examine, write the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.converted", description=__doc__)
    parser.add_argument("out", type=Path, metavar="TABLE.md")
    parser.add_argument("--only", choices=PACKAGES, help="one framework")
    parser.add_argument("--samples", type=int, default=10, help="random choices of each model")
    parser.add_argument(
        "--models", type=Path, help="where the models are or shall be (default: not kept)"
    )
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for framework in [options.only] if options.only else PACKAGES:
            models = (options.models or Path(folder)) / framework
            if not models.is_dir():
                convert(framework, models)
            for path in sorted(models.glob("*.onnx")):
                row = examine(path, path.stem, samples=options.samples)
                row.note = row.note.replace(f"{models}{os.sep}", "")
                rows.append(row)
                print(row, flush=True)
    options.out.write_text(f"{introduction(rows)}{print_table(rows)}\n", encoding="utf-8")
    return int(any(row.failed for row in rows))


def convert(framework: str, models: Path) -> None:
    """Install a framework into an environment that is thrown away, and write its models."""
    models.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        print(f"installing {', '.join(PACKAGES[framework])}", flush=True)
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / ("Scripts" if os.name == "nt" else "bin") / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES[framework]], check=True)
        script = CONVERTERS / f"{framework}_models.py"
        subprocess.run([python, script, models], check=True, stdout=subprocess.DEVNULL)


def introduction(rows: list[Row]) -> str:
    """What the table says, and with which versions."""
    versions = dict(package.split("==") for packages in PACKAGES.values() for package in packages)
    return INTRODUCTION.format(
        results=sum(row.choices for row in rows),
        failed=sum(row.failed for row in rows),
        keras=versions["keras"],
        tf2onnx=versions["tf2onnx"],
        paddle=versions["paddlepaddle"],
        paddle2onnx=versions["paddle2onnx"],
        onnxruntime=onnxruntime.__version__,
        machine=platform.machine(),
    )


if __name__ == "__main__":
    raise SystemExit(main())
