"""Multi-head attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
from torch import Tensor, nn

from onnxprune.errors import ChoiceError
from onnxprune.torch.dynamic.container import Ids, Mask
from onnxprune.torch.dynamic.cuts import Cut, Pick, Take, rebuild, take, where
from onnxprune.torch.dynamic.op import DynamicOp, Sites, dynamic_op, straight
from onnxprune.torch.dynamic.sliced_attention import SlicedMultiheadAttention

__all__ = ["DynamicMultiheadAttention"]


@dynamic_op(nn.MultiheadAttention)
class DynamicMultiheadAttention(DynamicOp, nn.MultiheadAttention):
    """Multi-head attention that may lose outer channels, heads, and channels of its heads.

    Containers: `embed_dim` of the queries (and of keys and values, where these have the same
    weight), else `kdim` and `vdim`; `qk_channels` and `v_channels` inside, head by head; and
    `out_channels`. All heads that are left keep equally many channels. The products stay scaled by
    the size of the original heads. Attention weights are those of the heads that are left.
    """

    input_attr = "embed_dim"

    def widths(self) -> Mapping[str, int]:
        """The outer widths and the inner ones."""
        outer = {"embed_dim": self.embed_dim}
        if not self._qkv_same_embed_dim:
            outer |= {"kdim": self.kdim, "vdim": self.vdim}
        inner = dict.fromkeys(("qk_channels", "v_channels", "out_channels"), self.embed_dim)
        return outer | inner

    def sites(self, grouped: bool) -> Sites:
        """Rows of q and k are the same channels, those of v are the columns of `out_proj`."""
        size = self.embed_dim
        plain, rows = straight(size), straight(3 * size)
        inner = {
            "qk_channels": np.where(rows < 2 * size, rows % size, -1),
            "v_channels": np.where(rows < 2 * size, -1, rows % size),
        }
        sites: dict[tuple[str, int], dict[str, Ids]] = {
            ("in_proj_bias", 0): inner,
            ("bias_k", 2): {"qk_channels": plain},
            ("bias_v", 2): {"v_channels": plain},
            ("out_proj.weight", 0): {"out_channels": plain},
            ("out_proj.weight", 1): {"v_channels": plain},
            ("out_proj.bias", 0): {"out_channels": plain},
        }
        if self._qkv_same_embed_dim:
            return sites | {
                ("in_proj_weight", 0): inner,
                ("in_proj_weight", 1): {"embed_dim": plain},
            }
        return sites | {
            ("q_proj_weight", 0): {"qk_channels": plain},
            ("k_proj_weight", 0): {"qk_channels": plain},
            ("v_proj_weight", 0): {"v_channels": plain},
            ("q_proj_weight", 1): {"embed_dim": plain},
            ("k_proj_weight", 1): {"kdim": straight(self.kdim)},
            ("v_proj_weight", 1): {"vdim": straight(self.vdim)},
        }

    @classmethod
    def tensors(cls, module: nn.Module) -> dict[str, Tensor | None]:
        """By name, its parameters; those of `out_proj` too, which is never called.

        Args:
            module: The layer, plain or dynamic.
        """
        out = cast(nn.MultiheadAttention, module).out_proj
        return super().tensors(module) | {
            f"out_proj.{name}": tensor for name, tensor in out._parameters.items()
        }

    def cut(self) -> Cut:
        """The heads that are left, and what is left of them.

        Raises:
            ChoiceError: If these do not keep equally many channels, or nothing is left.
        """
        kept = {name: self.mask(name) for name in self.mutable_attrs}
        qk, v = kept["qk_channels"], kept["v_channels"]
        heads = np.asarray(v.reshape(self.num_heads, -1).any(axis=1))
        if not np.array_equal(heads, qk.reshape(self.num_heads, -1).any(axis=1)):
            raise ChoiceError(
                f"{type(self).__name__} must keep channels of values in the same heads in which "
                "it keeps channels of queries and keys."
            )
        outer = {name: where(kept[name]) for name in kept}
        kdim, vdim = (outer.get(name, outer["embed_dim"]) for name in ("kdim", "vdim"))
        return Cut(
            kept=kept,
            attributes={
                "embed_dim": len(outer["embed_dim"]),
                "kdim": len(kdim),
                "vdim": len(vdim),
                "num_heads": int(heads.sum()),
                "head_dim": self._of_each_head(qk, heads, "queries and keys"),
                "v_head_dim": self._of_each_head(v, heads, "values"),
                "scale": self.head_dim**-0.5,
                "heads": tuple(where(heads).tolist()),
                "original_heads": self.num_heads,
            },
            picks=_picks(kept, kdim, vdim),
        )

    def shell(self, cut: Cut, cut_with: Take = take) -> nn.Module:
        """Attention without the removed channels; a plain nn.MultiheadAttention if that is all.

        Args:
            cut: What it is.
            cut_with: How slices of tensors are taken.
        """
        whole = self.is_whole
        plain = self.plain if whole else SlicedMultiheadAttention
        attributes = {} if whole else {**cut.attributes}
        shell = rebuild(self, plain, cut.picks, attributes, cut_with)
        shell.__dict__["_qkv_same_embed_dim"] = whole and self._qkv_same_embed_dim
        picks = {
            name.removeprefix("out_proj."): pick
            for name, pick in cut.picks.items()
            if name.startswith("out_proj.")
        }
        sizes = {
            "in_features": len(cut.picks["out_proj.weight"][1]),
            "out_features": len(cut.picks["out_proj.weight"][0]),
        }
        out = self.out_proj
        shell._modules["out_proj"] = rebuild(out, type(out), picks, sizes, cut_with)
        return shell

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """See nn.MultiheadAttention.

        Raises:
            OnnxPruneError: If an input has another width, or nothing is left.
        """
        rest = (key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal)
        if self.is_whole:
            return nn.MultiheadAttention.forward(self, query, key, value, *rest)
        cut = self.cut()
        same = self._qkv_same_embed_dim
        query = self.gather(query, -1, "embed_dim", cut)
        key = self.gather(key, -1, "embed_dim" if same else "kdim", cut)
        value = self.gather(value, -1, "embed_dim" if same else "vdim", cut)
        y, weights = self.shell(cut).forward(query, key, value, *rest)
        return self.scatter(y, -1, "out_channels", cut), weights

    def _of_each_head(self, mask: Mask, heads: Mask, what: str) -> int:
        """How many channels each head keeps."""
        counts = mask.reshape(self.num_heads, -1)[heads].sum(axis=1)
        if counts.min() != counts.max():
            raise ChoiceError(
                f"The {len(counts)} heads that are left of a {type(self).__name__} with "
                f"{self.num_heads} heads must keep equally many channels of {what} each; they "
                f"keep {', '.join(map(str, counts[:8]))}{', ...' if len(counts) > 8 else ''}."
            )
        return int(counts[0])


def _picks(kept: Mapping[str, Mask], keys: Ids, values: Ids) -> dict[str, Pick]:
    """What is left of the parameters."""
    qk, v = where(kept["qk_channels"]), where(kept["v_channels"])
    queries, out = where(kept["embed_dim"]), where(kept["out_channels"])
    rows = where(np.concatenate([kept[f"{name}_channels"] for name in ("qk", "qk", "v")]))
    return {
        "in_proj_weight": {0: rows, 1: queries},
        "in_proj_bias": {0: rows},
        "q_proj_weight": {0: qk, 1: queries},
        "k_proj_weight": {0: qk, 1: keys},
        "v_proj_weight": {0: v, 1: values},
        "bias_k": {2: qk},
        "bias_v": {2: v},
        "out_proj.weight": {0: out, 1: v},
        "out_proj.bias": {0: out},
    }
