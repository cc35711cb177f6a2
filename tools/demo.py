"""Prune a trained network on real images, and show what came of it: ``make demo``.

The network classifies Fashion-MNIST (models/fashion.md). It is pruned without any training or
data, by the size of its weights, to a part of its multiply-accumulates; the accuracy is measured
on the 1,000 official test images that come with it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import onnxprune as op

MODELS = Path(__file__).parent.parent / "models"


def main() -> None:
    """Prune, verify, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--macs", type=float, default=0.7, help="the fraction of MACs to keep")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder to write to")
    options = parser.parse_args()

    source, target = MODELS / "fashion.onnx", options.out / "fashion-pruned.onnx"
    options.out.mkdir(parents=True, exist_ok=True)
    with np.load(MODELS / "fashion_test.npz") as data:
        images = (data["images"].reshape(-1, 1, 28, 28) / 255).astype(np.float32)
        labels = data["labels"]
    feeds = {"image": images[:64]}

    start = time.perf_counter()
    units = op.find_units(source)
    choices = op.choose(units, op.macs(options.macs))
    op.save(op.prune(units, choices), target, force=True)
    seconds = time.perf_counter() - start
    (options.out / "choices.json").write_text(choices.to_json())
    verdict = op.verify(units, target, choices, feeds)
    exact = op.verify(units, target, choices, feeds, reference="torch")
    for result in (verdict, exact):
        result.check()

    before, after = op.cost(units.graph), op.cost(op.load(target))
    old, new = op.bench([source, target], feeds, runs=50)
    rows = [
        ("parameters", f"{before.params:,}", f"{after.params:,}"),
        ("bytes", f"{source.stat().st_size:,}", f"{target.stat().st_size:,}"),
        ("MACs, one image", f"{before.macs:,}", f"{after.macs:,}"),
        ("latency, 64 images", f"{old.median:.2f} ms", f"{new.median:.2f} ms"),
        (
            "accuracy, 1,000 images",
            *(f"{_accuracy(p, images, labels):.1%}" for p in (source, target)),
        ),
    ]
    print(f"\n{'':24}{'before':>14}{'after':>14}")
    for name, *cells in rows:
        print(f"{name:24}{cells[0]:>14}{cells[1]:>14}")
    print(
        f"\n{len(units.mutable)} units, {units.prunable_share():.2%} of the parameters prunable; "
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
