"""Inputs and outputs that are allowed to lose indices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import choose, proto, to_proto

from onnxprune import find_units
from onnxprune.errors import ChoiceError
from onnxprune.graph import load, save
from onnxprune.rewrite import prune, recall
from onnxprune.units import Units
from onnxprune.verification import Verifier


def streaming() -> onnx.ModelProto:
    """A recurrent layer whose states are inputs and outputs."""
    return proto(
        """(float[5,N,3] x, float[1,N,8] h, float[1,N,8] c) =>
           (float[5,1,N,2] y, float[1,N,8] hn, float[1,N,8] cn) {
            a, hn, cn = LSTM<hidden_size=8>(x, w, r, b, , h, c)
            y = MatMul(a, v)
        }""",
        "w 1 32 3, r 1 32 8, b 1 64, v 8 2",
    )


def cached() -> onnx.ModelProto:
    """Attention over a cache of keys and values."""
    return proto(
        """(float[N,2,6] x, float[N,3,P,4] keys, float[N,3,P,4] values) =>
           (float[N,2,6] y, float[N,3,T,4] new_keys, float[N,3,T,4] new_values) {
            q = MatMul(x, wq)
            k = MatMul(x, wk)
            v = MatMul(x, wv)
            a, new_keys, new_values = Attention<q_num_heads=3, kv_num_heads=3>(
                q, k, v, , keys, values)
            y = MatMul(a, wo)
        }""",
        "wq 6 12, wk 6 12, wv 6 12, wo 12 6",
        opset=23,
    )


STATES = ["h", "c", "hn", "cn"]


def proven(units: Units, reference: str = "auto") -> onnx.ModelProto:
    pruned = prune(units)
    verdict = Verifier(units).verify(pruned, reference)
    assert verdict.passed, verdict.problems
    return to_proto(pruned)


def sizes(model: onnx.ModelProto) -> dict[str, list[int]]:
    values = (*model.graph.input, *model.graph.output)
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def test_states_stay_whole_unless_allowed() -> None:
    assert find_units(streaming()).mutable == []
    assert find_units(streaming(), allow_io=STATES[:3]).mutable == [], "one of them is enough"


@pytest.mark.parametrize("reference", ["zero-masking", "torch"])
@pytest.mark.parametrize("seed", range(3))
def test_states_follow_their_layer(reference: str, seed: int) -> None:
    if reference == "torch":
        pytest.importorskip("torch")
    units = find_units(streaming(), allow_io=STATES)
    assert [unit.num_channels for unit in units.mutable] == [8]
    choose(units, seed)
    kept = int(units.mutable[0].mask.sum())
    found = sizes(proven(units, reference))
    assert {name: found[name] for name in STATES} == {key: [1, 0, kept] for key in STATES}
    assert found["x"] == [5, 0, 3]


@pytest.mark.parametrize("seed", range(3))
def test_a_cache_by_pattern(seed: int) -> None:
    pytest.importorskip("torch")
    units = find_units(cached(), allow_io=["*keys", "*values"])
    assert sorted(unit.role for unit in units.mutable) == ["head", "head-size", "head-size"]
    choose(units, seed, 0.6)
    found = sizes(proven(units, "torch"))
    heads, size = found["keys"][1], found["keys"][3]
    assert found["new_keys"][1::2] == [heads, size]
    assert found["values"][1] == found["new_values"][1] == heads


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(ChoiceError, match="no input or output 'state'; near are: "):
        find_units(streaming(), allow_io=["state"])


def test_the_saved_model_is_recognised(tmp_path: Path) -> None:
    onnx.save(streaming(), tmp_path / "model.onnx")
    units = find_units(tmp_path / "model.onnx", allow_io=STATES)
    choose(units, 0)
    save(prune(units), tmp_path / "small.onnx")
    again = find_units(tmp_path / "model.onnx", allow_io=STATES)
    recall(again, load(tmp_path / "small.onnx"))
    assert np.array_equal(again.mutable[0].mask, units.mutable[0].mask)
    verdict = Verifier(again).verify(load(tmp_path / "small.onnx"), file=tmp_path / "small.onnx")
    assert verdict.passed, verdict.problems
    strict = Verifier(find_units(tmp_path / "model.onnx"))
    assert any("inputs differ" in text for text in strict.verify(prune(units)).problems)


def test_an_output_that_declares_more_than_is_found_out() -> None:
    """The graph of the loop does not say how wide its state is; the output of the model does."""
    model = proto(
        """(float[N,3] x) => (float[N,8] state, float[N,2] y) {
            first = MatMul(x, w0)
            state = Loop(steps, yes, first) <
                body = g (int64 i, bool go, float[A,B] h) => (bool on, float[A,B] n) {
                    on = Identity(go)
                    n = Tanh(h)
                }
            >
            y = MatMul(state, w1)
        }""",
        "w0 3 8, w1 8 2",
        steps=np.array(2),
        yes=np.array(True),
    )
    units = find_units(load(model), allow_io=["state"])
    assert [unit.num_channels for unit in units.mutable] == [8]
    choose(units, 0)
    kept = int(units.mutable[0].mask.sum())
    assert kept < 8
    assert sizes(proven(units))["state"][1] == kept
