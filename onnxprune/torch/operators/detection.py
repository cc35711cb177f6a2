"""NonMaxSuppression."""

from __future__ import annotations

import torch
from torch import Tensor

from onnxprune.torch.masked import Masked
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import demand_whole


@operator("NonMaxSuppression")
def _non_max_suppression(call: Call) -> Masked:
    for position in range(2):
        demand_whole(call[position], range(3), "of boxes that are told by number", position)
    limit, overlap, threshold = (call.optional_setting(i) for i in (2, 3, 4))
    most = 0 if limit is None else int(limit)
    largest = 0.0 if overlap is None else float(overlap)
    boxes = _corners(call.tensor(0), bool(call.attribute("center_point_box", 0)))
    selected = []
    for image, classes in enumerate(call.tensor(1)):
        for number, scores in enumerate(classes):
            order = scores.argsort(descending=True, stable=True)
            if threshold is not None:
                order = order[scores[order] > threshold]
            selected += [[image, number, box] for box in _kept(boxes[image], order, most, largest)]
    return Masked(torch.tensor(selected, dtype=torch.int64).reshape(-1, 3))


def _corners(boxes: Tensor, centred: bool) -> Tensor:
    """Boxes as lower and upper corners, (..., 4)."""
    if centred:
        middle, half = boxes[..., :2], boxes[..., 2:] / 2
        return torch.cat([middle - half, middle + half], -1)
    first, second = boxes[..., :2], boxes[..., 2:]
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], -1)


def _kept(boxes: Tensor, order: Tensor, limit: int, overlap: float) -> list[int]:
    """The best boxes, without those that overlap a better one."""
    kept: list[int] = []
    while len(order) and len(kept) < limit:
        kept.append(int(order[0]))
        best, rest = boxes[order[0]], boxes[order[1:]]
        order = order[1:][~(_overlap(best, rest) > overlap)]
    return kept


def _overlap(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union; 0 for boxes without area."""
    low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(v[..., 2:] - v[..., :2]).prod(-1) for v in (box, others)]
    union = areas[0] + areas[1] - shared
    proper = (shared > 0) & (areas[0] > 0) & (areas[1] > 0) & (union > 0)
    return torch.where(proper, shared / union, torch.zeros_like(shared))
