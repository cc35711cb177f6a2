"""Linear layers, embeddings and PReLU."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from onnxprune.torch.dynamic.cuts import Cut, Take, take, where
from onnxprune.torch.dynamic.op import DynamicOp, Sites, dynamic_op, straight

__all__ = ["DynamicEmbedding", "DynamicLinear", "DynamicPReLU"]


@dynamic_op(nn.Linear)
class DynamicLinear(DynamicOp, nn.Linear):
    """A linear layer over the last axis."""

    input_attr = "in_features"
    output_attr = "out_features"

    def widths(self) -> Mapping[str, int]:
        """The input and the output features."""
        return {"in_features": self.in_features, "out_features": self.out_features}

    def sites(self, grouped: bool) -> Sites:
        """A weight of (outputs, inputs), a bias of (outputs,)."""
        return {
            ("weight", 0): {"out_features": straight(self.out_features)},
            ("weight", 1): {"in_features": straight(self.in_features)},
            ("bias", 0): {"out_features": straight(self.out_features)},
        }

    def input_axes(self) -> Mapping[str, int]:
        """The last axis."""
        return {"in_features": -1}

    def output_axes(self) -> Mapping[str, int]:
        """The last axis."""
        return {"out_features": -1}

    def cut(self) -> Cut:
        """The layer of the features that are left.

        Raises:
            ChoiceError: If there are none.
        """
        kept = {name: self.mask(name) for name in ("in_features", "out_features")}
        rows, columns = where(kept["out_features"]), where(kept["in_features"])
        return Cut(
            kept=kept,
            attributes={"in_features": len(columns), "out_features": len(rows)},
            picks={"weight": {0: rows, 1: columns}, "bias": {0: rows}},
        )


@dynamic_op(nn.Embedding)
class DynamicEmbedding(DynamicOp, nn.Embedding):
    """A table of vectors that may become shorter. Its rows are looked up by number, and stay."""

    input_attr = None
    output_attr = "embedding_dim"

    def widths(self) -> Mapping[str, int]:
        """The length of the vectors."""
        return {"embedding_dim": self.embedding_dim}

    def sites(self, grouped: bool) -> Sites:
        """A weight of (rows, vector)."""
        return {("weight", 1): {"embedding_dim": straight(self.embedding_dim)}}

    def output_axes(self) -> Mapping[str, int]:
        """The last axis."""
        return {"embedding_dim": -1}

    def cut(self) -> Cut:
        """The table of shorter vectors.

        Raises:
            ChoiceError: If nothing is left of them.
        """
        mask = self.mask("embedding_dim")
        return Cut(
            kept={"embedding_dim": mask},
            attributes={"embedding_dim": int(mask.sum())},
            picks={"weight": {1: where(mask)}},
        )

    def shell(self, cut: Cut, cut_with: Take = take) -> nn.Module:
        """The table of shorter vectors; a slice of live weights has no sparse gradients.

        Args:
            cut: What it is.
            cut_with: How slices of tensors are taken.
        """
        shell = super().shell(cut, cut_with)
        if cut_with is take:
            shell.__dict__["sparse"] = False
        return shell


@dynamic_op(nn.PReLU)
class DynamicPReLU(DynamicOp, nn.PReLU):
    """PReLU with a slope for each channel of axis 1, or a single one, which has no channels."""

    input_attr = "num_parameters"
    output_attr = "num_parameters"

    def widths(self) -> Mapping[str, int]:
        """The channels, where there is more than one slope."""
        return {"num_parameters": self.num_parameters} if self.num_parameters > 1 else {}

    def sites(self, grouped: bool) -> Sites:
        """A weight of (channels,)."""
        tables = {name: straight(size) for name, size in self.widths().items()}
        return {("weight", 0): tables} if tables else {}

    def input_axes(self) -> Mapping[str, int]:
        """Axis 1."""
        return dict.fromkeys(self.mutable_attrs, 1)

    def output_axes(self) -> Mapping[str, int]:
        """Axis 1."""
        return dict.fromkeys(self.mutable_attrs, 1)

    def cut(self) -> Cut:
        """The slopes that are left.

        Raises:
            ChoiceError: If there are none.
        """
        if not self.widths():
            return Cut({})
        mask = self.mask("num_parameters")
        return Cut(
            kept={"num_parameters": mask},
            attributes={"num_parameters": int(mask.sum())},
            picks={"weight": {0: where(mask)}},
        )
