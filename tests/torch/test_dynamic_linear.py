"""Dynamic linear layers, embeddings and PReLU are the plain ones, sliced by hand."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dynamic_checks import check, converted, keep, mutable, normal, randomised  # noqa: E402
from torch import nn  # noqa: E402

from onnxprune.errors import ChoiceError  # noqa: E402
from onnxprune.torch.dynamic import DynamicEmbedding, DynamicLinear, DynamicPReLU  # noqa: E402

pytestmark = pytest.mark.torch

INS, OUTS = [0, 2, 3], [1, 4]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(2,), (2, 3), (2, 1, 3)])
def test_linear(bias: bool, lead: tuple[int, ...]) -> None:
    check(
        nn.Linear(4, 5, bias),
        nn.Linear(3, 2, bias),
        lambda name, t: t[OUTS][:, INS] if name == "weight" else t[OUTS],
        {"in_features": INS, "out_features": OUTS},
        normal(*lead, 4),
        {len(lead): INS},
        {len(lead): (OUTS, 5)},
    )


def test_a_linear_layer_of_one_axis() -> None:
    op = randomised(DynamicLinear(4, 5))
    expected = op(normal(4))[OUTS]
    keep(op, "out_features", OUTS)
    torch.testing.assert_close(op(normal(4)), expected)


@pytest.mark.parametrize("more", [{}, {"padding_idx": 1}, {"scale_grad_by_freq": True}], ids=str)
def test_embedding(more: dict[str, Any]) -> None:
    check(
        nn.Embedding(6, 5, **more),
        nn.Embedding(6, 2, **more),
        lambda name, t: t[:, OUTS],
        {"embedding_dim": OUTS},
        torch.tensor([[0, 1, 5], [5, 2, 2]]),
        {},
        {2: (OUTS, 5)},
    )


def test_the_longest_vectors_are_as_long_as_what_is_left() -> None:
    plain = randomised(nn.Embedding(6, 5, max_norm=0.5))
    small = nn.Embedding(6, 2, max_norm=0.5)
    small.load_state_dict({"weight": plain.weight[:, OUTS]})
    op = converted(plain)
    keep(op, "embedding_dim", OUTS)
    ids = torch.arange(6)
    with torch.no_grad():
        found, expected = op(ids), small(ids)
    torch.testing.assert_close(found, expected)
    assert expected.norm(dim=1).max() < 0.51


def test_sparse_gradients_are_dense_while_it_is_sliced() -> None:
    op = randomised(DynamicEmbedding(6, 5, sparse=True))
    keep(op, "embedding_dim", OUTS)
    op(torch.tensor([1, 2, 2])).sum().backward()
    assert op.weight.grad is not None
    expected = torch.zeros(6, 5)
    expected[1, OUTS], expected[2, OUTS] = 1, 2
    assert torch.equal(op.weight.grad, expected)
    assert op.to_static().sparse


def test_rows_of_an_embedding_stay() -> None:
    with pytest.raises(ChoiceError, match="no channels on axis 0 of weight; it has: axis 1 of we"):
        DynamicEmbedding(6, 5).register("weight", 0, mutable([0], 1), [[0]])


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 4), (3, 5, 2, 2)])
def test_prelu(shape: tuple[int, ...]) -> None:
    check(
        nn.PReLU(5),
        nn.PReLU(2),
        lambda name, t: t[OUTS],
        {"num_parameters": OUTS},
        normal(*shape),
        {1: OUTS},
        {1: (OUTS, 5)},
    )


def test_a_prelu_of_one_slope() -> None:
    plain = nn.PReLU()
    op = converted(plain)
    assert op.weight is plain.weight
    assert list(op.mutable_attrs) == []
    assert torch.equal(op(normal(2, 3)), plain(normal(2, 3)))
    assert repr(op.to_static()) == repr(plain)
    with pytest.raises(ChoiceError, match="no channels on axis 0 of weight; it has: none at all"):
        DynamicPReLU().register("weight", 0, mutable([0], 1), [[0]])


def test_registering_by_parameter() -> None:
    linear = DynamicLinear(4, 5)
    owner = mutable([1], 2)
    linear.register("weight", 0, owner, [[0, 1], [2, 3]])
    linear.register("bias", 0, owner, [[0, 1], [2, 3]])
    linear.register("weight", 1, mutable([0], 4), range(4))
    assert linear.container("out_features").current_mask.tolist() == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert linear.container("in_features").current_mask.tolist() == [True, False, False, False]
    assert len(linear.container("out_features")._registered) == 1
    embedding = DynamicEmbedding(6, 3)
    embedding.register("weight", 1, mutable([1], 3), range(3))
    assert embedding.container("embedding_dim").activated_channels == 1
    slopes = DynamicPReLU(3)
    slopes.register("weight", 0, mutable([1], 3), range(3))
    assert slopes.container("num_parameters").activated_channels == 1
