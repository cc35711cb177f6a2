"""Least squares, against numpy's by the singular values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.refit.dual import DualEquations, equations
from onnxprune.refit.normal import NormalEquations, solved

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""As much as float32 rows can tell."""


def _added(
    rows: np.ndarray, results: np.ndarray, centred: bool = True, batch: int = 7
) -> NormalEquations:
    """Fed batch by batch, in float32 as a model computes."""
    equations = NormalEquations(centred)
    for start in range(0, rows.shape[1], batch):
        part = slice(start, start + batch)
        equations.add(rows[:, part], results[:, part])
    return equations


def _case(
    groups: int, count: int, columns: int, results: int, mean: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, results and a prior that has nothing to do with them."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((groups, count, columns)) + mean
    truth = random.standard_normal((groups, columns, results))
    noise = random.standard_normal((groups, count, results))
    prior = random.standard_normal((groups, columns, results))
    return rows, rows @ truth + noise + 3, prior


def _reference(rows: np.ndarray, results: np.ndarray, centred: bool) -> np.ndarray:
    """(groups, columns + offset, results) by numpy, in float64."""
    found = []
    for x, y in zip(rows.astype(np.float64), results.astype(np.float64), strict=True):
        wide = np.concatenate([x, np.ones((len(x), 1))], axis=1) if centred else x
        found.append(np.linalg.lstsq(wide, y, rcond=None)[0])
    return np.stack(found)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99), st.booleans())
def test_enough_rows_give_numpys_solution(
    groups: int, columns: int, results: int, seed: int, centred: bool
) -> None:
    rows, wanted, prior = _case(groups, 40, columns, results, seed=seed)
    matrix, offset = _added(rows, wanted, centred).solve(prior, 1e-12)
    reference = _reference(rows, wanted, centred)
    np.testing.assert_allclose(matrix, reference[:, :columns], **CLOSE)
    if centred:
        np.testing.assert_allclose(offset, reference[:, columns], **CLOSE)


@pytest.mark.parametrize("mean", [100.0, 1000.0, -30000.0])
def test_a_mean_far_from_zero_costs_no_digits(mean: float) -> None:
    rows, _, prior = _case(2, 300, 4, 3)
    truth = np.random.default_rng(1).standard_normal((2, 4, 3))
    results = (rows @ truth + mean).astype(np.float32)
    rows = (rows + mean).astype(np.float32)
    matrix, offset = _added(rows, results, batch=50).solve(prior, 1e-12)
    reference = _reference(rows, results, centred=True)
    np.testing.assert_allclose(matrix, reference[:, :4], atol=1e-4)
    found = rows.astype(np.float64) @ matrix + offset[:, None]
    best = rows.astype(np.float64) @ reference[:, :4] + reference[:, 4:]
    np.testing.assert_allclose(found, best, atol=1e-3)


def test_means_that_move_from_batch_to_batch_are_one_mean() -> None:
    rows, results, prior = _case(1, 60, 3, 2)
    rows += np.linspace(0, 5, 60)[None, :, None]
    equations = _added(rows, results)
    np.testing.assert_allclose(equations.covariance()[0], np.cov(rows[0].T, bias=True), rtol=1e-9)
    np.testing.assert_allclose(equations.variance()[0], results[0].var(axis=0), rtol=1e-9)
    matrix, _ = equations.solve(prior, 1e-12)
    np.testing.assert_allclose(matrix, _reference(rows, results, True)[:, :3], **CLOSE)


def test_without_an_offset_moments_are_mean_products() -> None:
    rows, results, _ = _case(2, 40, 3, 2, mean=5)
    equations = _added(rows, results, centred=False)
    np.testing.assert_allclose(equations.covariance(), rows.swapaxes(1, 2) @ rows / 40)
    np.testing.assert_allclose(equations.variance(), np.square(results).mean(axis=1))


def test_columns_that_never_vary_keep_the_prior() -> None:
    rows, results, prior = _case(1, 50, 5, 2)
    rows[:, :, 1], rows[:, :, 3] = 0, 7
    matrix, offset = _added(rows, results).solve(prior, 1e-12)
    np.testing.assert_array_equal(matrix[:, [1, 3]], prior[:, [1, 3]])
    reference = _reference(rows[:, :, [0, 2, 4]], results, True)
    np.testing.assert_allclose(matrix[:, [0, 2, 4]], reference[:, :3], **CLOSE)
    np.testing.assert_allclose(
        rows @ matrix + offset[:, None],
        rows[:, :, [0, 2, 4]] @ reference[:, :3] + reference[:, 3:],
        **CLOSE,
    )


@pytest.mark.parametrize("ridge", [1e-6, 1e-3])
def test_fewer_rows_than_columns_fit_and_stay_near_the_prior(ridge: float) -> None:
    rows, results, prior = _case(2, 6, 30, 3)
    matrix, offset = _added(rows, results).solve(prior, ridge)
    assert np.isfinite(matrix).all()
    assert np.isfinite(offset).all()
    fitted = rows @ matrix + offset[:, None]
    np.testing.assert_allclose(fitted, results, atol=0.1 if ridge > 1e-4 else 1e-3)
    for x, moved in zip(rows - rows.mean(axis=1, keepdims=True), matrix - prior, strict=True):
        unseen = np.linalg.svd(x)[2][5:]  # what no row has a part in
        np.testing.assert_allclose(unseen @ moved, 0, atol=1e-6)


def test_one_row_moves_nothing_but_the_offset() -> None:
    rows, results, prior = _case(1, 1, 4, 2)
    matrix, offset = _added(rows, results).solve(prior, 1e-3)
    np.testing.assert_array_equal(matrix, prior)
    np.testing.assert_allclose(rows @ matrix + offset[:, None], results)


def test_columns_that_are_copies_share_the_work() -> None:
    rows, results, _ = _case(1, 50, 2, 2)
    twice = np.repeat(rows, 2, axis=2)
    matrix, _ = _added(twice, results).solve(np.zeros((1, 4, 2)), 1e-9)
    reference = _reference(rows, results, True)
    np.testing.assert_allclose(matrix[:, ::2], reference[:, :2] / 2, **CLOSE)
    np.testing.assert_allclose(matrix[:, 1::2], reference[:, :2] / 2, **CLOSE)


@pytest.mark.parametrize("seed", [53, 64, 133, 141, 187])
def test_copies_are_kept_small_without_a_ridge_too(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal((1, 50, 3)).astype(np.float32)
    rows = np.concatenate([x, x[:, :, :1], x[:, :, 1:2] + x[:, :, 2:]], axis=2)
    noise = 0.1 * random.standard_normal((1, 50, 2))
    results = (rows @ random.standard_normal((1, 5, 2)) + noise).astype(np.float32)
    matrix, _ = _added(rows, results, batch=50).solve(np.zeros((1, 5, 2)), 0.0)
    assert np.abs(matrix).max() < 10


def test_an_infinite_ridge_moves_only_the_offset() -> None:
    rows, results, prior = _case(2, 40, 4, 3, mean=2)
    matrix, offset = _added(rows, results).solve(prior, math.inf)
    np.testing.assert_array_equal(matrix, prior)
    np.testing.assert_allclose(offset, (results - rows @ prior).mean(axis=1), rtol=1e-9)


def test_the_ridge_pulls_to_the_prior_as_a_part_of_the_mean_variance() -> None:
    rows, results, prior = _case(1, 200, 4, 3)
    matrix, _ = _added(rows, results).solve(prior, 0.5)
    x, y = rows[0] - rows[0].mean(axis=0), results[0] - results[0].mean(axis=0)
    gram = x.T @ x / 200
    damped = gram + 0.5 * np.diagonal(gram).mean() * np.eye(4)
    wanted = prior[0] + np.linalg.solve(damped, x.T @ (y - x @ prior[0]) / 200)
    np.testing.assert_allclose(matrix[0], wanted, rtol=1e-9)


def test_units_do_not_matter() -> None:
    rows, results, prior = _case(1, 40, 3, 2)
    plain, _ = _added(rows, results).solve(prior, 1e-3)
    scaled, _ = _added(rows * 1e-6, results).solve(prior * 1e6, 1e-3)
    np.testing.assert_allclose(scaled * 1e-6, plain, rtol=1e-6)


def test_a_matrix_of_nothing_is_solved_by_nothing() -> None:
    right = np.ones((3, 2))
    np.testing.assert_array_equal(solved(np.zeros((3, 3)), right, 1e-3), np.zeros((3, 2)))


def test_what_is_not_definite_is_damped_until_it_is() -> None:
    gram = np.array([[1.0, 1.1], [1.1, 1.0]])
    assert np.isfinite(solved(gram, np.ones((2, 1)), 0.0)).all()


@given(st.integers(1, 3), st.integers(2, 9), st.integers(0, 99), st.booleans())
def test_rows_give_what_products_of_columns_give(
    groups: int, count: int, seed: int, centred: bool
) -> None:
    """With more columns than rows, one of which never varies."""
    rows, wanted, prior = _case(groups, count, 12, 3, mean=2, seed=seed)
    rows[:, :, 5] = 1 if centred else 0
    fed = NormalEquations(centred), DualEquations(centred)
    for one in fed:
        for part in (slice(0, 4), slice(4, None)):
            if rows[:, part].size:
                one.add(rows[:, part], wanted[:, part])
    for ridge in (1e-3, 1.0, math.inf):
        for found, reference in zip(*(one.solve(prior, ridge) for one in fed), strict=True):
            np.testing.assert_allclose(found, reference, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fed[0].variance(), fed[1].variance())
    np.testing.assert_allclose(fed[0].spread(prior), fed[1].spread(prior), rtol=1e-6)


def test_rows_are_kept_up_to_a_limit() -> None:
    rows, wanted, prior = _case(1, 5000, 3, 2)
    few, all_rows = DualEquations(), DualEquations()
    all_rows.add(rows[:, :4096], wanted[:, :4096])
    for start in range(0, 5000, 1000):
        few.add(rows[:, start : start + 1000], wanted[:, start : start + 1000])
    assert few.samples == 5000
    np.testing.assert_allclose(few.solve(prior, 1e-3)[0], all_rows.solve(prior, 1e-3)[0], atol=1e-2)


def test_the_number_of_columns_decides() -> None:
    assert isinstance(equations(8, 8), NormalEquations)
    assert isinstance(equations(9, 8), DualEquations)


def test_the_fewer_the_rows_the_firmer_is_the_sliced_matrix_kept_to() -> None:
    """Of noise, which tells nothing, the prior is the best; a given ridge is what it is."""
    random = np.random.default_rng(0)
    prior = np.zeros((1, 40, 3))
    sizes = []
    for count in (50, 500, 50000):
        rows, results = (
            random.standard_normal((1, count, 40)),
            random.standard_normal((1, count, 3)),
        )
        found = _added(rows, results)
        sizes.append([float(np.square(found.solve(prior, r)[0]).sum()) for r in (None, 1e-3)])
        share = max(1e-3, 0.4 * (40 / count) ** 1.5)
        np.testing.assert_allclose(found.solve(prior, None)[0], found.solve(prior, share)[0])
    assert sizes[0][0] < 0.9 * sizes[0][1]
    assert sizes[2][0] == sizes[2][1]
