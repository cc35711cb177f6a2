"""What was measured of activations, against numpy on all of them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import Arrays, feeds_of, proto, run, to_proto
from small import MODELS
from small_control import branches

from onnxprune.calibration import Calibration
from onnxprune.calibration.statistics import Moments, measure
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, load
from onnxprune.ops import linear_of

ALL = 1 << 20
"""More positions than any of these models has."""


def _batches(model: onnx.ModelProto, sizes: tuple[int, ...] = (5, 2, 4)) -> list[Arrays]:
    return [feeds_of(model, size, seed=size) for size in sizes]


def _calibration(batches: list[Arrays], origin: str = "random numbers") -> Calibration:
    return Calibration(lambda: batches, 11, origin)


def _rows(graph: Graph, batches: list[Arrays], name: str) -> np.ndarray:
    """(groups, n, columns) all rows that a node multiplies, in float64."""
    node = next(node for node in graph.nodes if node.name == name)
    form = linear_of(node, graph)
    assert form is not None
    data, result = node.inputs[form.data], node.outputs[0]
    assert data is not None
    model = to_proto(graph)
    for value in (data, result):
        if value.name not in {v.name for v in (*model.graph.input, *model.graph.output)}:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(value.name))
    found = []
    for feeds in batches:
        seen = {**feeds, **run(model, feeds)}
        shape = seen[str(result.name)].shape
        picked = np.arange(np.prod(shape) // shape[form.channels])
        found.append(form.rows(seen[str(data.name)].astype(np.float64), shape, picked))
    return np.concatenate(found, axis=1)


def _check(moments: Moments, rows: np.ndarray) -> None:
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(moments.mean, rows.mean(axis=1), **close)
    np.testing.assert_allclose(moments.square, np.square(rows).mean(axis=1), **close)
    np.testing.assert_allclose(moments.variance, rows.var(axis=1), **close)
    np.testing.assert_allclose(moments.present, (rows != 0).mean(axis=1), **close)
    assert moments.covariance is not None
    wanted = [np.cov(group.T, bias=True).reshape(rows.shape[2], -1) for group in rows]
    np.testing.assert_allclose(moments.covariance, wanted, **close)


@pytest.mark.parametrize(
    "name", ["chain", "residual", "flatten", "linear", "transposed", "squeeze_excite", "grouped"]
)
def test_all_rows_give_numpys_moments(name: str) -> None:
    model = MODELS[name]()
    graph, batches = load(model), _batches(model)
    found = measure(graph, _calibration(batches), positions=ALL)
    assert found.samples == 11
    assert found.origin == "random numbers"
    forms = {str(n.name): form for n in graph.nodes if (form := linear_of(n, graph)) is not None}
    assert found.moments
    assert {*found.moments} <= {*forms}
    for node, moments in found.moments.items():
        _check(moments, _rows(graph, batches, node))


def test_filters_of_single_channels_are_left_out() -> None:
    graph = load(MODELS["grouped"]())
    found = measure(graph, _calibration(_batches(MODELS["grouped"]())))
    assert list(found.moments) == ["Conv_0", "Conv_1", "Conv_3"]
    assert found.moments["Conv_1"].mean.shape == (4, 2)


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    model = proto("(float[N,6] x) => (float[N,3] y) { y = MatMul(x, w) }", "w 6 3")
    batches = [{"x": feeds["x"] + 1000} for feeds in _batches(model, (50, 60))]
    found = measure(load(model), _calibration(batches)).moments["MatMul_0"]
    rows = np.concatenate([feeds["x"] for feeds in batches]).astype(np.float64)
    np.testing.assert_allclose(found.variance[0], rows.var(axis=0), rtol=1e-3)
    assert found.covariance is not None
    np.testing.assert_allclose(found.covariance[0], np.cov(rows.T, bias=True), atol=1e-3)


def test_how_often_something_is_there() -> None:
    model = proto("(float[N,3] x) => (float[N,2] y) { r = Relu(x) y = MatMul(r, w) }", "w 3 2")
    x = np.array([[1, -1, 0], [2, -2, 0], [3, 3, 0], [-4, -4, 0]], np.float32)
    found = measure(load(model), _calibration([{"x": x[:1]}, {"x": x[1:]}])).moments["MatMul_1"]
    np.testing.assert_array_equal(found.present, [[0.75, 0.25, 0]])
    np.testing.assert_allclose(found.mean, [[1.5, 0.75, 0]])
    np.testing.assert_allclose(found.square, [[3.5, 2.25, 0]])


def test_some_positions_are_looked_at_by_a_seed() -> None:
    model = MODELS["chain"]()
    graph, batches = load(model), _batches(model)
    one, again, other = (
        measure(graph, _calibration(batches), positions=3, seed=seed).moments["Conv_0"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.mean, again.mean)
    assert not np.array_equal(one.mean, other.mean)
    # 3 of 64 positions of 11 samples
    assert np.unique(np.round(one.present * 33, 6) % 1).tolist() == [0]


def test_covariances_are_measured_if_they_are_asked_for() -> None:
    model = MODELS["chain"]()
    batches = _batches(model)
    plain = measure(load(model), _calibration(batches), covariances=False, positions=ALL)
    assert all(moments.covariance is None for moments in plain.moments.values())
    np.testing.assert_allclose(
        plain.moments["Conv_2"].variance,
        _rows(load(model), batches, "Conv_2").var(axis=1),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("memory", "kept"),
    [
        (8 * (16**2 + 27**2 + 72**2), ["Conv_0", "Conv_2", "Gemm_5"]),
        (8 * (16**2 + 27**2 + 72**2) - 1, ["Conv_0", "Gemm_5"]),
        (8 * 16**2, ["Gemm_5"]),
        (0, []),
    ],
)
def test_the_largest_covariances_are_left_out(memory: int, kept: list[str]) -> None:
    model = MODELS["chain"]()
    batches = _batches(model)
    found = measure(load(model), _calibration(batches), memory=memory, positions=ALL)
    assert [n for n, m in found.moments.items() if m.covariance is not None] == kept
    whole = measure(load(model), _calibration(batches), positions=ALL)
    for name, moments in found.moments.items():
        np.testing.assert_array_equal(moments.mean, whole.moments[name].mean)
        np.testing.assert_array_equal(moments.square, whole.moments[name].square)


def test_activations_beyond_the_memory_leave_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = MODELS["residual"]()
    measure(load(model), _calibration(_batches(model)), memory=0)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_nodes_are_tracked() -> None:
    model = MODELS["chain"]()
    seen: list[str] = []
    measure(
        load(model),
        _calibration(_batches(model)),
        track=lambda nodes: (seen.append(str(node.name)) or node for node in nodes),  # type: ignore[func-returns-value]
    )
    assert seen == ["Conv_0", "Conv_2", "Gemm_5"]


def test_the_model_is_run_as_it_is() -> None:
    model = MODELS["chain"]()
    graph = load(model)
    before = to_proto(graph).SerializeToString()
    measure(graph, _calibration(_batches(model)))
    assert to_proto(graph).SerializeToString() == before


@pytest.mark.parametrize(
    ("wrong", "how"), [(np.nan, "not finite"), (-np.inf, "not finite"), (-1e20, "too large")]
)
def test_what_cannot_be_squared_is_told(wrong: float, how: str) -> None:
    model = MODELS["chain"]()
    batches = _batches(model)
    batches[1]["x"][0, 1] = wrong
    with pytest.raises(
        OnnxPruneError,
        match=rf"^the model: what flows into Conv 'Conv_0' is {how} with these inputs "
        r"\(photos\); check their preprocessing\.$",
    ):
        measure(load(model), _calibration(batches, "photos"), positions=ALL)


def test_inputs_that_do_not_fit_are_told() -> None:
    wrong = [{"x": np.zeros((2, 5, 8, 8), np.float32)}]
    with pytest.raises(OnnxPruneError, match="does not run with these inputs"):
        measure(load(MODELS["chain"]()), _calibration(wrong))


def test_products_of_constants_and_inside_other_nodes_are_not_measured() -> None:
    model = branches()
    batches = _batches(model)
    for feeds in batches:
        feeds["flag"] = np.array([True])
    assert list(measure(load(model), _calibration(batches)).moments) == ["Conv_0", "Conv_7"]


def test_what_was_not_measured_has_the_same_digest_in_every_process() -> None:
    program = """
import numpy as np
from onnxprune.calibration.statistics import Moments, Statistics
moments = Moments(None, *np.ones((3, 1, 2)), covariance=None)
print(Statistics({"node": moments}, 1, "ones").digest())
"""
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True) for _ in range(3)]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    assert len({run.stdout for run in runs}) == 1
