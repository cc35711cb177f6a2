"""Work that is cut goes on where it was, and comes to the same end to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers import feeds_of, proto
from planted import calibration, chosen, weights, with_weights
from small import MODELS
from test_recovery import CASES

import onnxprune as op
from onnxprune.calibration import Calibration
from onnxprune.calibration.statistics import Statistics, measure
from onnxprune.graph import Graph, load
from onnxprune.refit import Options, Refit, refit, sensitivity
from onnxprune.rewrite import prune
from onnxprune.runtime.journal import Journal
from onnxprune.units import find_units

ATTENTION = proto(
    """(float[N,5,6] x) => (float[N,5,3] y) {
        q = MatMul(x, wq)
        k = MatMul(x, wk)
        v = MatMul(x, wv)
        t = Transpose<perm=[0,2,1]>(k)
        s = MatMul(q, t)
        a = Softmax<axis=-1>(s)
        c = MatMul(a, v)
        r = Relu(c)
        y = MatMul(r, wo)
    }""",
    "wq 6 8, wk 6 8, wv 6 7, wo 7 3",
)


def _cut_after(count: int) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """A track that is interrupted when so many things are done."""

    def track(items: Sequence[Any]) -> Iterator[Any]:
        for i, item in enumerate(items):
            if i == count:
                raise KeyboardInterrupt
            yield item

    return track


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, it forbids that a model is run from now on."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model is run")

    def forbid() -> None:
        monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)

    return forbid


def _same_statistics(one: Statistics, other: Statistics) -> None:
    assert list(one.moments) == list(other.moments)
    for name, moments in one.moments.items():
        for part in ("mean", "square", "present", "covariance"):
            first, second = getattr(moments, part), getattr(other.moments[name], part)
            assert (first is None) == (second is None)
            if first is not None:
                np.testing.assert_array_equal(first, second)
    assert one.digest() == other.digest()


@pytest.mark.parametrize("name", ["chain", "residual", "squeeze_excite", "grouped", "attention"])
def test_measuring(name: str, tmp_path: Path, forbidden: Callable[[], None]) -> None:
    model = ATTENTION if name == "attention" else MODELS[name]()
    graph, inputs = load(model), calibration(model)
    whole = measure(graph, inputs, positions=3)
    count = len(whole.moments)
    for cut in range(count):
        folder = tmp_path / str(cut)
        with pytest.raises(KeyboardInterrupt):
            measure(graph, inputs, positions=3, track=_cut_after(cut), journal=Journal(folder))
        journal = Journal(folder)
        _same_statistics(measure(graph, inputs, positions=3, journal=journal), whole)
        assert (journal.taken, journal.added) == (cut, count - cut + 1)  # and queries and keys
    forbidden()
    _same_statistics(measure(load(model), inputs, positions=3, journal=Journal(folder)), whole)


def test_queries_and_keys_are_kept_too(tmp_path: Path, forbidden: Callable[[], None]) -> None:
    inputs = calibration(ATTENTION)
    (pair,) = measure(load(ATTENTION), inputs, journal=Journal(tmp_path)).pairs
    forbidden()
    (known,) = measure(load(ATTENTION), inputs, journal=Journal(tmp_path)).pairs
    assert (known.query, known.key) == (pair.query, pair.key) == ("MatMul_0", "MatMul_1")
    for part in ("queries", "keys", "groups", "query_square", "key_square"):
        np.testing.assert_array_equal(getattr(known, part), getattr(pair, part))


def test_what_is_different_is_measured_anew(tmp_path: Path) -> None:
    model = MODELS["chain"]()
    inputs = calibration(model)
    measure(load(model), inputs, journal=Journal(tmp_path))
    weight = weights(model)["net.conv1.weight"]
    weight[0, 0, 0, 0] += 1
    batches = [feeds_of(model, 16, seed=100 + i) for i in range(3)]
    batches[2]["x"][3, 1, 4, 4] += 1
    others: list[tuple[Graph, Calibration, dict[str, Any]]] = [
        (load(with_weights(model, {"net.conv1.weight": weight})), inputs, {}),
        (load(model), Calibration(lambda: batches, 48, "random numbers"), {}),
        (load(model), calibration(model, batch=24), {}),
        (load(model), inputs, {"seed": 1}),
        (load(model), inputs, {"positions": 2}),
        (load(model), inputs, {"covariances": False}),
    ]
    for graph, data, options in others:
        journal = Journal(tmp_path)
        _same_statistics(
            measure(graph, data, journal=journal, **options), measure(graph, data, **options)
        )
        assert journal.added >= 3
    journal = Journal(tmp_path)
    measure(load(model), calibration(model), journal=journal)
    assert (journal.taken, journal.added) == (4, 0)


def test_a_damaged_file_is_measured_again(tmp_path: Path) -> None:
    model = MODELS["residual"]()
    graph, inputs = load(model), calibration(model)
    whole = measure(graph, inputs, journal=Journal(tmp_path))
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        journal = Journal(tmp_path)
        _same_statistics(measure(graph, inputs, journal=journal), whole)
        assert (journal.taken, journal.added) == (len(paths) - 1, 1)
        assert path.read_bytes() == data


def test_sensitivities(tmp_path: Path, forbidden: Callable[[], None]) -> None:
    model = MODELS["squeeze_excite"]()
    units, inputs = find_units(load(model)), calibration(model)
    scores = {unit.name: np.arange(unit.num_channels) * 1.0 for unit in units.mutable}
    statistics = measure(units.graph, inputs)
    given = (units, scores, inputs, statistics)
    whole = sensitivity(*given)
    assert len(whole) > 1
    for cut in range(len(whole)):
        folder = tmp_path / str(cut)
        with pytest.raises(KeyboardInterrupt):
            sensitivity(*given, _cut_after(cut), Journal(folder))
        journal = Journal(folder)
        assert sensitivity(*given, journal=journal) == whole
        assert (journal.taken, journal.added) == (cut, len(whole) - cut)
    turned = {name: -score for name, score in scores.items()}
    other = measure(units.graph, inputs, seed=1)
    for different in ((units, turned, inputs, statistics), (units, scores, inputs, other)):
        journal = Journal(folder)
        assert sensitivity(*different, journal=journal) == sensitivity(*different) != whole
        assert (journal.taken, journal.added) == (0, len(whole))
    forbidden()
    assert sensitivity(*given, journal=Journal(folder)) == whole


def _same_refit(one: Refit, other: Refit) -> None:
    assert (one.fitted, one.left, one.samples) == (other.fitted, other.left, other.samples)
    assert one.graph.source == other.graph.source
    assert list(one.graph.initializers) == list(other.graph.initializers)
    for name, value in one.graph.initializers.items():
        first, second = value.const_value, other.graph.initializers[name].const_value
        assert first is not None
        assert second is not None
        assert first.tobytes() == second.tobytes()
        assert first.metadata_props == second.metadata_props


def _inputs_of(graph: Graph) -> list[tuple[str | None, list[str | None]]]:
    return [(n.name, [None if v is None else v.name for v in n.inputs]) for n in graph.nodes]


@pytest.mark.parametrize("method", ["sequential", "one-shot", "channel"])
@pytest.mark.parametrize("name", CASES)
def test_refitting(name: str, method: str, tmp_path: Path, forbidden: Callable[[], None]) -> None:
    """Wherever it is cut, in the middle of nodes that share a weight too."""
    model, kept, _ = CASES[name]
    units, inputs = chosen(model, kept), calibration(model)
    given, sites = (units, prune(units), inputs, Options(method=method, positions=3)), []
    whole = refit(*given, lambda found: sites.extend(found) or found)  # type: ignore[func-returns-value]
    ends = {id(site.weight): i for i, site in enumerate(sites)}.values()
    for cut in range(len(sites)):
        folder = tmp_path / str(cut)
        with pytest.raises(KeyboardInterrupt):
            refit(*given, _cut_after(cut), Journal(folder))
        journal = Journal(folder)
        found = refit(*given, journal=journal)
        _same_refit(found, whole)
        assert _inputs_of(found.graph) == _inputs_of(whole.graph)
        assert journal.added == sum(end >= cut for end in ends)
    forbidden()
    _same_refit(refit(*given, journal=Journal(folder)), whole)


def test_reasons_are_kept_too(tmp_path: Path, forbidden: Callable[[], None]) -> None:
    model, kept, _ = CASES["groups that go as a whole"]
    units = chosen(model, kept)
    given = (units, prune(units), calibration(model), Options(method="channel"))
    whole = refit(*given, journal=Journal(tmp_path))
    assert whole.left == dict.fromkeys(["Conv_1", "Conv_2"], "its groups go as a whole")
    assert whole.fitted == ["Conv_3"]
    forbidden()
    _same_refit(refit(*given, journal=Journal(tmp_path)), whole)


def test_another_refit_is_solved_anew(tmp_path: Path) -> None:
    model, kept, _ = CASES["a kernel over a border"]
    units = chosen(model, kept)
    small, inputs = prune(units), calibration(model)
    first = refit(units, small, inputs, journal=Journal(tmp_path))
    more = chosen(model, {**kept, "net.conv1.weight": range(9)})
    cases: list[tuple[op.Units, Graph, Calibration, Options]] = [
        (more, prune(more), inputs, Options()),
        (units, small, calibration(model, samples=32), Options()),
        (units, first.graph, inputs, Options()),
        *(
            (units, small, inputs, Options(**changed))  # type: ignore[arg-type]
            for changed in (
                {"method": "one-shot"},
                {"ridge": 1e-2},
                {"positions": 5},
                {"seed": 1},
                {"sums": False},
                {"columns": 100},
            )
        ),
    ]
    for case in cases:
        journal = Journal(tmp_path)
        _same_refit(refit(*case, journal=journal), refit(*case))
        refits = journal.taken - (case[2] is inputs)  # but for the queries and keys
        assert refits == 0
        assert journal.added >= 1
    journal = Journal(tmp_path)
    refit(units, small, inputs, Options(memory=1), journal=journal)
    assert (journal.taken, journal.added) == (3, 0)


def test_the_same_from_python(tmp_path: Path, forbidden: Callable[[], None]) -> None:
    model = MODELS["chain"]()
    onnx.save(model, tmp_path / "model.onnx")
    data = np.concatenate([feeds["x"] for feeds in calibration(model)])

    def small(work: Path | None, budget: float) -> tuple[op.Choices, Graph]:
        units = op.find_units(tmp_path / "model.onnx")
        samples = op.read_dataset(data, units.graph)
        evidence = op.measure_evidence(units, "obs", samples, scope="curves", work=work)
        choices = op.choose(units, op.macs(budget), "obs", scope="curves", evidence=evidence)
        return choices, op.prune(units, choices)

    def fitted(work: Path | None) -> Refit:
        choices, pruned = small(work, 0.5)
        return op.refit_weights(tmp_path / "model.onnx", pruned, data, choices, work=work)

    whole, other = fitted(None), small(None, 0.7)[0]
    _same_refit(fitted(tmp_path / "work"), whole)
    forbidden()
    _same_refit(fitted(tmp_path / "work"), whole)
    assert small(tmp_path / "work", 0.7)[0] == other  # another budget measures nothing
