"""Conv and ConvTranspose."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from onnxprune.torch.masked import Masked, combine, contract, fill
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import reshape, whole
from onnxprune.torch.windows import Windows

_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


@operator("Conv")
def _conv(call: Call) -> Masked:
    return convolve(call, call[0], call[1], call.optional(2))


def convolve(call: Call, x: Masked, w: Masked, bias: Masked | None) -> Masked:
    """The convolution that a node's attributes describe, of any operands."""
    rank = x.value.ndim - 2
    if rank not in _CONVOLUTIONS:
        raise call.refuse(f"{rank} spatial axes")
    groups = call.attribute("group", 1)
    windows = Windows.of(call, x.shape[2:], w.shape[2:])
    levels = summed_levels(x, w, groups, "goc", bias)
    value, padding = x.value, list(windows.before)
    if windows.before != windows.after:
        value, padding = windows.pad(value, 0), [0] * rank
    value = _CONVOLUTIONS[rank](
        value,
        w.value,
        None if bias is None else bias.value,
        windows.strides,
        padding,
        windows.dilations,
        groups,
    )
    return Masked(fill(value, levels), levels)


def summed_levels(
    x: Masked, w: Masked, groups: int, letters: str, bias: Masked | None
) -> Tensor | None:
    """The levels of the result, (n, c, 1...); letters are those of the weight's first axes.

    Raises:
        Leak: A group of the weight misses other inputs than the feature map does.
    """
    rank = x.value.ndim - 2
    if x.marks is None and w.marks is None and (bias is None or bias.marks is None):
        return None
    x = whole(x, range(2, x.value.ndim), "over which windows slide", 0)
    w = whole(w, range(2, w.value.ndim), "which windows are made of", 1)
    if groups == 1:
        flat = [None if v.marks is None else v.marks.flatten(1) for v in (x, w)]
        levels = contract(("nc", flat[0]), (letters.replace("g", ""), flat[1]), "no")
    else:
        levels = _group_levels(x, w, groups, letters)
    if bias is not None:
        outputs = w.shape[0] if letters == "goc" else w.shape[1] * groups
        shape = (x.shape[0], outputs)
        result = Masked(x.value.new_empty(1).expand(shape), levels)
        levels, _ = combine([result, bias])
    return None if levels is None else levels.reshape(*levels.shape, *[1] * rank)


def _group_levels(x: Masked, w: Masked, groups: int, letters: str) -> Tensor | None:
    """The levels of the sum of products, (n, c), of several groups."""
    n, c = x.shape[:2]
    first, second = w.shape[:2]
    marks = []
    for operand, shape in (
        (x, (n, groups, c // groups)),
        (w, (groups, first // groups, second)),
    ):
        levels = operand.marks
        flat = None if levels is None else levels.reshape(levels.shape[:2])
        dummy = operand.value.new_empty(1).expand(operand.shape[:2])
        marks.append(reshape(Masked(dummy, flat), shape).levels)
    levels = contract(("ngc", marks[0]), (letters, marks[1]), "ngo")
    outputs = first if letters == "goc" else second * groups
    shape = (n, groups, outputs // groups)
    return reshape(Masked(x.value.new_empty(1).expand(shape), levels), (n, outputs)).levels


@operator("ConvTranspose")
def _conv_transpose(call: Call) -> Masked:
    x, w, bias = call[0], call[1], call.optional(2)
    rank = x.value.ndim - 2
    if rank not in _TRANSPOSED:
        raise call.refuse(f"{rank} spatial axes")
    groups = call.attribute("group", 1)
    strides = list(call.attribute("strides") or [1] * rank)
    dilations = list(call.attribute("dilations") or [1] * rank)
    levels = summed_levels(x, w, groups, "gco", bias)
    vector = None if bias is None else bias.value
    full = _TRANSPOSED[rank](x.value, w.value, vector, strides, 0, 0, groups, dilations)
    crops = _crops(call, x, list(full.shape[2:]), strides)
    sizes = zip(full.shape[2:], crops, strict=True)
    if any(after < 0 for _, after in crops):  # more than there is: only the bias
        full = _TRANSPOSED[rank](x.value, w.value, None, strides, 0, 0, groups, dilations)
        full = F.pad(full, [n for _, after in crops[::-1] for n in (0, max(-after, 0))])
        if vector is not None:
            full = full + vector.reshape(-1, *[1] * rank)
        crops = [(before, max(after, 0)) for before, after in crops]
        sizes = zip(full.shape[2:], crops, strict=True)
    where = tuple(slice(before, size - after) for size, (before, after) in sizes)
    return Masked(fill(full[(slice(None), slice(None), *where)], levels), levels)


def _crops(call: Call, x: Masked, full: list[int], strides: list[int]) -> list[tuple[int, int]]:
    """What to cut off in front and behind, per axis; less than 0 where entries are to be added."""
    rank = len(full)
    more = list(call.attribute("output_padding") or [0] * rank)
    pads = list(call.attribute("pads") or [0] * (2 * rank))
    shape = call.attribute("output_shape")
    auto = call.attribute("auto_pad", "NOTSET")
    if shape is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        shape = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
    if shape is None:
        if auto == "VALID":
            pads = [0] * (2 * rank)
        return [(pads[i], pads[i + rank] - more[i]) for i in range(rank)]
    crops = []
    for i, size in enumerate(list(shape)[-rank:]):
        total = full[i] + more[i] - size
        half = total // 2
        before = half if auto == "SAME_UPPER" else total - half
        crops.append((before, total - before - more[i]))
    return crops
