"""Prune a trained network, fit what is left of it, and show what came of it: ``make demo``.

The network classifies Fashion-MNIST (models/fashion.md). 512 training images without labels tell
which channels matter, in its residual streams too; then the weights that stay are fitted, node by
node, to what the original computes with these images. Nothing is trained. The accuracy is measured
on the 1,000 official test images that come with it.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

import onnxprune as op

MODELS = Path(os.path.relpath(Path(__file__).parent.parent / "models"))


def main() -> None:
    """Prune, refit, verify, measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--macs", type=float, default=0.3, help="the fraction that stays")
    parser.add_argument("--round-to", type=int, default=8, help="keep multiples of this")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder to write to")
    options = parser.parse_args()

    source = MODELS / "fashion.onnx"
    pruned, refitted = options.out / "fashion-pruned.onnx", options.out / "fashion-refitted.onnx"
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"pruning {source.name} to {options.macs:g} of its MACs, residual streams and all ...")
    start = time.perf_counter()
    units = op.find_units(source)
    data = op.read_dataset(MODELS / "fashion_calibration.npz", units.graph)
    choices = op.choose(units, op.macs(options.macs), data=data, round_to=options.round_to)
    op.save(op.prune(units, choices), pruned, force=True)
    chosen = time.perf_counter()
    fit = op.refit_weights(units, pruned, data)
    op.save(fit.graph, refitted, force=True)
    done = time.perf_counter()
    (options.out / "choices.json").write_text(choices.to_json())

    files = (source, pruned, refitted)
    _show_table(files)
    print(
        f"\n{len(units.mutable)} units, {units.prunable_share():.3%} of the parameters prunable; "
        f"measured, chosen, pruned and saved in {chosen - start:.1f} s"
        f"\nweights of {len(fit.fitted)} nodes fitted to {data.origin}, "
        f"in {done - chosen:.1f} s; {len(fit.left)} stay as sliced"
    )
    _show_parity(units, choices, files[1:])
    print(f"\noriginal  {source}\npruned    {pruned}\nrefitted  {refitted}")
    print(f"choices   {options.out / 'choices.json'}")


def _show_table(files: tuple[Path, ...]) -> None:
    """What the models cost, and how often they are right."""
    tests = op.read_dataset(MODELS / "fashion_test.npz", op.load(files[0]))
    labels = op.read_labels("labels", tests)
    costs = [op.cost(op.load(file)) for file in files]
    times = op.bench(list(files), _images(), runs=50, threads=1)
    accuracy = [op.evaluate(file, tests, labels).accuracy for file in files]
    rows = {
        "parameters": [f"{cost.params:,}" for cost in costs],
        "bytes": [f"{file.stat().st_size:,}" for file in files],
        "MACs, one image": [f"{cost.macs:,}" for cost in costs],
        "latency, 64 images, 1 thread": [f"{found.median:.2f} ms" for found in times],
        f"accuracy, {tests.samples:,} images": [f"{a.top1.value:.1%}" for a in accuracy if a],
    }
    print(f"\n{'':29}{'original':>12}{'pruned':>12}{'refitted':>12}")
    for name, cells in rows.items():
        print(f"{name:29}" + "".join(f"{cell:>12}" for cell in cells))


def _show_parity(units: op.Units, choices: op.Choices, files: tuple[Path, ...]) -> None:
    """How far both models are from two references that know nothing of how they were made."""
    print("\nparity with the original without the removed channels, on real images;")
    print("of the refitted model, with its weights in the original's places:")
    for reference, said in (
        ("zero-masking", "in onnxruntime, removed slices zero"),
        ("torch", "in torch, removed slices missing"),
    ):
        verdicts = [op.verify(units, file, choices, _images(), reference) for file in files]
        for verdict in verdicts:
            verdict.check()
        errors = " and ".join(f"{verdict.max_error:.2g}" for verdict in verdicts)
        print(f"  {said:37}  largest difference {errors}")
    print(f"  allowed is {verdicts[0].tolerance}")


def _images() -> dict[str, np.ndarray]:
    """64 test images, as the model takes them."""
    with np.load(MODELS / "fashion_test.npz") as data:
        return {"image": (data["images"][:64].reshape(-1, 1, 28, 28) / 255).astype(np.float32)}


if __name__ == "__main__":
    main()
