"""Dynamic convolutions are the plain ones, sliced by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dynamic_checks import check, converted, keep, mutable, normal, randomised  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from onnxprune.errors import ChoiceError, OnnxPruneError  # noqa: E402
from onnxprune.torch.dynamic import DynamicConv2d, DynamicConvTranspose1d  # noqa: E402

pytestmark = pytest.mark.torch

INS, OUTS = [0, 2, 3], [1, 2, 4, 5]
SIZES = {1: (7,), 2: (7, 6), 3: (5, 4, 6)}


def dense(name: str, tensor: Tensor) -> Tensor:
    return tensor[OUTS][:, INS] if name == "weight" else tensor[OUTS]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    "more",
    [
        {"padding": 1, "stride": 2},
        {"dilation": 2, "bias": False},
        {"padding": "same", "padding_mode": "circular"},
        {"padding": 1, "padding_mode": "reflect"},
    ],
    ids=str,
)
@pytest.mark.parametrize("batched", [True, False])
def test_convolution(dims: int, more: dict[str, Any], batched: bool) -> None:
    cls = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    x = normal(2, 4, *SIZES[dims]) if batched else normal(4, *SIZES[dims])
    check(
        cls(4, 6, 2, **more) if more.get("dilation") else cls(4, 6, 3, **more),
        cls(3, 4, 2, **more) if more.get("dilation") else cls(3, 4, 3, **more),
        dense,
        {"in_channels": INS, "out_channels": OUTS},
        x,
        {int(batched): INS},
        {int(batched): (OUTS, 6)},
    )


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("batched", [True, False])
def test_transposed_convolution(dims: int, batched: bool) -> None:
    cls = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1]
    more: dict[str, Any] = {"stride": 2, "padding": 1, "output_padding": 1}
    check(
        cls(4, 6, 3, **more),
        cls(3, 4, 3, **more),
        lambda name, t: t[INS][:, OUTS] if name == "weight" else t[OUTS],
        {"in_channels": INS, "out_channels": OUTS},
        normal(2, 4, *SIZES[dims]) if batched else normal(4, *SIZES[dims]),
        {int(batched): INS},
        {int(batched): (OUTS, 6)},
    )


# Three groups of 3 inputs and 2 outputs. The middle one is gone, the others keep different ones.
GROUPED_INS = [0, 2, 7, 8]
GROUPED_OUTS = [1, 4]


def grouped_ins(name: str, t: Tensor) -> Tensor:
    """(6, 3, ...) -> (2, 2, ...)"""
    if name == "bias":
        return t[GROUPED_OUTS]
    return torch.stack([t[1][[0, 2]], t[4][[1, 2]]])


def grouped_outs(name: str, t: Tensor) -> Tensor:
    """Transposed: (9, 2, ...) -> (4, 1, ...)"""
    if name == "bias":
        return t[GROUPED_OUTS]
    return torch.stack([t[0][[1]], t[2][[1]], t[7][[0]], t[8][[0]]])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_groups_without_outputs(told: bool, masked: bool) -> None:
    """They lose their inputs, whether or not the container of these is told."""
    inside = [] if told else [3, 4, 5]
    for plain, small, slicer in [
        (nn.Conv1d(9, 6, 3, groups=3), nn.Conv1d(4, 2, 3, groups=2), grouped_ins),
        (
            nn.ConvTranspose1d(9, 6, 3, groups=3),
            nn.ConvTranspose1d(4, 2, 3, groups=2),
            grouped_outs,
        ),
    ]:
        randomised(plain)
        small.load_state_dict({k: slicer(k, v) for k, v in plain.state_dict().items()})
        op = converted(plain)
        keep(op, "in_channels", [*GROUPED_INS, *inside])
        keep(op, "out_channels", GROUPED_OUTS, masked)
        x = normal(2, 9, 5)
        # Where outputs are masked their group is there, and so are those of its inputs that are.
        given = x[:, sorted([*GROUPED_INS, *(inside if masked else [])])]
        expected = small(x[:, GROUPED_INS])
        torch.testing.assert_close(op(given)[:, GROUPED_OUTS] if masked else op(given), expected)
        if not masked:
            static = op.to_static()
            assert repr(static) == repr(small)
            assert torch.equal(static(given), expected)


def test_groups_in_every_mode() -> None:
    more: dict[str, Any] = {"padding": 1}
    kept = {"in_channels": GROUPED_INS, "out_channels": GROUPED_OUTS}
    check(
        nn.Conv2d(9, 6, 3, groups=3, **more),
        nn.Conv2d(4, 2, 3, groups=2, **more),
        grouped_ins,
        kept,
        normal(2, 9, 4, 4),
        {1: GROUPED_INS},
        {1: (GROUPED_OUTS, 6)},
    )
    check(
        nn.ConvTranspose2d(9, 6, 3, groups=3, **more),
        nn.ConvTranspose2d(4, 2, 3, groups=2, **more),
        grouped_outs,
        kept,
        normal(2, 9, 4, 4),
        {1: GROUPED_INS},
        {1: (GROUPED_OUTS, 6)},
    )


@pytest.mark.parametrize("times", [1, 2])
def test_depthwise(times: int) -> None:
    ins = [0, 3, 4]
    outs = [i * times + k for i in ins for k in range(times)]
    check(
        nn.Conv2d(5, 5 * times, 3, groups=5),
        nn.Conv2d(3, 3 * times, 3, groups=3),
        lambda name, t: t[outs],
        {"in_channels": ins, "out_channels": outs},
        normal(2, 5, 4, 4),
        {1: ins},
        {1: (outs, 5 * times)},
    )


def test_one_output_of_each_depthwise_group() -> None:
    outs = [0, 3, 9]
    check(
        nn.Conv1d(5, 10, 3, groups=5),
        nn.Conv1d(3, 3, 3, groups=3),
        lambda name, t: t[outs],
        {"in_channels": [0, 1, 4], "out_channels": outs},
        normal(2, 5, 4),
        {1: [0, 1, 4]},
        {1: (outs, 10)},
    )


@pytest.mark.parametrize(
    ("ins", "outs", "words"),
    [
        (range(4), [0, 1, 2], "2 groups that are left .* equally many output .* keep 2, 1"),
        ([0, 1, 2], range(4), "equally many input channels each, at least one; they keep 2, 1"),
        ([0, 1], range(4), "equally many input channels each, at least one; they keep 2, 0"),
        ([2, 3], [0, 1], "1 groups that are left .* at least one; they keep 0"),
        (range(4), [], "would lose every one of its out_channels"),
        ([], range(4), "would lose every one of its in_channels"),
    ],
)
def test_groups_that_differ(ins: Any, outs: Any, words: str) -> None:
    op = DynamicConv2d(4, 4, 1, groups=2)
    keep(op, "in_channels", ins)
    keep(op, "out_channels", outs)
    with pytest.raises(ChoiceError, match=words):
        op.cut()
    with pytest.raises(ChoiceError, match=words):
        op(normal(1, len(ins), 2, 2))
    with pytest.raises(ChoiceError, match=words):
        op.to_static()


def test_output_size_is_passed_on() -> None:
    op = randomised(DynamicConvTranspose1d(2, 4, 3, stride=2))
    expected = op(normal(1, 2, 5), output_size=[12])[:, [1, 3]]
    keep(op, "out_channels", [1, 3])
    assert expected.shape[-1] == 12
    torch.testing.assert_close(op(normal(1, 2, 5), output_size=[12]), expected)
    torch.testing.assert_close(op(output_size=[12], input=normal(1, 2, 5)), expected)


def masks(op: DynamicConv2d) -> tuple[str, ...]:
    return tuple(
        "".join("01"[int(bit)] for bit in op.container(name).current_mask)
        for name in ("in_channels", "out_channels")
    )


def test_registering_by_parameter() -> None:
    op = DynamicConv2d(6, 4, 1, groups=2)
    op.register("weight", 0, mutable([0, 2, 3], 4), np.arange(4)[:, None])
    op.register("bias", 0, mutable([0, 1, 2], 4), np.arange(4))
    op.register("weight", 1, mutable([0, 2], 3), [[0], [1], [2]])
    assert masks(op) == ("101101", "1010")
    op.register("weight", 1, mutable([0, 1, 2, 4, 5], 6), np.arange(6), grouped=True)
    assert masks(op) == ("101001", "1010")
    transposed = DynamicConvTranspose1d(6, 4, 1, groups=2)
    transposed.register("weight", 1, mutable([1], 2), [[0], [1]])
    transposed.register("weight", 0, mutable([1], 2), [[0, 1, 2], [3, 4, 5]])
    assert masks(transposed) == ("000111", "0101")
    same = mutable([0], 4)
    for name in ("weight", "bias"):
        transposed.register(name, int(name == "weight"), same, [[0], [1], [2], [3]], grouped=True)
    assert len(transposed.container("out_channels")._registered) == 2


def test_weight_and_bias_are_one_registration() -> None:
    op, owner = DynamicConv2d(3, 4, 1), mutable([0, 3], 4)
    op.register("weight", 0, owner, np.arange(4)[:, None])
    op.register("bias", 0, owner, np.arange(4)[:, None])
    assert len(op.container("out_channels")._registered) == 1


@pytest.mark.parametrize(
    ("parameter", "axis", "words"),
    [
        ("weight", 2, "no channels on axis 2 of weight; it has: axis 0 of weight, axis 1 of"),
        ("scale", 0, "no channels on axis 0 of scale"),
    ],
)
def test_axes_without_channels(parameter: str, axis: int, words: str) -> None:
    with pytest.raises(ChoiceError, match=words):
        DynamicConv2d(3, 4, 1).register(parameter, axis, mutable([0], 1), [[0]])


def test_positions_within_groups() -> None:
    op = DynamicConv2d(6, 4, 1, groups=2)
    with pytest.raises(ChoiceError, match="axis of size 3 has no position 3"):
        op.register("weight", 1, mutable([0], 1), [[3]])
    with pytest.raises(ChoiceError, match="axis of size 6 has no position 6"):
        op.register("weight", 1, mutable([0], 1), [[6]], grouped=True)


def test_an_input_of_another_width() -> None:
    op = DynamicConv2d(4, 4, 1)
    keep(op, "in_channels", [0, 1])
    with pytest.raises(OnnxPruneError, match=r"\(in_channels\) is left with 2 of 4 .* given 4;"):
        op(normal(1, 4, 2, 2))


def test_conversion_keeps_what_a_layer_has() -> None:
    plain = randomised(nn.Conv2d(2, 3, 1)).eval()
    plain.weight.requires_grad_(False)
    plain.tag = "mine"  # type: ignore[assignment]
    called: list[str] = []
    handle = plain.register_forward_hook(lambda *_: called.append("hook"))
    op = DynamicConv2d.convert_from(plain)
    op(normal(1, 2, 1, 1))
    assert (called, op.tag, op.training) == (["hook"], "mine", False)
    assert not any(module.training for module in op.modules())
    assert "mutable_attrs" not in plain._modules
    handle.remove()
    op(normal(1, 2, 1, 1))
    assert called == ["hook"]
    static = op.to_static()
    assert static.tag == "mine"
    assert not static.weight.requires_grad
    assert static.bias.requires_grad
    with pytest.raises(ChoiceError, match="made of a Conv2d, not of a Conv1d"):
        DynamicConv2d.convert_from(nn.Conv1d(1, 1, 1))


def test_it_trains() -> None:
    torch.manual_seed(0)
    op = DynamicConv2d(3, 6, 3)
    keep(op, "out_channels", [0, 4, 5])
    before = op.weight.detach().clone()
    optimiser = torch.optim.SGD(op.parameters(), lr=0.1)
    x, losses = normal(4, 3, 5, 5), []
    for _ in range(5):
        optimiser.zero_grad()
        loss = op(x).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert torch.equal(op.weight[[1, 2, 3]], before[[1, 2, 3]])
    assert not torch.equal(op.weight[[0, 4, 5]], before[[0, 4, 5]])
