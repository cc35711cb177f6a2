"""Dynamic normalisations are the plain ones, sliced by hand: statistics of what is kept."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dynamic_checks import check, converted, keep, mutable, normal, randomised  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from onnxprune.errors import ChoiceError, RefusedError  # noqa: E402
from onnxprune.torch.dynamic import (  # noqa: E402
    DynamicBatchNorm1d,
    DynamicGroupNorm,
    DynamicLayerNorm,
    DynamicRMSNorm,
)

pytestmark = pytest.mark.torch

KEPT = [0, 2, 5]


def rows(name: str, t: Tensor) -> Tensor:
    return t[KEPT] if t.ndim else t


@pytest.mark.parametrize(
    "more",
    [{}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}, {"eps": 0.1}],
    ids=str,
)
@pytest.mark.parametrize(
    ("cls", "shape"),
    [
        (nn.BatchNorm1d, (4, 6)),
        (nn.BatchNorm1d, (4, 6, 3)),
        (nn.BatchNorm2d, (4, 6, 3, 2)),
        (nn.BatchNorm3d, (4, 6, 3, 2, 2)),
        (nn.SyncBatchNorm, (4, 6, 3, 2)),
    ],
)
def test_batch_norm(cls: Any, shape: tuple[int, ...], more: dict[str, Any]) -> None:
    check(
        cls(6, **more),
        cls(3, **more),
        rows,
        {"num_features": KEPT},
        3 * normal(*shape) + 1,
        {1: KEPT},
        {1: (KEPT, 6)},
    )


@pytest.mark.parametrize(
    "more", [{}, {"affine": True}, {"affine": True, "track_running_stats": True}], ids=str
)
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize(
    ("cls", "spatial"),
    [
        (nn.InstanceNorm1d, (5,)),
        (nn.InstanceNorm2d, (3, 2)),
        (nn.InstanceNorm3d, (3, 2, 2)),
    ],
)
def test_instance_norm(
    cls: Any, spatial: tuple[int, ...], batched: bool, more: dict[str, Any]
) -> None:
    check(
        cls(6, **more),
        cls(3, **more),
        rows,
        {"num_features": KEPT},
        3 * normal(*([4] if batched else []), 6, *spatial) + 1,
        {int(batched): KEPT},
        {int(batched): (KEPT, 6)},
    )


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(2, 9, 4), (2, 9), (2, 9, 3, 2)])
def test_group_norm(shape: tuple[int, ...], affine: bool) -> None:
    kept = [0, 2, 7, 8]  # the middle group is gone, the others keep different channels
    check(
        nn.GroupNorm(3, 9, affine=affine),
        nn.GroupNorm(2, 4, affine=affine),
        lambda name, t: t[kept],
        {"num_features": kept},
        3 * normal(*shape) + 1,
        {1: kept},
        {1: (kept, 9)},
    )


def test_groups_of_a_norm_that_differ() -> None:
    op = DynamicGroupNorm(3, 9)
    keep(op, "num_features", [0, 1, 3])
    with pytest.raises(ChoiceError, match=r"2 groups that are left .* each; they keep 2, 1\."):
        op(normal(2, 3, 2))
    keep(op, "num_features", [])
    with pytest.raises(ChoiceError, match="would lose every one of its num_features"):
        op.to_static()


LAST: list[tuple[Any, dict[str, Any]]] = [
    (nn.LayerNorm, {}),
    (nn.LayerNorm, {"bias": False}),
    (nn.LayerNorm, {"elementwise_affine": False}),
    (nn.RMSNorm, {}),
    (nn.RMSNorm, {"elementwise_affine": False, "eps": 0.1}),
]


@pytest.mark.parametrize(("cls", "more"), LAST, ids=str)
def test_norms_of_the_last_axis(cls: Any, more: dict[str, Any]) -> None:
    check(
        cls(6, **more),
        cls(3, **more),
        rows,
        {"num_features": KEPT},
        3 * normal(2, 4, 6) + 1,
        {2: KEPT},
        {2: (KEPT, 6)},
    )


@pytest.mark.parametrize(("cls", "more"), LAST, ids=str)
def test_norms_of_several_axes(cls: Any, more: dict[str, Any]) -> None:
    check(
        cls([4, 3, 6], **more),
        cls([2, 3, 3], **more),
        lambda name, t: t[[1, 3]][..., KEPT],
        {"num_features_0": [1, 3], "num_features_2": KEPT},
        3 * normal(2, 4, 3, 6) + 1,
        {1: [1, 3], 3: KEPT},
        {1: ([1, 3], 4), 3: (KEPT, 6)},
    )


def test_masked_channels_take_no_part_in_statistics() -> None:
    """As they would if they were zeros among the rest."""
    norm = randomised(nn.LayerNorm(4))
    op = converted(norm)
    keep(op, "num_features", [1, 2], masked=True)
    x = torch.tensor([100.0, 1.0, 3.0, -50.0])
    expected = torch.tensor([0.0, -1.0, 1.0, 0.0]) * norm.weight + norm.bias
    expected[[0, 3]] = 0
    torch.testing.assert_close(op(x), expected.detach(), rtol=1e-4, atol=1e-4)


def test_some_masked_and_some_sliced() -> None:
    norm = randomised(nn.LayerNorm(6))
    op = converted(norm)
    keep(op, "num_features", [0, 1, 2, 5], masked=True)
    keep(op, "num_features", [0, 2, 3, 5])
    x = normal(2, 4)  # 0, 2, 3, 5; 3 is masked, 1 and 4 are gone
    small = nn.LayerNorm(3)
    small.load_state_dict({k: v[KEPT] for k, v in norm.state_dict().items()})
    expected = torch.zeros(2, 4)
    expected[:, [0, 1, 3]] = small(x[:, [0, 1, 3]])
    torch.testing.assert_close(op(x), expected.detach())
    with pytest.raises(RefusedError, match=r"DynamicLayerNorm: its num_features cannot .*; 2 of 6"):
        op.to_static()


def test_registering_by_parameter() -> None:
    norm = DynamicBatchNorm1d(4)
    owner = mutable([0, 3], 4)
    for name in ("weight", "bias", "running_mean", "running_var"):
        norm.register(name, 0, owner, range(4))
    assert len(norm.container("num_features")._registered) == 1
    with pytest.raises(ChoiceError, match="no channels on axis 0 of num_batches_tracked"):
        norm.register("num_batches_tracked", 0, owner, range(4))
    several = DynamicLayerNorm((2, 3))
    several.register("weight", 1, mutable([2], 3), range(3))
    several.register("bias", 0, mutable([1], 2), range(2))
    assert several.container("num_features_0").current_mask.tolist() == [False, True]
    assert several.container("num_features_1").current_mask.tolist() == [False, False, True]
    bare = DynamicRMSNorm(3, elementwise_affine=False)
    bare.register("weight", 0, mutable([0], 3), range(3))
    assert bare.container("num_features").activated_channels == 1
    with pytest.raises(ChoiceError, match="no channels on axis 0 of bias"):
        bare.register("bias", 0, mutable([0], 3), range(3))
