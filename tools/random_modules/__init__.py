"""Random small torch modules: a pure function of a seed, made of what people build networks of.

A module is a list of pieces; each takes some of the tensors before it and adds its own. Images are
(N, channels, side, side) throughout, sequences (N, length, channels). All that nothing else takes
ends in the heads, so that every piece is seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models import randomise
from onnxprune.torch.export import Exporter
from tools.random_modules.draft import LENGTH, SIDE, WORDS, Draft, RandomModule, Recipe
from tools.random_modules.either import (
    bare,
    block,
    gated,
    pad,
    pixels,
    repeat,
    resize,
    shared,
    softmax,
)
from tools.random_modules.images import (
    activation,
    binary,
    concat,
    conv,
    conv_to,
    depthwise,
    fold,
    gate,
    linear,
    norm,
    normal_conv,
    shuffle,
    slices,
    split,
    squeeze,
    transposed,
)
from tools.random_modules.sequences import (
    attention,
    dense,
    encoder,
    feed_forward,
    pixel_attention,
    pooled,
    sequence_activation,
    sequence_bare,
    sequence_conv,
    sequence_norm,
)

__all__ = ["RandomModule", "exporter_of", "random_module"]


IMAGES: tuple[Recipe, ...] = (
    *(conv, conv, normal_conv, depthwise, transposed, linear, norm, norm, activation, binary),
    *(binary, concat, split, slices, shuffle, fold, squeeze, gate, bare, shared, softmax, pixels),
    *(resize, gated, pad, repeat, block, pixel_attention),
)

SEQUENCES: tuple[Recipe, ...] = (
    *(dense, dense, feed_forward, sequence_norm, sequence_norm, sequence_conv, binary, binary),
    *(sequence_activation, concat, split, slices, sequence_bare, pooled, shared, softmax, gated),
    *(pad, repeat, attention, attention, encoder),
)


class Head(nn.Module):
    """A linear layer over all that an image or a sequence is, or over its mean.

    Args:
        size: The number of entries, or of channels.
        spatial: The axes of the mean; none: all entries count.
    """

    def __init__(self, size: int, spatial: Sequence[int]) -> None:
        super().__init__()
        self.spatial = spatial
        self.linear = nn.Linear(size, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 5)."""
        flat = x.mean(self.spatial) if self.spatial else torch.flatten(x, 1)
        y: Tensor = self.linear(flat)
        return y


class Words(nn.Module):
    """The scores of words, with the weight of their embedding."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding.embedding_dim, WORDS)
        self.linear.weight = embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        """(N, 5), from those of the first words."""
        y: Tensor = self.linear(x.mean(1))
        return y[:, :5]


def heads(draft: Draft, embedding: nn.Embedding | None) -> None:
    """Heads for all that is left, and their sum."""
    made = []
    for x in sorted({*range(1, len(draft.tensors))} - draft.taken):
        entries, size = draft.tensors[x][0].numel(), draft.channels(x)
        if embedding is not None and embedding.embedding_dim == size and draft.maybe(0.4):
            made.append(draft.add(Words(embedding), x))
        elif entries <= 200 and draft.maybe(0.6):
            made.append(draft.add(Head(entries, ()), x))
        else:
            made.append(draft.add(Head(size, (2, 3) if draft.axis == 1 else (1,)), x))
    draft.call("sum", lambda *given: sum(given[1:], given[0]), *made)


def exporter_of(seed: int) -> Exporter:
    """The exporter of a seed's module: they take turns."""
    return "legacy" if seed % 2 else "dynamo"


def random_module(seed: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A random module and an example of its input.

    Args:
        seed: Decides everything.

    Returns:
        The module, in eval mode with random parameters, for `exporter_of(seed)`; the example.
    """
    draft = Draft(seed, exporter_of(seed))
    generator = torch.Generator().manual_seed(seed)
    embedding: nn.Embedding | None = None
    with torch.random.fork_rng(devices=[]):
        recipes = IMAGES
        if draft.maybe(0.35):
            recipes, draft.axis = SEQUENCES, 2
            embedding = nn.Embedding(WORDS, draft.width())
            draft.tensors.append(torch.randint(WORDS, (2, LENGTH), generator=generator))
            draft.add(embedding, 0)
        else:
            draft.tensors.append(torch.randn(2, 3, SIDE, SIDE, generator=generator))
            conv_to(draft, 0, draft.width())
        for _ in range(draft.random.randint(4, 12)):
            draft.random.choice(recipes)(draft)
        heads(draft, embedding)
        example = (draft.tensors[0],)
        module = randomise(draft.build(), seed, example)
    return module, example
