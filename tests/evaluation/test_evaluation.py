"""Accuracy and fidelity: by hand on small models, as published on the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import proto

from onnxprune.calibration import Calibration, read_dataset
from onnxprune.errors import OnnxPruneError
from onnxprune.evaluation import Evaluation, Share, evaluate, read_labels
from onnxprune.graph import Graph, load
from onnxprune.runtime import Feeds

FASHION = Path("models/fashion.onnx").absolute()
FASHION_TEST = Path("models/fashion_test.npz").absolute()

SAME = proto("(float[N,6] x) => (float[N,6] y) { y = Identity(x) }")


def _given(array: np.ndarray, batch: int = 3) -> Calibration:
    def batches() -> Iterator[Feeds]:
        for start in range(0, len(array), batch):
            yield {"x": array[start : start + batch]}

    return Calibration(batches, len(array))


def _rows(count: int = 8, classes: int = 6) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, classes)).astype(np.float32)


def _evaluated(
    body: str, array: np.ndarray, original: str | None = None, **rest: int
) -> Evaluation:
    against = None if original is None else proto(original)
    return evaluate(proto(body), _given(array), against=against, **rest)


def test_the_demo_model_is_as_accurate_as_its_page_says() -> None:
    dataset = read_dataset(FASHION_TEST, load(FASHION), batch=100)
    seen: list[int] = []
    found = evaluate(
        FASHION, dataset, read_labels("labels", dataset), FASHION, on_batch=seen.append
    )
    assert found.accuracy is not None
    assert found.accuracy.top1 == Share(935, 1000)
    assert found.accuracy.top5 is not None
    assert found.accuracy.top5.count >= 995
    assert seen == [100] * 10
    fidelity = found.fidelity
    assert fidelity is not None
    assert fidelity.agreement == Share(1000, 1000)
    assert (fidelity.l2, fidelity.worst_l2, fidelity.kl) == (0, 0, 0)
    assert fidelity.cosine == pytest.approx(1)
    assert (found.samples, found.output, found.shape, found.axis) == (1000, "logits", (10,), 0)


def test_a_subset_keeps_its_labels() -> None:
    labels = np.load(FASHION_TEST)["labels"]
    graph = load(FASHION)
    dataset = read_dataset(FASHION_TEST, graph, samples=200, seed=7)
    np.testing.assert_array_equal(read_labels("labels", dataset), labels[dataset.indices])
    found = evaluate(graph, dataset, read_labels("labels", dataset))
    assert found.accuracy is not None
    assert found.accuracy.top1.value > 0.88


def test_top_k_counts_places_and_ties_fall_to_the_lower_class() -> None:
    rows = np.array([[5, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5], [1, 1, 1, 1, 1, 1]], np.float32)
    for labels, top1, top5 in (
        ([0, 5, 0], 3, 3),
        ([4, 1, 1], 0, 3),
        ([5, 0, 5], 0, 0),
    ):
        found = evaluate(SAME, _given(rows), labels).accuracy
        assert found is not None
        assert found.top5 is not None
        assert (found.top1.count, found.top5.count) == (top1, top5)
    five = evaluate(
        proto("(float[N,5] x) => (float[N,5] y) { y = Identity(x) }"), _given(rows[:, :5]), [0] * 3
    )
    assert five.accuracy is not None
    assert five.accuracy.top5 is None


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (935, 1000, 0.9180, 0.9487),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 2, 0.0945, 0.9055),
    ],
)
def test_wilson_interval(count: int, total: int, low: float, high: float) -> None:
    """Against published values, to four places."""
    assert Share(count, total).interval == pytest.approx((low, high), abs=5e-5)


def test_fidelity_by_hand() -> None:
    rows = _rows()
    found = _evaluated(
        "(float[N,6] x) => (float[N,6] y) { t = Sin(x) y = Add(x, t) }",
        rows,
        "(float[N,6] x) => (float[N,6] y) { y = Identity(x) }",
    )
    answer, original = (rows + np.sin(rows)).astype(np.float64), rows.astype(np.float64)
    p, q = (np.exp(a) / np.exp(a).sum(1, keepdims=True) for a in (original, answer))
    l2 = np.linalg.norm(answer - original, axis=1) / np.linalg.norm(original, axis=1)
    cosine = (answer * original).sum(1)
    cosine /= np.linalg.norm(answer, axis=1) * np.linalg.norm(original, axis=1)
    fidelity = found.fidelity
    assert fidelity is not None
    assert fidelity.agreement == Share(int((answer.argmax(1) == original.argmax(1)).sum()), 8)
    assert fidelity.kl == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-5)
    assert fidelity.l2 == pytest.approx(l2.mean(), rel=1e-5)
    assert fidelity.worst_l2 == pytest.approx(l2.max(), rel=1e-5)
    assert fidelity.cosine == pytest.approx(cosine.mean(), rel=1e-5)
    assert not found.probabilities


def test_probabilities_are_not_made_so_again() -> None:
    rows = _rows()
    original = "(float[N,6] x) => (float[N,6] y) { y = Softmax(x) }"
    found = _evaluated(
        "(float[N,6] x) => (float[N,6] y) { t = Add(x, x) y = Softmax(t) }", rows, original
    )
    p, q = (np.exp(a) / np.exp(a).sum(1, keepdims=True) for a in (rows, 2 * rows))
    assert found.probabilities
    assert found.fidelity is not None
    assert found.fidelity.kl == pytest.approx((p * np.log(p / q)).sum(1).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "axis", "asked", "positions"),
    [
        ((4, 5), 0, {}, 4),
        ((4, 7, 5), 1, {}, 28),
        ((4, 5, 1, 1), 0, {}, 4),
        ((4, 5, 2, 3), 0, {}, 24),
        ((4, 2, 3, 5), 2, {"axis": -1}, 24),
        ((4, 2, 5), 0, {"axis": 1}, 20),
        ((4, 1, 3, 5), None, {}, None),
        ((4, 1), None, {}, None),
        ((4,), None, {}, None),
    ],
)
def test_what_is_compared(
    shape: tuple[int, ...], axis: int | None, asked: dict[str, int], positions: int | None
) -> None:
    sizes = ",".join(["N", *map(str, shape[1:])])
    body = f"(float[{sizes}] x) => (float[{sizes}] y) {{ y = Identity(x) }}"
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    found = _evaluated(body, array, body, **asked)
    assert found.fidelity is not None
    agreement = found.fidelity.agreement
    assert (found.shape, found.axis) == (shape[1:], axis)
    assert agreement == (None if positions is None else Share(positions, positions))
    assert (found.fidelity.kl is None) == (positions is None)
    assert found.fidelity.cosine == pytest.approx(1)


def test_large_answers_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows(7)
    body = "(float[N,6] x) => (float[N,6] y) { t = Sin(x) y = Add(x, t) }"
    original = "(float[N,6] x) => (float[N,6] y) { y = Identity(x) }"
    whole = _evaluated(body, rows, original).fidelity
    monkeypatch.setattr("onnxprune.evaluation.tally.BLOCK", 12)
    parts = _evaluated(body, rows, original).fidelity
    assert whole is not None
    assert parts is not None
    assert parts.agreement == whole.agreement
    assert parts.kl == pytest.approx(whole.kl)
    assert parts.l2 == pytest.approx(whole.l2)


def test_answers_that_are_not_finite_are_told() -> None:
    """Log of a negative number is NaN, of zero an infinity."""
    rows = np.abs(_rows()) + 0.1
    rows[1, 2], rows[4, 0] = -1, 0
    log = "(float[N,6] x) => (float[N,6] y) { y = Log(x) }"
    same = "(float[N,6] x) => (float[N,6] y) { y = Identity(x) }"
    labels = rows.argmax(1)
    found = evaluate(proto(log), _given(rows), labels, proto(same))
    assert found.not_finite == 2
    assert found.accuracy is not None
    assert found.accuracy.top1 == found.accuracy.top5 == Share(6, 8)
    fidelity = found.fidelity
    assert fidelity is not None
    assert (fidelity.agreement, fidelity.not_finite) == (Share(6, 8), 0)
    assert fidelity.l2 is not None
    assert np.isfinite(fidelity.l2)
    turned = evaluate(proto(same), _given(rows), against=proto(log))
    assert turned.fidelity is not None
    assert (turned.not_finite, turned.fidelity.not_finite) == (0, 2)
    assert turned.fidelity.agreement == Share(6, 8)
    none = evaluate(proto(log), _given(-rows), against=proto(same)).fidelity
    assert none is not None
    assert (none.agreement, none.cosine, none.kl, none.l2) == (Share(0, 8), None, None, None)


def test_an_original_that_is_zero() -> None:
    rows = np.ones((3, 6), np.float32)
    zero = "(float[N,6] x) => (float[N,6] y) { y = Sub(x, x) }"
    same = "(float[N,6] x) => (float[N,6] y) { y = Identity(x) }"
    found = _evaluated(same, rows, zero).fidelity
    assert found is not None
    assert (found.l2, found.worst_l2, found.cosine) == (np.inf, np.inf, 0)
    both = _evaluated(zero, rows, zero).fidelity
    assert both is not None
    assert (both.l2, both.worst_l2, both.cosine) == (0, 0, 1)


def test_integers_and_another_output() -> None:
    body = "(float[N,6] x) => (int64[N] k, float[N,6] y) {"
    body += " k = ArgMax<axis=1,keepdims=0>(x) y = Abs(x) }"
    found = evaluate(proto(body), _given(_rows()), against=proto(body))
    assert (found.output, found.axis) == ("k", None)
    named = evaluate(proto(body), _given(_rows()), against=proto(body), output="y")
    assert (named.output, named.axis) == ("y", 0)
    with pytest.raises(OnnxPruneError, match="there is no output 'z'; there are 'k', 'y'"):
        evaluate(proto(body), _given(_rows()), [0] * 8, output="z")


def test_models_in_any_form(tmp_path: Path) -> None:
    onnx.save(SAME, tmp_path / "m.onnx")
    labels = _rows().argmax(1)
    forms: list[str | Path | onnx.ModelProto | Graph] = [
        *(tmp_path / "m.onnx", str(tmp_path / "m.onnx"), SAME, load(tmp_path / "m.onnx"))
    ]
    for form in forms:
        found = evaluate(form, _given(_rows()), labels)
        assert found.accuracy is not None
        assert found.accuracy.top1 == Share(8, 8)


def test_wrong_labels() -> None:
    for labels, says in (
        ([0] * 7 + [6], r"The label 6 is out of range: the output 'y' has 6 classes, 0 to 5"),
        ([0] * 7 + [-1], r"The label -1 is out of range"),
        ([0] * 7, r"There are 7 labels for 8 samples; give one each"),
        ([0.0] * 8, r"one integer for each sample, not float64 of shape \(8,\)"),
        ([[0]] * 8, r"not int64 of shape \(8, 1\)"),
        (["a"] * 8, r"one integer for each sample, not <U1"),
    ):
        with pytest.raises(OnnxPruneError, match=says):
            evaluate(SAME, _given(_rows()), labels)
    maps = proto("(float[N,6] x) => (float[N,2,3] y) { y = Reshape(x, s) }", s=np.array([-1, 2, 3]))
    with pytest.raises(OnnxPruneError, match=r"the output 'y' is \(2, 3\) for a sample, not one"):
        evaluate(maps, _given(_rows()), [0] * 8)


def test_wrong_models(tmp_path: Path) -> None:
    rows, labels = _rows(), [0] * 8
    with pytest.raises(OnnxPruneError, match="needs labels, or the original model"):
        evaluate(SAME, _given(rows))
    with pytest.raises(OnnxPruneError, match=r"none.onnx: no such file; check the path"):
        evaluate("none.onnx", _given(rows), labels)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(OnnxPruneError, match=r"bad.onnx: onnxruntime does not load it: "):
        evaluate(SAME, _given(rows), against=tmp_path / "bad.onnx")
    with pytest.raises(OnnxPruneError, match="the model: onnxruntime does not run it on these"):
        evaluate(SAME, _given(rows[:, :4]), labels)
    other = proto("(float[N,6] z) => (float[N,6] y) { y = Identity(z) }")
    with pytest.raises(OnnxPruneError, match="take other inputs, x and z; give the original"):
        evaluate(SAME, _given(rows), against=other)
    fewer = proto("(float[N,6] x) => (float[N,2] y) { y = MatMul(x, w) }", "w 6 2")
    with pytest.raises(OnnxPruneError, match=r"shape \(3, 6\), and \(3, 2\) in the original; they"):
        evaluate(SAME, _given(rows), against=fewer)
    total = proto(
        "(float[N,6] x) => (float[6] y) { y = ReduceSum<keepdims=0>(x, a) }", a=np.array([0])
    )
    with pytest.raises(OnnxPruneError, match=r"shape \(6,\) for 3 samples, which are not on its"):
        evaluate(total, _given(rows), labels)
    empty = proto(
        "(float[N,6] x) => (float[N,0] y) { y = Slice(x, o, o, e) }",
        o=np.array([0]),
        e=np.array([1]),
    )
    with pytest.raises(OnnxPruneError, match=r"'y' is empty, of shape \(3, 0\); name another"):
        evaluate(empty, _given(rows), against=empty)
    with pytest.raises(OnnxPruneError, match=r"has no axis 2 of classes"):
        evaluate(SAME, _given(rows), labels, axis=2)
    with pytest.raises(OnnxPruneError, match=r"9 samples are announced, and its batches hold 8"):
        evaluate(SAME, Calibration(lambda: [{"x": rows}], 9), against=SAME)


@pytest.mark.parametrize("sizes", [(5, 1), (1, 5)])
def test_batches_of_other_lengths(sizes: tuple[int, int]) -> None:
    """The classes lie on the last axis of each."""
    batches = [
        {"x": np.random.default_rng(i).random((2, n, 3)).astype(np.float32)}
        for i, n in enumerate(sizes)
    ]
    same = proto("(float[N,T,3] x) => (float[N,T,3] y) { y = Identity(x) }")
    turned = proto("(float[N,T,3] x) => (float[N,T,3] y) { y = Neg(x) }")
    for model, agreeing in ((same, 12), (turned, 0)):
        found = evaluate(model, Calibration(lambda: batches, 4), against=same).fidelity
        assert found is not None
        assert found.agreement == Share(agreeing, 12)
