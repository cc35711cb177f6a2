"""How weights are to be fitted."""

from __future__ import annotations

from dataclasses import dataclass

from onnxprune.errors import OnnxPruneError

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """How weights are fitted.

    Attributes:
        method: ``sequential`` (least squares from what the smaller model computes, as far as it
            is fitted), ``one-shot`` (from what the original computes, sliced), ``channel``,
            ``mean`` or ``affine``; see `onnxprune.refit.methods`.
        ridge: How firmly the sliced weight is kept to, as a part of the inputs' mean variance. None
            is 0.001, and more where rows are few: 0.4 (columns / rows)^1.5.
        positions: At most how many rows of a sample are looked at, picked at random.
        seed: What picks them.
        memory: Bytes of activations that may lie in memory; what is beyond goes to disk.
        sums: Whether what goes into a residual sum makes up for the error of the other addend.
        columns: Of weights of more columns no products are summed up, whose memory is their square,
            but rows kept, as many as fit into half a gigabyte.
    """

    method: str = "sequential"
    ridge: float | None = None
    positions: int = 32
    seed: int = 0
    memory: int = 1 << 30
    sums: bool = True
    columns: int = 8192

    def __post_init__(self) -> None:
        fits = self.ridge is None or self.ridge >= 0
        if not fits or self.positions < 1 or self.seed < 0 or self.columns < 1:
            raise OnnxPruneError(
                f"A refit needs a ridge and a seed of at least 0 and positions and columns of at "
                f"least 1, not {self.ridge}, {self.seed}, {self.positions} and {self.columns}."
            )
