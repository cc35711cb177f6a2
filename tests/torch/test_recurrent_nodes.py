"""Recurrent layers in torch: every example of the truth test, and sequences that lose channels."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import onnx_ir as ir  # noqa: E402

from onnxprune.oracle import Case  # noqa: E402
from onnxprune.oracle.evaluate import same  # noqa: E402
from onnxprune.oracle.examples.example import Example, example  # noqa: E402
from onnxprune.oracle.examples.recurrent import recurrent  # noqa: E402
from onnxprune.torch import LeakError, UnsupportedOperator, masked_twin  # noqa: E402

pytestmark = pytest.mark.torch

EXAMPLES = list(enumerate(recurrent()))


def case_of(made: Example) -> Case:
    case = made.case("case", 1)
    assert case is not None
    return case


def answers(case: Case, removed: dict[str, dict[int, np.ndarray]]) -> list[np.ndarray]:
    feeds = {f"x{i}": array for i, array in enumerate(case.inputs) if array is not None}
    return list(masked_twin(ir.from_proto(case.model), feeds, removed).values())


@pytest.mark.parametrize("made", [made for _, made in EXAMPLES], ids=[str(i) for i, _ in EXAMPLES])
def test_it_answers_as_the_operator(made: Example) -> None:
    case = case_of(made)
    assert all(map(same, answers(case, {}), case.outputs))


ACTIVATIONS = (
    ("Affine", [0.5], [0.1]),
    ("Elu", [0.7], []),
    ("HardSigmoid", [0.3], [0.4]),
    ("LeakyRelu", [0.2], []),
    ("ScaledTanh", [0.8], [1.2]),
    ("ThresholdedRelu", [0.1], []),
)


def numbers(*shape: int) -> np.ndarray:
    drawn = np.random.default_rng(sum(shape)).uniform(-0.8, 0.8, shape)
    return drawn.astype(np.float32)


def scaled(name: str, **scales: list[float]) -> Example:
    return example(
        "RNN",
        *(numbers(5, 3, 4), numbers(1, 6, 4), numbers(1, 6, 6)),
        activations=[name],
        hidden_size=6,
        **{key: value for key, value in scales.items() if value},
    )


@pytest.mark.parametrize(("name", "alpha", "beta"), ACTIVATIONS, ids=[a[0] for a in ACTIVATIONS])
def test_activations_that_scale(name: str, alpha: list[float], beta: list[float]) -> None:
    case = case_of(scaled(name, activation_alpha=alpha, activation_beta=beta))
    assert all(map(same, answers(case, {}), case.outputs))


@pytest.mark.parametrize("name", ["Elu", "HardSigmoid", "LeakyRelu"])
def test_scales_that_are_not_told(name: str) -> None:
    case = case_of(scaled(name))
    assert all(map(same, answers(case, {}), case.outputs))


@pytest.mark.parametrize("name", ["Affine", "ScaledTanh", "ThresholdedRelu"])
def test_scales_that_must_be_told(name: str) -> None:
    with pytest.raises(UnsupportedOperator, match=f"activation {name} without its scale"):
        answers(case_of(scaled(name)), {})


def test_numbers_go_to_the_next_activation_that_takes_one() -> None:
    made = example(
        "GRU",
        *(numbers(5, 3, 4), numbers(2, 18, 4), numbers(2, 18, 6)),
        activations=["Sigmoid", "LeakyRelu", "HardSigmoid", "Elu"],
        activation_alpha=[0.3, 0.1, 0.6],
        activation_beta=[0.4],
        direction="bidirectional",
        hidden_size=6,
    )
    case = case_of(made)
    assert all(map(same, answers(case, {}), case.outputs))


def test_sequences_of_different_length_that_lose_channels() -> None:
    lengths = np.array([5, 2, 4], np.int32)
    operands = [numbers(5, 3, 4), numbers(2, 24, 4), numbers(2, 24, 6)]
    made = [
        example(
            "LSTM", *some, None, lengths, results=3, direction="bidirectional", hidden_size=size
        )
        for some, size in (
            (operands, 6),
            (
                [
                    operands[0],
                    operands[1].reshape(2, 4, 6, 4)[:, :, [0, 2, 5]].reshape(2, 12, 4),
                    operands[2]
                    .reshape(2, 4, 6, 6)[:, :, [0, 2, 5]][..., [0, 2, 5]]
                    .reshape(2, 12, 3),
                ],
                3,
            ),
        )
    ]
    whole, small = map(case_of, made)
    gone = np.concatenate([np.array([1, 3, 4]) + 6 * gate for gate in range(4)])
    removed = {"x1": {1: gone}, "x2": {1: gone, 2: np.array([1, 3, 4])}}
    assert all(map(same, answers(whole, removed), small.outputs))
    with pytest.raises(LeakError):
        answers(whole, {**removed, "x4": {0: np.array([1])}})
