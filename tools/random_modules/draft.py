"""A random module in the making."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from onnxprune.torch.export import Exporter

SIDE = 8
LENGTH = 5
WORDS = 11
WIDTHS = (4, 6, 8, 12)
MOST = 24
"""Channels."""


class RandomModule(nn.Module):
    """Pieces in a row.

    Args:
        pieces: The pieces; a piece may be there more than once.
        sources: What each takes: the numbers of earlier tensors, of which the input is the first.
    """

    def __init__(self, pieces: Sequence[nn.Module], sources: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.pieces = nn.ModuleList(pieces)
        self.sources = tuple(sources)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the heads."""
        tensors = [x]
        for piece, sources in zip(self.pieces, self.sources, strict=True):
            made = piece(*(tensors[i] for i in sources))
            tensors += [made] if isinstance(made, Tensor) else made
        return tensors[-1]

    def extra_repr(self) -> str:
        """What each piece takes."""
        return ", ".join(map(str, self.sources))


class Lambda(nn.Module):
    """A function of tensors.

    Args:
        name: What it is called where the module is printed.
        function: The function.
    """

    def __init__(self, name: str, function: Callable[..., Tensor | Sequence[Tensor]]) -> None:
        super().__init__()
        self.name = name
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor | Sequence[Tensor]:
        """What the function makes of them."""
        return self.function(*tensors)

    def extra_repr(self) -> str:
        """Its name."""
        return self.name


class Draft:
    """A module in the making.

    Args:
        seed: Decides everything.
        exporter: Which exporter must be able to write it.
    """

    def __init__(self, seed: int, exporter: Exporter) -> None:
        self.random = random.Random(seed)
        self.exporter = exporter
        self.pieces: list[nn.Module] = []
        self.sources: list[tuple[int, ...]] = []
        self.tensors: list[Tensor] = []
        self.taken: set[int] = set()
        self.axis = 1

    def maybe(self, chance: float = 0.5) -> bool:
        """Yes or no."""
        return self.random.random() < chance

    def divisor(self, *numbers: int, least: int = 1) -> int:
        """A common divisor; 1 if none is as large as the least."""
        common = [d for d in range(least, MOST) if all(n % d == 0 for n in numbers)]
        return self.random.choice(common or [1])

    def width(self) -> int:
        """A number of channels."""
        return self.random.choice(WIDTHS)

    def channels(self, i: int) -> int:
        """Those of a tensor."""
        return self.tensors[i].shape[self.axis]

    def side(self, i: int) -> int:
        """The side of an image."""
        return self.tensors[i].shape[-1]

    def pick(self, like: int | None = None, rest: int | None = None) -> int:
        """One of the latest tensors of several channels: of the shape of one, or but for channels.

        Args:
            like: A tensor whose shape it must have.
            rest: A tensor whose shape it must have, but for the channels.
        """

        def fits(i: int) -> bool:
            if like is not None:
                return self.tensors[i].shape == self.tensors[like].shape
            return rest is None or self.sizes(i) == self.sizes(rest)

        several = [i for i in range(1, len(self.tensors)) if self.channels(i) > 1]
        known = [i for i in several[-7:] if fits(i)]
        if not known:
            known = [next(i for i in (like, rest) if i is not None)]
        loose = [i for i in known if i not in self.taken]
        return self.random.choice(loose if loose and self.maybe(0.6) else known)

    def sizes(self, i: int) -> list[int]:
        """The shape without channels."""
        shape = list(self.tensors[i].shape)
        del shape[self.axis]
        return shape

    def add(self, piece: nn.Module, *sources: int) -> int:
        """Let a piece take tensors; the number of the first that it makes."""
        piece.eval()
        with torch.no_grad():
            made = piece(*(self.tensors[i] for i in sources))
        self.pieces.append(piece)
        self.sources.append(sources)
        self.taken |= {*sources}
        first = len(self.tensors)
        self.tensors += [made] if isinstance(made, Tensor) else made
        return first

    def call(self, name: str, function: Callable[..., Tensor | Sequence[Tensor]], *on: int) -> int:
        """Let a function take tensors."""
        return self.add(Lambda(name, function), *on)

    def build(self) -> RandomModule:
        """The module, once the heads are there."""
        return RandomModule(self.pieces, self.sources)


Recipe = Callable[[Draft], object]
