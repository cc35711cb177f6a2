"""English sentences that are on every machine with Python: those of its language reference."""

from __future__ import annotations

import random
import re
from pydoc_data.topics import topics

__all__ = ["sentences", "two_sets"]

_MARKUP = re.compile(r"[*\"`]")
_SENTENCE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()-]+[.?!]")
_END = re.compile(r"(?<=[.?!])\s+")
SHORTEST, LONGEST = 6, 30
"""Words of a sentence."""


def sentences() -> list[str]:
    """The sentences of the reference that are plain words, each once, sorted by topic."""
    found: dict[str, None] = {}
    for _, text in sorted(topics.items()):
        for paragraph in text.split("\n\n"):
            for part in _END.split(_MARKUP.sub("", " ".join(paragraph.split()))):
                if _SENTENCE.fullmatch(part) and SHORTEST <= len(part.split()) <= LONGEST:
                    found[part] = None
    return list(found)


def two_sets(first: int, second: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Two sets of sentences, none of them in both, drawn at random."""
    drawn = random.Random(seed).sample(sentences(), first + second)
    return drawn[:first], drawn[first:]
