"""Weights that serve several uses: tied unless the user asks otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import check_pruned, choose, close, feeds_of, proto, run, to_proto

from onnxprune import find_units
from onnxprune.errors import LoadError
from onnxprune.graph import load, save
from onnxprune.rewrite import prune
from onnxprune.units import Units


def embedding() -> onnx.ModelProto:
    """An embedding whose table projects to the vocabulary as well."""
    return proto(
        """(int64[N,4] ids) => (float[N,4,60] y) {
            a = Gather(table, ids)
            b = MatMul(a, w0)
            c = Relu(b)
            d = MatMul(c, w1)
            t = Transpose<perm=[1,0]>(table)
            y = MatMul(d, t)
        }""",
        "table 60 16, w0 16 8, w1 8 16",
    )


def sizes(units: Units) -> list[int]:
    return [unit.num_channels for unit in units.mutable]


def test_tied_weights_tie_their_channels() -> None:
    units = find_units(embedding())
    assert sizes(units) == [16, 8]
    assert len(units.mutable[0].input_related) == 2


@pytest.mark.parametrize("seed", range(3))
def test_untied_weights_are_pruned_apart(seed: int) -> None:
    units = find_units(embedding(), untie=True)
    assert sizes(units) == [16, 8, 16]
    choose(units, seed)
    pruned = check_pruned(embedding(), units)
    tables = [value.shape for name, value in pruned.initializers.items() if "table" in name]
    kept = [int(unit.mask.sum()) for unit in (units.mutable[0], units.mutable[2])]
    assert [shape[1] for shape in tables if shape is not None] == kept


def test_what_stays_equal_is_saved_as_one(tmp_path: Path) -> None:
    units = find_units(embedding(), untie=True)
    units.mutable[1].current_choice = 5
    pruned = prune(units)
    save(pruned, tmp_path / "small.onnx")
    small = onnx.load(tmp_path / "small.onnx")
    held = {tensor.name: tuple(tensor.dims) for tensor in small.graph.initializer}
    assert held == {"table": (60, 16), "w0": (16, 5), "w1": (5, 16)}
    feeds = {"ids": np.arange(8).reshape(2, 4)}
    close(run(small, feeds), run(to_proto(pruned), feeds))


def test_untying_changes_no_answer() -> None:
    whole, feeds = embedding(), feeds_of(embedding())
    close(run(to_proto(load(whole, untie=True)), feeds), run(whole, feeds))


def test_a_graph_that_is_loaded_cannot_be_untied() -> None:
    with pytest.raises(LoadError, match="when it is loaded"):
        find_units(load(embedding()), untie=True)
