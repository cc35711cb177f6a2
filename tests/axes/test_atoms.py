"""What is learnt of atoms holds for every choice, whatever else is learnt before or after it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxprune.axes import Atoms, Ids

Kept = Callable[[Ids], np.ndarray]  # label -> which rows a choice keeps


class World:
    """Atoms, labels made of them, and every fact that has been stated."""

    def __init__(self) -> None:
        self.atoms = Atoms()
        self.labels: list[Ids] = []
        self.facts: list[Callable[[Kept], bool]] = []
        self.frozen: list[Ids] = []

    def fresh(self, size: int) -> Ids:
        return self.add(self.atoms.fresh(size).reshape(-1, 1))

    def add(self, label: Ids) -> Ids:
        self.labels.append(label)
        return label

    def unify(self, a: Ids, b: Ids) -> None:
        self.atoms.unify(a, b, 1)
        self.facts.append(lambda kept: np.array_equal(kept(a), kept(b)))

    def freeze(self, label: Ids) -> None:
        self.atoms.freeze(label, 2)
        self.frozen.append(label)
        self.facts.append(lambda kept: bool(kept(label).all()))

    def split(self, label: Ids, outer: int) -> tuple[Ids, Ids]:
        x, y = self.atoms.split(label, outer, 3)
        assert len(x) == outer
        assert len(y) == len(label) // outer
        self.facts.append(
            lambda kept: np.array_equal(
                kept(label).reshape(outer, -1), kept(x)[:, None] & kept(y)[None, :]
            )
        )
        self.add(x)
        self.add(y)
        return x, y

    def check(self, choices: int = 20) -> None:
        """Every fact holds for random choices of the living atoms, and what is frozen stays."""
        random = np.random.default_rng(0)
        for label in self.frozen:
            assert not self.atoms.resolve(label).any()
        for label in self.labels:
            resolved = self.atoms.resolve(label)
            alive = resolved[resolved > 0]
            assert np.array_equal(self.atoms.find(alive), alive)
            assert (self.atoms.why(alive) < 0).all()
            assert np.array_equal(self.atoms.resolve(resolved), resolved)
        for i in range(choices):
            keep = random.random(len(self.atoms)) < (0.5, 0.8, 0.95)[i % 3]
            keep[0] = True

            def kept(label: Ids, keep: np.ndarray = keep) -> np.ndarray:
                return keep[self.atoms.resolve(label)].all(axis=1)

            for fact in self.facts:
                assert fact(kept)


def product(a: Ids, b: Ids) -> Ids:
    """The label of the axis (a b)."""
    return np.concatenate([np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1))], axis=1)


def wide(label: Ids, width: int) -> Ids:
    return np.pad(label, ((0, 0), (0, width - label.shape[1])))


def stack(a: Ids, b: Ids) -> Ids:
    """The label of the axis (a + b)."""
    width = max(a.shape[1], b.shape[1])
    return np.concatenate([wide(a, width), wide(b, width)])


def step(world: World, draw: Callable[[int], int]) -> None:
    """One random operator."""

    def pick(size: int | None = None) -> Ids:
        known = [x for x in world.labels if size is None or len(x) == size]
        return known[draw(len(known))] if known else world.fresh(size or 4)

    action = draw(10)
    if action == 0:
        world.fresh(draw(5) + 2)
    elif action == 1:
        a, b = pick(), pick()
        if len(a) * len(b) <= 24:
            world.add(product(a, b))
    elif action == 2:
        a, b = pick(), pick()
        if len(a) + len(b) <= 16:
            world.add(stack(a, b))
    elif action == 3:
        a = pick()
        world.add(a[[draw(len(a)) for _ in range(draw(len(a)) + 1)]])
    elif action == 4 and draw(3) == 0:
        a = pick()
        world.freeze(a[: draw(len(a)) + 1])
    elif action == 5:
        a = pick()
        divisors = [d for d in range(2, len(a)) if len(a) % d == 0]
        if divisors:
            world.split(a, divisors[draw(len(divisors))])
    elif action == 6:  # a permutation or a shift of itself
        a = pick()
        world.unify(a, np.roll(a, draw(len(a)), axis=0))
    else:
        a = pick()
        b = pick(len(a)) if draw(4) else world.fresh(len(a))
        world.unify(a, b)


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 14))
def test_every_fact_holds_for_every_choice(random: object, steps: int) -> None:
    world = World()
    world.fresh(4)
    for _ in range(steps):
        step(world, lambda n: random.randrange(n))  # type: ignore[attr-defined]
    world.check()


@pytest.mark.parametrize("seed", range(80))
def test_long_histories(seed: int) -> None:
    random = np.random.default_rng(seed)
    world = World()
    world.fresh(6)
    for _ in range(40):
        step(world, lambda n: int(random.integers(n)))
    world.check(6)


def test_a_split_tells_why_its_parts_are_frozen() -> None:
    atoms = Atoms()
    label = atoms.fresh(6).reshape(-1, 1)
    atoms.freeze(label[:3], 5)
    atoms.freeze(label[3:], 7)
    outer, inner = atoms.split(label, 2, 9)
    assert atoms.why(outer).tolist() == [[5], [7]]
    assert (atoms.why(inner) >= 5).all()
    other = atoms.fresh(2).reshape(-1, 1)
    atoms.unify(outer, other, 9)
    assert atoms.why(other).tolist() == [[5], [7]]


def test_a_split_says_nothing_of_what_was_never_frozen() -> None:
    atoms = Atoms()
    heads = np.repeat(atoms.fresh(2), 3).reshape(-1, 1)
    outer, inner = atoms.split(heads, 2, 9)
    assert atoms.why(outer).tolist() == [[-1], [-1]]
    assert not inner.any()
