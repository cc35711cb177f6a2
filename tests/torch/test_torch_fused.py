"""onnxruntime's own operators in the interpreter: the answers of onnxruntime, whole and smaller."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import onnx
import onnx_ir as ir
import pytest

torch = pytest.importorskip("torch")

from onnxprune.axes import Barred  # noqa: E402
from onnxprune.oracle import Case, understood  # noqa: E402
from onnxprune.oracle.examples.fused import fused  # noqa: E402
from onnxprune.oracle.remove import Removal, removal  # noqa: E402
from onnxprune.torch import Interpreter, LeakError, UnsupportedOperator  # noqa: E402
from onnxprune.torch.masked import Masked, compress  # noqa: E402
from onnxprune.torch.tensors import to_numpy  # noqa: E402

pytestmark = pytest.mark.torch

UNSUPPORTED = {
    *("com.microsoft::MaxpoolWithMask", "com.microsoft::MurmurHash3", "com.microsoft::Unique"),
    "com.microsoft::WordConvEmbedding",
}

# Names of rules that stand for where to read; the interpreter needs all of these places.
PLACES = {
    "com.microsoft::CropAndResize": {"r"},
    "com.microsoft::GatherND": {"x0"},
    "com.microsoft::GridSample": {"n", "s0", "s1"},
}


@cache
def cases() -> list[Case]:
    made = [example.case(str(number), number) for number, example in enumerate(fused())]
    return [case for case in made if case is not None]


OPERATORS = sorted({case.operator for case in cases()})


def interpreter(case: Case) -> Interpreter:
    """The node with all operands as its parameters."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    del model.functions[:]
    for i, array in enumerate(case.inputs):
        if array is not None:
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, f"x{i}"))
    return Interpreter(ir.from_proto(model))


def agree(case: Case, results: dict[str, Masked], expected: list[np.ndarray | None]) -> None:
    for i, wanted in enumerate(expected):
        if wanted is None:
            continue
        found = to_numpy(compress(results[f"y{i}"]))
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), case.node
        wide = [x.astype(np.float64) for x in (found, wanted)]
        np.testing.assert_allclose(*wide, rtol=1e-4, atol=1e-5)


def removals(case: Case) -> Iterator[Removal]:
    """Every index set of the node's rule without some of its indices."""
    known = understood(case)
    if isinstance(known, Barred):
        return
    rule, binding = known
    for name in rule.parsed.names():
        size = binding.sizes.get(name, 1)
        for gone in ([0], [*range(1, size, 2)]) if size > 1 else ():
            made = removal(case, rule, binding, name, gone)
            if made is not None:
                yield made


def test_every_example_runs() -> None:
    assert len(cases()) == len(list(fused()))


@pytest.mark.parametrize("operator", sorted({*OPERATORS} - UNSUPPORTED))
def test_the_answers_of_onnxruntime(operator: str) -> None:
    for case in cases():
        if case.operator == operator:
            agree(case, interpreter(case).run({}), list(case.outputs))


@pytest.mark.parametrize("operator", sorted(UNSUPPORTED))
def test_what_is_not_supported_is_refused(operator: str) -> None:
    for case in cases():
        if case.operator == operator:
            with pytest.raises(UnsupportedOperator):
                interpreter(case).run({})


@pytest.mark.parametrize("operator", sorted({*OPERATORS} - UNSUPPORTED - {"com.microsoft::Range"}))
def test_missing_entries_are_as_if_removed(operator: str) -> None:
    tried = 0
    for case in cases():
        for made in removals(case) if case.operator == operator else ():
            missing = {
                f"x{i}": {a: np.flatnonzero(~m) for a, m in enumerate(masks) if not m.all()}
                for i, masks in enumerate(made.taken)
                if any(not mask.all() for mask in masks)
            }
            if made.name in PLACES.get(operator, ()):
                with pytest.raises(LeakError):
                    interpreter(case).run({}, missing)
                continue
            results = interpreter(case).run({}, missing)
            agree(case, results, case.run(made.inputs(), made.model()))
            tried += 1
    assert tried
