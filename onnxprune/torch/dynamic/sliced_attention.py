"""What is left of multi-head attention when channels are removed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onnxprune.errors import OnnxPruneError

__all__ = ["SlicedMultiheadAttention"]


class SlicedMultiheadAttention(nn.Module):
    """Multi-head attention whose inner widths are free: nn.MultiheadAttention of some channels.

    It is made by `to_static` only, takes what nn.MultiheadAttention takes and gives what that
    gives; its parameters have the same names. Products are scaled by the size of the original
    heads. A mask for each head may be for the original heads or for those that are left.

    Attributes:
        embed_dim: The width of queries; `kdim` and `vdim` are those of keys and values.
        num_heads: How many heads there are.
        head_dim: How many channels queries and keys have in a head; `v_head_dim` values.
        scale: The factor of the products of queries and keys.
        heads: Which of the `original_heads` these are.
    """

    embed_dim: int
    kdim: int
    vdim: int
    num_heads: int
    head_dim: int
    v_head_dim: int
    scale: float
    heads: tuple[int, ...]
    original_heads: int
    dropout: float
    batch_first: bool
    add_zero_attn: bool
    in_proj_weight: Tensor | None
    q_proj_weight: Tensor
    k_proj_weight: Tensor
    v_proj_weight: Tensor
    in_proj_bias: Tensor | None
    bias_k: Tensor | None
    bias_v: Tensor | None
    out_proj: nn.Linear

    _qkv_same_embed_dim = False
    """Where it is true, nn.TransformerEncoderLayer computes with the weights itself."""

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
            OnnxPruneError: If `is_causal` is set without the mask that it is a hint about.
        """
        if is_causal and attn_mask is None:
            raise OnnxPruneError("Attention needs an attn_mask where is_causal is set.")
        batched = query.dim() == 3
        if not batched:
            query, key, value = query[None], key[None], value[None]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._projected(query, key, value)
        extra = k.shape[2] - key.shape[1]
        causal = is_causal and key_padding_mask is None and not need_weights  # as the plain layer
        mask = None if causal else self._mask(attn_mask, key_padding_mask, q, extra)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            products = (q * self.scale) @ k.transpose(-2, -1)
            weights = torch.softmax(products if mask is None else products + mask, -1)
            weights = F.dropout(weights, dropout) if dropout else weights
            y = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=self.scale)
        y = self.out_proj(y.transpose(1, 2).flatten(2))
        if not batched:
            return y[0], None if weights is None else weights[0]
        return y if self.batch_first else y.transpose(0, 1), weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """(N, heads, length, channels) the queries, keys and values."""
        sizes = [self.num_heads * n for n in (self.head_dim, self.head_dim, self.v_head_dim)]
        weights = (
            (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            if self.in_proj_weight is None
            else self.in_proj_weight.split_with_sizes(sizes)
        )
        bias = self.in_proj_bias
        biases = [None] * 3 if bias is None else bias.split_with_sizes(sizes)
        q, k, v = map(F.linear, (query, key, value), weights, biases)
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(len(k), -1, -1)], 1)
            v = torch.cat([v, self.bias_v.expand(len(v), -1, -1)], 1)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        return tuple(x.reshape(*x.shape[:2], self.num_heads, -1).transpose(1, 2) for x in (q, k, v))

    def _mask(
        self, attn_mask: Tensor | None, padding: Tensor | None, q: Tensor, extra: int
    ) -> Tensor | None:
        """What is added to the products: broadcastable to (N, heads, length, length)."""
        masks = []
        if attn_mask is not None:
            mask = _additive(attn_mask, q)
            if mask.dim() == 3:
                mask = mask.reshape(len(q), -1, *mask.shape[1:])
                if mask.shape[1] != self.num_heads:
                    mask = mask[:, list(self.heads)]
            masks.append(mask)
        if padding is not None:
            masks.append(_additive(padding, q)[:, None, None])
        if not masks:
            return None
        # What bias_k and add_zero_attn add is never masked.
        return F.pad(masks[0] if len(masks) == 1 else masks[0] + masks[1], (0, extra))

    def extra_repr(self) -> str:
        """What is printed between the brackets."""
        return (
            f"{self.embed_dim}, num_heads={self.num_heads}, head_dim={self.head_dim}, "
            f"v_head_dim={self.v_head_dim}, scale={self.scale:.6g}"
        )


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """A mask that is added: minus infinity where a boolean one forbids."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, float("-inf"))
