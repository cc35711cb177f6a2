"""Dynamic attention is the plain one whose removed channels have weights of zero."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dynamic_checks import converted, keep, mutable, normal, randomised  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from onnxprune.errors import ChoiceError, OnnxPruneError, RefusedError  # noqa: E402
from onnxprune.torch.dynamic import DynamicMultiheadAttention, SlicedMultiheadAttention  # noqa: E402

pytestmark = pytest.mark.torch

# Four heads of 3 channels. Head 2 is gone; queries and keys keep two channels, values one each.
EMBED, HEADS = 12, [0, 1, 3]
QK = [0, 2, 3, 5, 9, 11]
V = [1, 3, 10]  # not the same ones in each head
STREAM = [0, 1, 4, 5, 8, 11]
OUT = [2, 3, 7]
KEYS, VALUES = [0, 2, 3], [1, 4]
KDIM, VDIM = 5, 6

VARIANTS: list[dict[str, Any]] = [
    {"batch_first": True},
    {},
    {"bias": False, "batch_first": True},
    {"kdim": KDIM, "vdim": VDIM, "batch_first": True},
    {"kdim": KDIM, "vdim": VDIM, "bias": False},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
]


def reference(plain: nn.MultiheadAttention) -> nn.MultiheadAttention:
    """The same layer; what is removed inside has weights of zero."""
    twin = copy.deepcopy(plain)
    qk, v = (torch.tensor(np.setdiff1d(range(EMBED), kept)) for kept in (QK, V))
    with torch.no_grad():
        if twin.in_proj_weight is not None:
            blocks = list(twin.in_proj_weight.split(EMBED))
        else:
            blocks = [twin.q_proj_weight, twin.k_proj_weight, twin.v_proj_weight]
        if twin.in_proj_bias is not None:
            for i, block in enumerate(twin.in_proj_bias.split(EMBED)):
                block[v if i == 2 else qk] = 0
        for i, block in enumerate(blocks):
            block[v if i == 2 else qk] = 0
        if twin.bias_k is not None:
            twin.bias_k[..., qk] = 0
            twin.bias_v[..., v] = 0
        twin.out_proj.weight[:, v] = 0
    return twin


def cut_off(op: DynamicMultiheadAttention, masked: bool) -> None:
    keep(op, "embed_dim", STREAM, masked)
    keep(op, "qk_channels", QK, masked)
    keep(op, "v_channels", V, masked)
    keep(op, "out_channels", OUT, masked)
    if "kdim" in op.mutable_attrs:
        keep(op, "kdim", KEYS, masked)
        keep(op, "vdim", VALUES, masked)


def inputs(more: dict[str, Any]) -> tuple[list[Tensor], list[list[int]]]:
    """Query (2, 3, 12), key and value (2, 4, ...), and what is kept of their channels."""
    widths = [EMBED, more.get("kdim", EMBED), more.get("vdim", EMBED)]
    kept = [STREAM, *((KEYS, VALUES) if "kdim" in more else (STREAM, STREAM))]
    made = [normal(2, 3 if i == 0 else 4, w, seed=i) for i, w in enumerate(widths)]
    return made, kept


def zeroed(x: Tensor, kept: list[int]) -> Tensor:
    y = torch.zeros_like(x)
    y[..., kept] = x[..., kept]
    return y


FORBID = torch.tensor([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
PADDING = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]], dtype=torch.bool)
CALLS: dict[str, dict[str, Any]] = {
    "weights": {},
    "no weights": {"need_weights": False},
    "weights of each head": {"average_attn_weights": False},
    "a mask": {"attn_mask": FORBID, "need_weights": False},
    "masks": {"attn_mask": FORBID, "key_padding_mask": PADDING},
    "padding": {"key_padding_mask": PADDING, "need_weights": False},
    "floats": {"attn_mask": normal(3, 4), "key_padding_mask": normal(2, 4)},
    "a mask for each head": {"attn_mask": normal(8, 3, 4), "need_weights": False},
    "a causal hint": {
        "attn_mask": torch.triu(torch.ones(3, 4, dtype=torch.bool), 1),
        "is_causal": True,
        "need_weights": False,
    },
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("more", VARIANTS, ids=str)
def test_attention(more: dict[str, Any], call: str, masked: bool, training: bool) -> None:
    plain = randomised(nn.MultiheadAttention(EMBED, 4, **more)).train(training)
    twin = reference(plain)
    op = converted(plain)
    cut_off(op, masked)
    full, kept = inputs(more)
    expected_in = [zeroed(x, k).requires_grad_() for x, k in zip(full, kept, strict=True)]
    given = [
        (x if masked else x[..., k]).clone().requires_grad_()
        for x, k in zip(full, kept, strict=True)
    ]
    options = CALLS[call]
    expected = called(twin, expected_in, options, more)
    found = called(op, given, options, more)
    y = expected[0][..., OUT]
    torch.testing.assert_close(found[0][..., OUT] if masked else found[0], y, rtol=1e-4, atol=1e-5)
    if masked:
        assert not np.delete(found[0].detach().numpy(), OUT, -1).any()
    check_weights(twin, found[1], expected_in, options, more)
    weights = normal(*y.shape)
    (y * weights).sum().backward()
    (found[0][..., OUT] * weights if masked else found[0] * weights).sum().backward()
    for a, b, k in zip(given, expected_in, kept, strict=True):
        assert b.grad is not None
        grad = zeroed(b.grad, k) if masked else b.grad[..., k]
        torch.testing.assert_close(a.grad, grad, rtol=1e-4, atol=1e-4)
    same_gradients(op, twin, "kdim" in more)
    if masked:
        with pytest.raises(RefusedError, match="hard-coded"):
            op.to_static()
        return
    static = op.to_static()
    assert type(static) is SlicedMultiheadAttention
    assert static.training is training
    assert list(static.state_dict()) == list(plain.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(called(static, given, options, more)[0], found[0].detach())


def called(layer: nn.Module, xs: list[Tensor], options: dict[str, Any], more: Any) -> Any:
    """A call with (batch, length, channels), whatever the layer takes."""
    if more.get("batch_first"):
        return layer(*xs, **options)
    y, weights = layer(*(x.transpose(0, 1) for x in xs), **options)
    return y.transpose(0, 1), weights


def check_weights(
    twin: nn.Module, found: Any, xs: list[Tensor], options: dict[str, Any], more: Any
) -> None:
    """Attention weights are those of the heads that are left."""
    if not options.get("need_weights", True):
        assert found is None
        return
    _, weights = called(twin, xs, {**options, "average_attn_weights": False}, more)
    weights = weights[:, HEADS]
    if options.get("average_attn_weights", True):
        weights = weights.mean(1)
    torch.testing.assert_close(found, weights, rtol=1e-4, atol=1e-5)


def same_gradients(op: nn.Module, twin: nn.Module, separate: bool) -> None:
    """Those of the twin where something is kept, else zero."""
    qkv = [*QK, *(EMBED + i for i in QK), *(2 * EMBED + i for i in V)]
    places = {
        "in_proj_weight": np.ix_(qkv, STREAM),
        "q_proj_weight": np.ix_(QK, STREAM),
        "k_proj_weight": np.ix_(QK, KEYS),
        "v_proj_weight": np.ix_(V, VALUES),
        "in_proj_bias": (qkv,),
        "bias_k": (..., QK),
        "bias_v": (..., V),
        "out_proj.weight": np.ix_(OUT, V),
        "out_proj.bias": (OUT,),
    }
    others = dict(twin.named_parameters())
    names = [name for name, _ in op.named_parameters()]
    assert ("q_proj_weight" in names) == separate
    for name, parameter in op.named_parameters():
        grad, expected = parameter.grad.numpy().copy(), others[name].grad.numpy()
        np.testing.assert_allclose(grad[places[name]], expected[places[name]], 1e-3, 1e-4)
        grad[places[name]] = 0
        assert not grad.any()


@pytest.mark.parametrize("more", VARIANTS, ids=str)
@pytest.mark.parametrize("grad", [False, True])
def test_nothing_removed_is_nothing_changed(more: dict[str, Any], grad: bool) -> None:
    plain = randomised(nn.MultiheadAttention(EMBED, 4, **more)).eval()
    op = converted(plain)
    assert list(op.state_dict()) == list(plain.state_dict())
    for (_, a), (_, b) in zip(op.named_parameters(), plain.named_parameters(), strict=True):
        assert a is b
    x = normal(2, 3, EMBED)
    xs = [x, x, x] if "kdim" not in more else inputs(more)[0]
    keep(op, "embed_dim", range(EMBED))
    static = op.to_static()
    assert type(static) is nn.MultiheadAttention
    assert repr(static) == repr(plain)
    with torch.set_grad_enabled(grad):
        for layer in (op, static):
            for a, b in zip(called(layer, xs, {}, more), called(plain, xs, {}, more), strict=True):
                assert torch.equal(a, b)


@pytest.mark.parametrize("need", [False, True])
def test_without_a_batch(need: bool) -> None:
    plain = randomised(nn.MultiheadAttention(EMBED, 4))
    op, twin = converted(plain), reference(plain)
    cut_off(op, False)
    x = normal(5, EMBED)
    padding = torch.tensor([0, 0, 0, 1, 0], dtype=torch.bool)
    more = {"key_padding_mask": padding, "need_weights": need, "average_attn_weights": False}
    y, weights = op(*[x[:, STREAM]] * 3, **more)
    expected, other = twin(*[zeroed(x, STREAM)] * 3, **more)
    torch.testing.assert_close(y, expected[:, OUT], rtol=1e-4, atol=1e-5)
    if need:
        torch.testing.assert_close(weights, other[HEADS], rtol=1e-4, atol=1e-5)


def test_a_mask_for_the_heads_that_are_left() -> None:
    op = randomised(DynamicMultiheadAttention(EMBED, 4, batch_first=True))
    cut_off(op, False)
    (query, key, value), _ = inputs({})
    xs = [x[..., STREAM] for x in (query, key, value)]
    mask = normal(2, 4, 3, 4)
    a, _ = op(*xs, attn_mask=mask.flatten(0, 1))
    b, _ = op(*xs, attn_mask=mask[:, HEADS].flatten(0, 1))
    assert torch.equal(a, b)
    c, _ = op(*xs, attn_mask=mask[:, [0, 1, 2]].flatten(0, 1))
    assert not torch.allclose(a, c)


def test_dropout_is_for_training() -> None:
    op = randomised(DynamicMultiheadAttention(EMBED, 4, dropout=0.9, batch_first=True))
    cut_off(op, False)
    x = normal(2, 3, len(STREAM))
    for need in (False, True):
        op.train()
        assert not torch.equal(op(x, x, x, need_weights=need)[0], op(x, x, x, need_weights=need)[0])
        op.eval()
        assert torch.equal(op(x, x, x, need_weights=need)[0], op(x, x, x, need_weights=need)[0])


def test_a_causal_hint_needs_its_mask() -> None:
    op = randomised(DynamicMultiheadAttention(EMBED, 4))
    cut_off(op, False)
    with pytest.raises(OnnxPruneError, match="needs an attn_mask where is_causal is set"):
        op(*[normal(3, 1, len(STREAM))] * 3, is_causal=True)


@pytest.mark.parametrize(
    ("qk", "v", "words"),
    [
        ([0, 1, 3], [0, 3], r"2 heads that are left .* queries and keys each; they keep 2, 1\."),
        ([0, 3], [0, 1, 3], r"2 heads that are left .* of values each; they keep 2, 1\."),
        ([0, 3], [0, 6], "values in the same heads in which it keeps channels of queries"),
        ([], [0], "would lose every one of its qk_channels"),
    ],
)
def test_heads_that_differ(qk: list[int], v: list[int], words: str) -> None:
    op = DynamicMultiheadAttention(EMBED, 4)
    keep(op, "qk_channels", qk)
    keep(op, "v_channels", v)
    for action in (op.to_static, lambda: op(*[normal(3, 1, EMBED)] * 3)):
        with pytest.raises(ChoiceError, match=words):
            action()


def test_registering_by_parameter() -> None:
    op = DynamicMultiheadAttention(4, 2, kdim=4, vdim=4, add_bias_kv=True)
    heads = mutable([1], 2)
    op.register("in_proj_weight", 0, heads, [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]])
    op.register("in_proj_bias", 0, heads, [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]])
    op.register("out_proj.weight", 1, heads, [[0, 1], [2, 3]])
    op.register("bias_k", 2, heads, [[0, 1], [2, 3]])
    op.register("bias_v", 2, heads, [[0, 1], [2, 3]])
    channels = mutable([0, 1, 2], 4)
    op.register("in_proj_weight", 1, channels, range(4))
    op.register("out_proj.weight", 0, channels, range(4))
    op.register("out_proj.bias", 0, channels, range(4))
    values = mutable([1], 2)
    op.register("in_proj_weight", 0, values, [[8, 10], [9, 11]])
    masks = {
        name: op.container(name).current_mask.astype(int).tolist() for name in op.mutable_attrs
    }
    assert masks == {
        "embed_dim": [1, 1, 1, 0],
        "qk_channels": [0, 0, 1, 1],
        "v_channels": [0, 0, 0, 1],
        "out_channels": [1, 1, 1, 0],
    }
    sizes = [len(op.container(name)._registered) for name in masks]
    assert sizes == [1, 1, 2, 1]
    separate = DynamicMultiheadAttention(4, 2, kdim=3, vdim=5)
    separate.register("k_proj_weight", 1, mutable([0], 3), range(3))
    separate.register("v_proj_weight", 1, mutable([0], 5), range(5))
    separate.register("v_proj_weight", 0, values, [[0, 2], [1, 3]])
    assert separate.container("kdim").activated_channels == 1
    assert separate.container("vdim").activated_channels == 1
    assert separate.container("v_channels").current_mask.tolist() == [False, True, False, True]
    with pytest.raises(ChoiceError, match="no channels on axis 0 of in_proj_weight; it has: axis"):
        separate.register("in_proj_weight", 0, heads, [[0], [1]])
