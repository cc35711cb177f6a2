"""Attention in the interpreter: as onnxruntime runs it, and with entries missing."""

from __future__ import annotations

import importlib

import numpy as np
import onnx_ir as ir
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from helpers import choose, units_of  # noqa: E402
from small_attention import ATTENTION  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from onnxprune.oracle import Case  # noqa: E402
from onnxprune.oracle.examples.attention import attention  # noqa: E402
from onnxprune.rewrite import prune  # noqa: E402
from onnxprune.torch import Interpreter, UnsupportedOperator, assert_parity, trace  # noqa: E402
from onnxprune.torch.tensors import to_numpy  # noqa: E402
from onnxprune.verification import verify  # noqa: E402

pytestmark = pytest.mark.torch


def _cases() -> list[Case]:
    made = [example.case(f"example {i}", i) for i, example in enumerate(attention())]
    assert None not in made
    return [case for case in made if case is not None]


def test_every_example_answers_as_onnxruntime() -> None:
    refused = {}
    for case in _cases():
        given = {f"x{i}": array for i, array in enumerate(case.inputs) if array is not None}
        try:
            with torch.no_grad():
                found = Interpreter(ir.from_proto(case.model)).run(given)
        except UnsupportedOperator as error:
            refused[case.operator] = str(error)
            continue
        for i, array in enumerate(case.outputs):
            assert array is not None
            got = to_numpy(found[f"y{i}"].value)
            np.testing.assert_allclose(got, array, rtol=1e-4, atol=1e-5, err_msg=case.name)
    assert list(refused) == ["com.microsoft::GroupQueryAttention"]
    assert "caches of different lengths" in refused["com.microsoft::GroupQueryAttention"]


@pytest.mark.parametrize("name", sorted(name for name in ATTENTION if ATTENTION[name].units))
def test_what_is_left_answers_as_the_masked_twin(name: str) -> None:
    units = units_of(ATTENTION[name].build())
    for seed in range(4):
        choose(units, seed, (0.5, 0.8, 0.2, 0.6)[seed])
        verify(units, prune(units), reference="torch").check()


class Heads(nn.Module):
    """Attention by torch's own function, which is ONNX's operator from opset 23 on."""

    def __init__(self, queries: int, keys: int, value: int, causal: bool) -> None:
        super().__init__()
        self.queries, self.keys, self.causal = queries, keys, causal
        self.q, self.k = nn.Linear(12, queries * 4), nn.Linear(12, keys * 4)
        self.v, self.out = nn.Linear(12, keys * value), nn.Linear(queries * value, 12)

    def split(self, x: Tensor, count: int) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], count, -1).transpose(1, 2)

    def forward(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
        q = self.split(self.q(x), self.queries)
        k, v = self.split(self.k(y), self.keys), self.split(self.v(y), self.keys)
        made = F.scaled_dot_product_attention(
            *(q, k, v, mask), is_causal=self.causal, enable_gqa=self.queries > self.keys
        )
        return self.out(made.transpose(1, 2).flatten(2))


class Packed(nn.Module):
    """One layer for queries, keys and values, and a bias that is learnt for every head."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(12, 36), nn.Linear(12, 12)
        self.bias = nn.Parameter(torch.randn(1, 3, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(-1, 5, 3, 3, 4).permute(2, 0, 3, 1, 4)
        made = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)
        return self.out(made.transpose(1, 2).flatten(2))


SHAPES = {
    "cross": ((2, 5, 12), (2, 7, 12)),
    "masked": ((2, 5, 12), (2, 7, 12), (2, 1, 5, 7)),
    "groups, in order": ((2, 5, 12), (2, 5, 12)),
    "packed": ((2, 5, 12),),
}


def _module(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    made = {
        "cross": lambda: Heads(3, 3, 5, causal=False),
        "masked": lambda: Heads(3, 3, 4, causal=False),
        "groups, in order": lambda: Heads(6, 3, 4, causal=True),
        "packed": Packed,
    }
    return made[name](), tuple(torch.randn(shape) for shape in SHAPES[name])


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_parity_of_modules_exported_with_attention(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, example = _module(name)
    tracing = importlib.import_module("onnxprune.torch.trace")
    export = tracing.export
    monkeypatch.setattr(tracing, "export", lambda *a, **k: export(*a, opset=23, **k))
    operators = [node.op_type for node in trace(module, example).nodes]
    assert operators.count("Attention") == 1
    assert_parity(module, example, choices=5)
