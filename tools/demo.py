"""Prune a trained network on real images, and show what came of it: ``make demo``.

The network classifies Fashion-MNIST (models/fashion.md). The inner convolutions of its later
stages are pruned by the size of their weights alone: no training, no data, nothing recovered
afterwards. The accuracy is measured on the 1,000 official test images that come with it.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

import onnxprune as op

MODELS = Path(os.path.relpath(Path(__file__).parent.parent / "models"))
PROTECTED = ["stem.*", "stages.0.*", "*.conv2"]  # the residual streams and the first stage


def main() -> None:
    """Prune, verify, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--ratio", type=float, default=0.75, help="of every unit's channels")
    parser.add_argument("--round-to", type=int, default=8, help="keep multiples of this")
    parser.add_argument("--protect", nargs="*", default=PROTECTED, help="what stays whole")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder to write to")
    options = parser.parse_args()

    source, target = MODELS / "fashion.onnx", options.out / "fashion-pruned.onnx"
    options.out.mkdir(parents=True, exist_ok=True)
    with np.load(MODELS / "fashion_test.npz") as data:
        images = (data["images"].reshape(-1, 1, 28, 28) / 255).astype(np.float32)
        labels = data["labels"]
    feeds = {"image": images[:64]}

    print(f"pruning {source.name} to {options.ratio:g} of every unit but {options.protect} ...")
    start = time.perf_counter()
    units = op.find_units(source)
    choices = op.choose(
        units, op.ratio(options.ratio), protect=options.protect, round_to=options.round_to
    )
    op.save(op.prune(units, choices), target, force=True)
    seconds = time.perf_counter() - start
    (options.out / "choices.json").write_text(choices.to_json())
    verdict = op.verify(units, target, choices, feeds)
    exact = op.verify(units, target, choices, feeds, reference="torch")
    for result in (verdict, exact):
        result.check()

    before, after = op.cost(units.graph), op.cost(op.load(target))
    old, new = op.bench([source, target], feeds, runs=100, threads=1)
    rows = [
        ("parameters", f"{before.params:,}", f"{after.params:,}"),
        ("bytes", f"{source.stat().st_size:,}", f"{target.stat().st_size:,}"),
        ("MACs, one image", f"{before.macs:,}", f"{after.macs:,}"),
        ("latency, 64 images, 1 thread", f"{old.median:.2f} ms", f"{new.median:.2f} ms"),
        (
            "accuracy, 1,000 images",
            *(f"{_accuracy(p, images, labels):.1%}" for p in (source, target)),
        ),
    ]
    print(f"\n{'':30}{'before':>14}{'after':>14}")
    for name, *cells in rows:
        print(f"{name:30}{cells[0]:>14}{cells[1]:>14}")
    print(
        f"\n{len(units.mutable)} units, {units.prunable_share():.3%} of the parameters prunable; "
        f"found, chosen, pruned and saved in {seconds:.2f} s"
        f"\nparity with the original without the removed channels, on real images "
        f"({verdict.tolerance}):"
        f"\n  in onnxruntime, removed slices zero    largest difference {verdict.max_error:.2g}"
        f"\n  in torch, removed slices missing       largest difference {exact.max_error:.2g}"
        f"\n\noriginal  {source}\npruned    {target}\nchoices   {options.out / 'choices.json'}"
    )


def _accuracy(model: Path, images: np.ndarray, labels: np.ndarray) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images})
    return float((logits.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    main()
