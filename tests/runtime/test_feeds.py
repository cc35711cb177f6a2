"""Inputs that are made up, sessions, and latencies."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from helpers import ints, proto
from small import MODELS

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import load
from onnxprune.runtime.feeds import Feeds, find_feeds
from onnxprune.runtime.session import RuntimeRefusal, first_line, open_session
from onnxprune.verification import bench


def _feeds(model: onnx.ModelProto) -> list[Feeds]:
    graph = load(model)
    return find_feeds(graph, open_session(graph))


def test_two_runs_of_a_batch_of_two() -> None:
    first, second = _feeds(MODELS["chain"]())
    assert first["x"].shape == second["x"].shape == (2, 3, 8, 8)
    assert first["x"].dtype == np.float32
    assert 0 <= first["x"].min() < first["x"].max() < 1
    assert not np.array_equal(first["x"], second["x"])


def test_they_are_the_same_every_time() -> None:
    for one, other in zip(_feeds(MODELS["linear"]()), _feeds(MODELS["linear"]()), strict=True):
        np.testing.assert_array_equal(one["x"], other["x"])


def test_integers_and_masks_and_booleans() -> None:
    model = proto(
        """(int64[N,S] ids, int64[N,S] attention_mask, bool[N,S] flags) => (float[N,S] y) {
            a = Cast<to=1>(ids)
            m = Cast<to=1>(attention_mask)
            f = Cast<to=1>(flags)
            b = Mul(a, m)
            y = Mul(b, f)
        }"""
    )
    feeds = _feeds(model)[0]
    assert feeds["ids"].dtype == np.int64
    assert 1 <= feeds["ids"].min() <= feeds["ids"].max() <= 8
    assert feeds["attention_mask"].all()
    assert feeds["flags"].dtype == np.bool_
    assert feeds["ids"].shape == feeds["flags"].shape == (2, 64)


def test_a_length_that_the_model_accepts_is_searched() -> None:
    model = proto("(float[N,S] x) => (float[N,T] y) { y = Reshape(x, s) }", s=ints(-1, 224))
    assert _feeds(model)[0]["x"].shape == (2, 224)


def test_nothing_that_is_tried_is_accepted() -> None:
    model = proto("(float[N,S] x) => (float[N,T] y) { y = Reshape(x, s) }", s=ints(-1, 77777))
    with pytest.raises(OnnxPruneError, match=r"accepts none of .*; give feeds \(--feeds\)"):
        _feeds(model)


def test_a_reason_is_one_short_line() -> None:
    text = "[ONNXRuntimeError] : 1 : FAIL : Load model from /a b/m.onnx failed:No such op.\nmore"
    assert first_line(RuntimeError(text)) == "No such op"
    assert first_line(RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Bad")) == "Bad"
    assert first_line(RuntimeError("plain words")) == "plain words"
    assert first_line(RuntimeError("")) == "RuntimeError"
    assert len(first_line(RuntimeError("x" * 9999))) == 300


def test_a_model_that_onnxruntime_does_not_know() -> None:
    model = proto("(float[N,3] x) => (float[N,4] y) { y = com.acme.Magic(x, w) }", "w 3 4")
    with pytest.raises(RuntimeRefusal, match=r"^com\.acme:Magic"):
        open_session(load(model))


def test_latencies() -> None:
    small, large = (
        load(proto("(float[8,256] x) => (float[8,256] y) { y = MatMul(x, w) }", w=(256, 256)))
        for _ in range(2)
    )
    found = bench([small, large], {"x": np.ones((8, 256), np.float32)}, runs=5, threads=1)
    assert len(found) == 2
    assert all(0 < latency.median <= latency.p90 for latency in found)


def test_integers_stay_below_the_rows_of_a_small_table() -> None:
    """As the two types of tokens that BERT knows."""
    model = proto(
        """(int64[N,S] ids, int64[N,S] types) => (float[N,S,4] y) {
            a = Gather(words, ids)
            t = Cast<to=6>(types)
            b = Gather(kinds, t)
            y = Add(a, b)
        }""",
        "words 50 4, kinds 2 4",
    )
    for feeds in _feeds(model):
        assert 1 <= feeds["ids"].min() < feeds["ids"].max() == 8
        assert (feeds["types"].min(), feeds["types"].max()) == (0, 1)


def test_dynamic_channels_are_those_of_the_kernel() -> None:
    model = proto(
        """(float[N,C,H,W] x) => (float[N,4,P,Q] y) {
            y = Conv<group=2>(x, w)
        }""",
        "w 4 3 3 3",
    )
    assert _feeds(model)[0]["x"].shape == (2, 6, 64, 64)


def test_sizes_that_take_too_much_memory_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    model = proto("(float[N,A,B,C] x) => (float[N,T] y) { y = Reshape(x, s) }", s=ints(-1, 77777))
    largest = []
    monkeypatch.setattr(
        "onnxprune.runtime.feeds._random",
        lambda graph, sizes, *_: largest.append(sizes) or {},  # type: ignore[func-returns-value]
    )
    with pytest.raises(OnnxPruneError, match=r"accepts none of .*; give feeds \(--feeds\)"):
        _feeds(model)
    assert {sizes["A"] for sizes in largest} >= {64, 128}
    assert max(sizes["A"] for sizes in largest) == 256  # a sample of 16 million numbers
