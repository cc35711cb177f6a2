"""Axes as products of factors: whatever is done to them, the same indices are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxprune.axes import Atoms, Factor, Factors
from onnxprune.axes.factors import deal, flatten, freeze, meet, size_of, take

WHY = 7


def labelled(atoms: Atoms, *sizes: int) -> Factors:
    """An axis with a fresh label for each factor; negative sizes are opaque."""
    return tuple(
        Factor(size, atoms.fresh(size).reshape(-1, 1)) if size > 0 else Factor(-size, None, WHY)
        for size in sizes
    )


def kept(atoms: Atoms, axis: Factors, keep: np.ndarray) -> np.ndarray:
    """Which indices of a static axis a choice keeps."""
    mask = np.ones(1, bool)
    for factor in axis:
        rows = np.ones(factor.size, bool)
        if factor.label is not None:
            rows = keep[atoms.resolve(factor.label)].all(axis=1)
        mask = np.logical_and.outer(mask, rows).reshape(-1)
    return mask


def choice(atoms: Atoms, seed: int) -> np.ndarray:
    keep = np.random.default_rng(seed).random(len(atoms)) < 0.7
    keep[0] = True
    return keep


def factorisations(size: int) -> st.SearchStrategy[list[int]]:
    """Ways to write a size as a product, some factors opaque."""

    @st.composite
    def build(draw: st.DrawFn) -> list[int]:
        rest, parts = size, []
        while rest > 1:
            part = draw(st.sampled_from([d for d in range(2, rest + 1) if rest % d == 0]))
            parts.append(part if draw(st.integers(0, 3)) else -part)
            rest //= part
        return parts

    return build()


@settings(deadline=None)
@given(st.data(), st.sampled_from([8, 12, 24, 36, 64]))
def test_axes_that_met_keep_the_same_indices(data: st.DataObject, size: int) -> None:
    atoms = Atoms()
    axes = [labelled(atoms, *data.draw(factorisations(size))) for _ in range(3)]
    for one in axes:  # axes that have learnt something already
        for factor in one:
            if factor.label is not None and data.draw(st.booleans()):
                atoms.freeze(factor.label[: data.draw(st.integers(1, factor.size))], 1)
    met = meet(atoms, meet(atoms, axes[0], axes[1], 2), axes[2], 2)
    for seed in range(5):
        masks = [kept(atoms, axis, choice(atoms, seed)) for axis in (*axes, met)]
        for mask in masks[1:]:
            assert np.array_equal(mask, masks[0])


@settings(deadline=None)
@given(st.data(), st.sampled_from([8, 12, 24, 36, 64]))
def test_dealing_and_flattening_keep_the_same_indices(data: st.DataObject, size: int) -> None:
    atoms = Atoms()
    axis = labelled(atoms, *data.draw(factorisations(size)))
    sizes = [abs(part) for part in data.draw(factorisations(size))]
    dealt = deal(atoms, axis, sizes, 2)
    assert len(dealt) == len(sizes)
    joined = tuple(factor for part in dealt for factor in part)
    flat = flatten(atoms, axis, 2)
    assert flat.size == size
    for part, expected in zip(dealt, sizes, strict=True):
        assert size_of(part) == expected
    for seed in range(5):
        keep = choice(atoms, seed)
        mask = kept(atoms, axis, keep)
        assert np.array_equal(mask, kept(atoms, joined, keep))
        assert np.array_equal(mask, kept(atoms, (flat,), keep))


def test_eight_by_sixteen_meets_four_by_thirty_two() -> None:
    atoms = Atoms()
    met = meet(atoms, labelled(atoms, 8, 16), labelled(atoms, 4, 32), 2)
    assert [factor.size for factor in met] == [4, 2, 16]
    assert all(atoms.resolve(factor.label).all() for factor in met if factor.label is not None)


def test_sizes_that_do_not_nest_freeze_both() -> None:
    atoms = Atoms()
    axes = labelled(atoms, 4, 9), labelled(atoms, 6, 6)
    meet(atoms, *axes, WHY)
    for axis in axes:
        for factor in axis:
            assert factor.label is not None
            assert not atoms.resolve(factor.label).any()
            assert (atoms.why(atoms.expand(factor.label)) == WHY).all()


def test_a_dynamic_factor_in_front_leaves_the_heads_alive() -> None:
    atoms = Atoms()
    batch = Factor(10007, None, 1, dynamic=True)
    heads = labelled(atoms, 8)
    met = meet(atoms, (batch, *heads), (batch, *labelled(atoms, 8)), 2)
    assert [factor.size for factor in met] == [10007, 8]
    assert atoms.resolve(met[1].label).all()  # type: ignore[arg-type]
    dealt = deal(atoms, (batch, *heads), [10007, 2, 4], 2)
    assert [size_of(part) for part in dealt] == [10007, 2, 4]
    assert atoms.resolve(heads[0].label).all()  # type: ignore[arg-type]
    assert [f.dynamic for f in dealt[0]] == [True]


def test_a_dynamic_factor_meets_a_label_and_freezes_it() -> None:
    atoms = Atoms()
    (label,) = labelled(atoms, 8)
    meet(atoms, (label,), (Factor(10007, None, 1, dynamic=True),), 2)
    assert not atoms.resolve(label.label).any()  # type: ignore[arg-type]


def test_flattening_a_dynamic_factor_with_a_label_freezes_it() -> None:
    atoms = Atoms()
    (label,) = labelled(atoms, 8)
    flat = flatten(atoms, (Factor(10007, None, 1, dynamic=True), label), 2)
    assert flat.label is None
    assert flat.dynamic
    assert not atoms.resolve(label.label).any()  # type: ignore[arg-type]
    assert flatten(atoms, (), 2).size == 1


def test_dealing_sizes_that_are_no_product_of_the_axis_freezes_it() -> None:
    for sizes in ([5, 7], [4, 9], [36]):
        atoms = Atoms()
        axis = labelled(atoms, 6, 4)
        deal(atoms, axis, sizes, 2)
        assert not any(atoms.resolve(f.label).any() for f in axis if f.label is not None)


def test_taking_repeats_and_reorders() -> None:
    atoms = Atoms()
    (label,) = labelled(atoms, 4)
    taken = take(label, np.array([3, 3, 0]))
    keep = choice(atoms, 0)
    keep[label.label[3]] = False  # type: ignore[index]
    assert kept(atoms, (taken,), keep).tolist()[:2] == [False, False]


def test_freezing_an_axis_freezes_every_factor() -> None:
    atoms = Atoms()
    axis = labelled(atoms, 3, -2, 4)
    freeze(atoms, axis, WHY)
    assert kept(atoms, axis, np.arange(len(atoms)) == 0).sum() == math.prod((3, 2, 4))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_opaque_axis_gives_its_reason(order: tuple[int, int]) -> None:
    atoms = Atoms()
    axes = labelled(atoms, 4), (Factor(4, None, WHY),)
    meet(atoms, axes[order[0]], axes[order[1]], 2)
    assert (atoms.why(atoms.expand(axes[0][0].label)) == WHY).all()  # type: ignore[arg-type]
