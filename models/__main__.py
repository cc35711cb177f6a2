"""Write the zoo as ONNX files: ``python -m models OUT_DIR``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from models import ZOO, export
from models.export import EXPORTERS


def main() -> None:
    """Export the chosen models, one line each."""
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--only", action="append", choices=ZOO, metavar="NAME", help="repeatable")
    parser.add_argument("--exporter", choices=EXPORTERS, default="dynamo")
    batch = parser.add_mutually_exclusive_group()
    batch.add_argument("--static", action="store_false", dest="dynamic", help="batch 1 (default)")
    batch.add_argument("--dynamic", action="store_true", help="leave the batch open")
    parser.add_argument("--seed", type=int, default=0, help="of the random weights")
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only or ZOO:
        entry = ZOO[name]
        start = time.perf_counter()
        path = export(
            entry.randomised(options.seed),
            entry.example(batch=2 if options.dynamic else 1),
            options.out / f"{name}.onnx",
            exporter=options.exporter,
            dynamic=options.dynamic,
            opset=entry.opset,
            outputs=entry.outputs,
        )
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB  {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
