"""How much to keep at each step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onnxprune.choice.schedule import cubic, linear
from onnxprune.errors import OnnxPruneError


def test_linear_takes_as_much_each_time() -> None:
    assert [linear(t, 4, 0.2) for t in range(5)] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    assert linear(1, 2, 0.5, start=0.7) == pytest.approx(0.6)


def test_cubic_is_the_schedule_of_zhu_and_gupta() -> None:
    """Sparsity s_t = s_f + (s_i - s_f) (1 - t / n) ** 3."""
    for t in range(11):
        sparsity = 0.9 + (0.1 - 0.9) * (1 - t / 10) ** 3
        assert cubic(t, 10, 0.1, start=0.9) == pytest.approx(1 - sparsity)


@pytest.mark.parametrize("schedule", [linear, cubic])
def test_schedules_go_from_the_start_to_the_end(schedule: Callable[..., float]) -> None:
    found = [schedule(t, 7, 0.3) for t in range(8)]
    assert found[0] == 1
    assert found[-1] == pytest.approx(0.3)
    assert found == sorted(found, reverse=True)
    assert schedule(3, 7, 0.5, start=0.5) == 0.5


@pytest.mark.parametrize("schedule", [linear, cubic])
@pytest.mark.parametrize(
    ("step", "steps", "final", "start"),
    [(5, 4, 0.5, 1.0), (-1, 4, 0.5, 1.0), (0, 0, 0.5, 1.0), (1, 4, 0.0, 1.0), (1, 4, 0.9, 0.5)],
)
def test_what_makes_no_sense(
    schedule: Callable[..., float],
    step: int,
    steps: int,
    final: float,
    start: float,
) -> None:
    with pytest.raises(OnnxPruneError, match=r"There is no step|cannot go from"):
        schedule(step, steps, final, start)
