"""Small models around one operator each: the units they have, and what is left when they shrink."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import check_model, choose, close, ints, proto, run, to_proto, units_of, zeroed
from random_copies import Copies
from small_ops import SMALL

from onnxprune.rewrite import prune
from onnxprune.verification import verify


@pytest.mark.parametrize("name", sorted(SMALL))
def test_its_units(name: str) -> None:
    assert {unit.name for unit in units_of(SMALL[name].build()).mutable} == set(SMALL[name].units)


@pytest.mark.parametrize("name", sorted(name for name in SMALL if SMALL[name].exact))
def test_it_answers_as_the_zero_masked_original(name: str) -> None:
    check_model(SMALL[name].build())


@pytest.mark.parametrize("name", sorted(name for name in SMALL if not SMALL[name].exact))
def test_it_answers_as_the_masked_twin(name: str) -> None:
    units = units_of(SMALL[name].build())
    for seed in range(3):
        choose(units, seed, (0.5, 0.8, 0.2)[seed])
        verify(units, prune(units), reference="torch").check()


SHARED_KEYS = """(float[N,S,6] x) => (float[N,S,6] y) {
    q0 = MatMul(x, wq) q1 = Reshape(q0, sq) q = Transpose<perm=[0,2,1,3]>(q1)
    k0 = MatMul(x, wk) k1 = Reshape(k0, sk) k2 = Transpose<perm=[0,2,1,3]>(k1)
    v0 = MatMul(x, wv) v1 = Reshape(v0, sk) v2 = Transpose<perm=[0,2,1,3]>(v1)
    n = Shape<start=0, end=1>(x) s = Shape<start=1, end=2>(x)
    wide = Concat<axis=0>(n, two, three, s, four)
    merged = Concat<axis=0>(n, six, s, four)
    k3 = Unsqueeze(k2, two) k4 = Expand(k3, wide) k5 = Reshape(k4, merged)
    v3 = Unsqueeze(v2, two) v4 = Expand(v3, wide) v5 = Reshape(v4, merged)
    kt = Transpose<perm=[0,1,3,2]>(k5)
    a0 = MatMul(q, kt) a1 = Softmax(a0) o0 = MatMul(a1, v5)
    o1 = Transpose<perm=[0,2,1,3]>(o0) o2 = Reshape(o1, joined) y = MatMul(o2, wo)
}"""


def test_six_heads_that_share_two_keys() -> None:
    """Groups of heads go with their keys; so do the same heads of all groups, and positions."""
    model = proto(
        SHARED_KEYS,
        "wq 6 24, wk 6 8, wv 6 8, wo 24 6",
        **{"sq": ints(0, 0, 6, 4), "sk": ints(0, 0, 2, 4), "joined": ints(0, 0, -1)},
        **{"two": ints(2), "three": ints(3), "four": ints(4), "six": ints(6)},
    )
    units = check_model(model)
    assert sorted(unit.num_channels for unit in units.mutable) == [2, 3, 4, 4]
    choose(units, 0)
    verify(units, prune(units), reference="torch").check()


@pytest.mark.parametrize("seed", range(24))
def test_random_networks_of_copies(seed: int) -> None:
    check_model(Copies(seed).build(9), seeds=2, sizes=(2,))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_every_barrier_has_a_reason_in_words(name: str) -> None:
    units = units_of(SMALL[name].build())
    for barrier in units.labels.barriers:
        assert barrier.reason[0].islower()
        assert not set(barrier.reason) & set("<>{}=")


def test_an_axis_beside_sizes_that_cannot_be_compared() -> None:
    """The pixels are rows of a sequence; their number is computed while the model runs."""
    model = proto(
        """(float[N,3,H,W] x, int64[3] rows) => (float[N,P,Q,2] y) {
            a = Conv(x, w0)
            t = Transpose<perm=[0,2,3,1]>(a)
            s = Concat<axis=0>(rows, channels)
            r = Reshape(t, s)
            l = Relu(r)
            y = MatMul(l, w1)
        }""",
        "w0 8 3 1 1, w1 8 2",
        channels=ints(8),
    )
    units = units_of(model)
    assert [unit.num_channels for unit in units.mutable] == [8]
    random = np.random.default_rng(0)
    feeds = {"x": random.standard_normal((2, 3, 4, 6)).astype(np.float32), "rows": ints(2, 3, 8)}
    for seed in range(3):
        choose(units, seed)
        small = prune(units)
        assert units.mutable[0].current_choice < 8
        close(run(to_proto(small), feeds), run(zeroed(units.graph, small), feeds))


def test_a_table_of_all_indices_deals_them_out() -> None:
    """torch exports a strided view as a Gather of all indices in order."""
    model = proto(
        """(float[N,3,4,4] x) => (float[N,2,3] y) {
            a = Conv(x, w0)
            p = GlobalAveragePool(a)
            f = Flatten(p)
            g = Gather<axis=1>(f, table)
            h = MatMul(w1, g)
            y = MatMul(h, w2)
        }""",
        "w0 8 3 1 1, w1 2 2, w2 4 3",
        table=np.arange(8).reshape(2, 4),
    )
    units = check_model(model)
    assert sorted(unit.num_channels for unit in units.mutable) == [2, 4]
