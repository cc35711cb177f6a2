"""Sliding windows: kernel, strides, dilations and padding as ONNX spells them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch.nn.functional as F
from torch import Tensor

from onnxprune.torch.registry import Call

__all__ = ["Windows"]


@dataclass(frozen=True, slots=True)
class Windows:
    """How a window slides over the spatial axes.

    Attributes:
        kernel: Size per axis.
        strides: Step per axis.
        dilations: Distance between the entries of a window.
        before: Padding in front.
        after: Padding behind.
        extra: More padding behind, that no entry counts for, which rounding up needs.
    """

    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    before: Sequence[int]
    after: Sequence[int]
    extra: Sequence[int]

    @classmethod
    def of(cls, call: Call, sizes: Sequence[int], kernel: Sequence[int]) -> Windows:
        """The windows of a convolution or pooling over spatial sizes."""
        rank = len(sizes)
        strides = list(call.attribute("strides") or [1] * rank)
        dilations = list(call.attribute("dilations") or [1] * rank)
        pads = list(call.attribute("pads") or [0] * (2 * rank))
        before, after = pads[:rank], pads[rank:]
        spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
        auto = call.attribute("auto_pad", "NOTSET")
        extra = [0] * rank
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            for i, (size, stride, span) in enumerate(zip(sizes, strides, spans, strict=True)):
                total = max((-(-size // stride) - 1) * stride + span - size, 0)
                small, large = total // 2, total - total // 2
                before[i], after[i] = (small, large) if auto == "SAME_UPPER" else (large, small)
        elif auto == "VALID":
            before, after = [0] * rank, [0] * rank
        if call.attribute("ceil_mode", 0):
            for i, (size, stride, span) in enumerate(zip(sizes, strides, spans, strict=True)):
                padded = size + before[i] + after[i]
                count = -(-(padded - span) // stride) + 1
                if (count - 1) * stride >= size + before[i]:
                    count -= 1
                extra[i] = max((count - 1) * stride + span - padded, 0)
        return cls(list(kernel), strides, dilations, before, after, extra)

    def pad(self, x: Tensor, number: float, *, extra: bool = True) -> Tensor:
        """A feature map with its padding around it."""
        flat: list[int] = []
        for low, high, more in zip(self.before, self.after, self.extra, strict=True):
            flat[:0] = [low, high + (more if extra else 0)]
        return F.pad(x, flat, value=number) if any(flat) else x

    def pad_extra(self, x: Tensor, number: float) -> Tensor:
        """A padded feature map with only that added which rounding up needs."""
        flat: list[int] = []
        for more in self.extra:
            flat[:0] = [0, more]
        return F.pad(x, flat, value=number) if any(flat) else x

    def entries(self, padded: Tensor) -> Iterator[Tensor]:
        """For each position in the window, what all windows see there."""
        sizes = padded.shape[-len(self.kernel) :]
        for offset in product(*map(range, self.kernel)):
            where: list[slice] = []
            parts = zip(sizes, offset, self.kernel, self.strides, self.dilations, strict=True)
            for size, o, k, stride, dilation in parts:
                count = (size - dilation * (k - 1) - 1) // stride + 1
                start = o * dilation
                where.append(slice(start, start + (count - 1) * stride + 1, stride))
            yield padded[(slice(None), slice(None), *where)]
