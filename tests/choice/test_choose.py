"""Choosing what to keep."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import check_pruned, ints, proto, units_of
from small import MODELS

from onnxprune.budget import Budget, cost, macs, memory, params, ratio
from onnxprune.choice import choose, sample
from onnxprune.errors import BudgetError, ChoiceError, NothingToPrune, OnnxPruneError
from onnxprune.rewrite import prune
from onnxprune.units import Units


@pytest.fixture
def units() -> Units:
    return units_of(MODELS["chain"]())


def _counts(units: Units) -> list[int]:
    return [unit.current_choice for unit in units.mutable]


def _measure(of: str, units: Units) -> float:
    return float(getattr(cost(prune(units)), of) / getattr(cost(units.graph), of))


@pytest.mark.parametrize(
    ("fraction", "counts"),
    [(1.0, [8, 16]), (0.5, [4, 8]), (0.25, [2, 4]), (0.3, [2, 4]), (1e-6, [1, 1])],
)
def test_a_ratio_keeps_that_part_of_every_unit(
    units: Units, fraction: float, counts: list[int]
) -> None:
    choose(units, ratio(fraction))
    assert _counts(units) == counts


def test_a_ratio_counts_in_decimals_not_in_floats() -> None:
    units = units_of(
        proto(
            "(float[N,3] x) => (float[N,2] y) { h = MatMul(x, a)\n y = MatMul(h, b) }",
            "a 3 100, b 100 2",
        )
    )
    for percent in range(1, 101):
        choose(units, ratio(percent / 100))
        assert _counts(units) == [percent]


def test_the_channels_of_the_highest_importance_stay(units: Units) -> None:
    choose(units, ratio(0.5), "l2")
    weight = units.graph.initializers["net.conv0.weight"].const_value
    assert weight is not None
    best = np.argsort(-np.square(weight.numpy()).mean(axis=(1, 2, 3)))[:4]
    assert set(np.flatnonzero(units.mutable[0].mask)) == set(best)


@pytest.mark.parametrize("name", ["chain", "residual", "concat", "grouped", "split_channels"])
@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("of", ["macs", "params", "bytes", "memory"])
def test_a_budget_is_met_and_grows_with_what_is_asked(name: str, of: str, scope: str) -> None:
    units = units_of(MODELS[name]())
    met = []
    for fraction in (0.7, 0.75, 0.8, 0.9, 1.0):
        choose(units, Budget(of, fraction), scope=scope)
        if of == "bytes":  # the rewritten model may have a few more constants
            left = cost(prune(units)).params / cost(units.graph).params
        else:
            left = _measure(of, units)
        assert left <= fraction + 1e-12
        met.append(left)
    assert met == sorted(met)
    assert met[-1] == 1


@pytest.mark.parametrize("of", ["macs", "params"])
def test_a_budget_is_used_up(of: str) -> None:
    """One channel more in every unit would be too much."""
    units = units_of(MODELS["chain"]())
    choose(units, Budget(of, 0.5))
    counts = _counts(units)
    for unit, count in zip(units.mutable, counts, strict=True):
        unit.current_choice = min(unit.num_channels, count + 1)
    assert _measure(of, units) > 0.5


@pytest.mark.parametrize("budget", [ratio(0.3), macs(0.4), params(0.4)])
@pytest.mark.parametrize("importance", ["l1", "l2", "random"])
def test_the_same_question_has_the_same_answer(budget: Budget, importance: str) -> None:
    first, second = (
        choose(units_of(MODELS["residual"]()), budget, importance).to_json() for _ in range(2)
    )
    assert first == second


def test_earlier_choices_do_not_matter(units: Units) -> None:
    first = choose(units, macs(0.5))
    sample(units, 3)
    assert choose(units, macs(0.5)) == first


@pytest.mark.parametrize(
    ("fraction", "round_to", "counts"),
    [
        (0.5, 4, [4, 8]),
        (0.7, 4, [4, 12]),
        (0.8, 4, [8, 12]),
        (0.01, 4, [4, 4]),
        (0.5, 8, [8, 8]),
        (0.5, 32, [8, 16]),
        (1.0, 3, [8, 15]),
    ],
)
def test_counts_are_rounded_to_multiples(
    units: Units, fraction: float, round_to: int, counts: list[int]
) -> None:
    choose(units, ratio(fraction), round_to=round_to)
    assert _counts(units) == counts


@pytest.mark.parametrize("round_to", [0, -4])
def test_multiples_of_nothing(units: Units, round_to: int) -> None:
    with pytest.raises(OnnxPruneError, match="give 1 or more"):
        choose(units, ratio(0.5), round_to=round_to)


@pytest.mark.parametrize("pattern", ["net.conv0", "net.conv0_*", "*conv0*", "net.conv0_(0, 8)_8"])
def test_what_is_protected_stays_whole(units: Units, pattern: str) -> None:
    choose(units, ratio(0.5), protect=[pattern])
    assert _counts(units) == [8, 8]


def test_a_node_is_protected_by_its_name(units: Units) -> None:
    node = units.mutable[1].output_related[0].node
    choose(units, ratio(0.5), protect=[node])
    assert _counts(units) == [4, 16]


def test_protecting_what_does_not_exist(units: Units) -> None:
    with pytest.raises(ChoiceError, match=r"matches 'conv9'; units are named as net\.conv0"):
        choose(units, ratio(0.5), protect=["*conv1*", "conv9"])


def test_protecting_everything(units: Units) -> None:
    with pytest.raises(NothingToPrune, match="is protected"):
        choose(units, ratio(0.5), protect=["*"])


def test_a_budget_that_cannot_be_reached_says_what_can(units: Units) -> None:
    with pytest.raises(BudgetError, match=r"0\.001 of the MACs cannot be reached") as caught:
        choose(units, macs(0.001))
    smallest = float(str(caught.value).partition("leaves ")[2].split(";")[0])
    choose(units, macs(smallest + 1e-4))
    assert _counts(units) == [1, 1]
    assert (
        "; of that 52% in Conv 'Conv_0' ('x': a graph input keeps its shape), 30% in Gemm "
        "'Gemm_5' ('y': a graph output keeps its shape), 17% in Conv 'Conv_2' ('net.conv0_(0, 8)_8'"
        " keeps the least it may, 1); ask for more"
    ) in str(caught.value)


def test_what_blocks_a_budget() -> None:
    units = units_of(MODELS["barred_operator"]())
    with pytest.raises(BudgetError, match=r"35% in Conv 'Conv_1' \(LRN 'LRN_2': every channel"):
        choose(units, macs(0.01))
    units = units_of(MODELS["chain"]())
    with pytest.raises(BudgetError, match=r"'net.conv1.weight' \('net.conv1_\(0, 16\)_16' is prot"):
        choose(units, params(0.02), protect=["net.conv1"], at_least=4)
    with pytest.raises(
        BudgetError, match=r"99% in 'y' \('y': a graph output keeps its shape\); ask"
    ):
        choose(units, memory(0.2), at_least=0.5)


@pytest.mark.parametrize("scope", ["local", "global"])
def test_several_budgets_hold_together(units: Units, scope: str) -> None:
    budgets = [macs(0.5), params(0.9), memory(0.8), ratio(0.9)]
    choose(units, budgets, scope=scope)
    both = _counts(units)
    for budget in budgets[:-1]:
        assert _measure(budget.of, units) <= budget.fraction
    for budget in budgets:
        choose(units, budget, scope=scope)
        assert all(a <= b for a, b in zip(both, _counts(units), strict=True))
    choose(units, [ratio(0.5), macs(0.99)])
    assert _counts(units) == [4, 8]
    with pytest.raises(BudgetError, match=r"0\.001 of the MACs"):
        choose(units, [params(0.9), macs(0.001)])
    with pytest.raises(OnnxPruneError, match="There is no budget"):
        choose(units, [])


@pytest.mark.parametrize("pattern", ["net.conv0", "net.conv0_*", "*conv0*", "Conv_0"])
def test_only_what_is_asked_for_is_pruned(units: Units, pattern: str) -> None:
    choose(units, ratio(0.5), only=[pattern])
    assert _counts(units) == [4, 16]


def test_asking_for_what_cannot_be_pruned(units: Units) -> None:
    with pytest.raises(ChoiceError, match=r"Nothing to prune matches 'conv9'; units are named as"):
        choose(units, ratio(0.5), only=["*conv1*", "conv9"])
    with pytest.raises(
        NothingToPrune, match=r"'head_.*_1000', 'y': a graph output keeps its shape"
    ):
        choose(units, ratio(0.5), only=["head"])
    with pytest.raises(NothingToPrune, match=r"as for 'net\.conv0_\(0, 8\)_8', it is protected"):
        choose(units, ratio(0.5), only=["*conv0*"], protect=["*conv0"])


def test_protection_can_make_a_budget_impossible(units: Units) -> None:
    choose(units, params(0.3))
    with pytest.raises(BudgetError):
        choose(units, params(0.3), protect=["net.conv1"])


def test_nothing_to_prune_says_why() -> None:
    units = units_of(proto("(float[N,3] x) => (float[N,4] y) { y = MatMul(x, w) }", "w 3 4"))
    with pytest.raises(NothingToPrune, match="'y': a graph output keeps its shape"):
        choose(units, ratio(0.5))
    without = units_of(proto("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }"))
    with pytest.raises(NothingToPrune, match="has no weights"):
        choose(without, ratio(0.5))


def test_an_unknown_importance(units: Units) -> None:
    with pytest.raises(OnnxPruneError, match=r"there are: .*fpgm, .*l1, l2, lamp, "):
        choose(units, ratio(0.5), "magnitude")
    with pytest.raises(OnnxPruneError, match="no budget 'maks'; did you mean 'macs'"):
        choose(units, Budget("maks", 0.5))


@pytest.mark.parametrize("budget", [ratio(0.125), ratio(0.5), macs(0.6), params(0.7)])
@pytest.mark.parametrize("important", [[5, 4, 6, 7], [0, 5, 6, 7]])
def test_no_tensor_is_emptied(budget: Budget, important: list[int]) -> None:
    """The sum over the first half of the channels needs one of them, within the budget."""
    weight = np.ones((8, 3, 1, 1), np.float32)
    weight[important] = 9
    weight[2] = 2
    model = proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            p = Slice(a, start, end, axis)
            m = ReduceSum(p, axis)
            b = Mul(a, m)
            y = Conv(b, w1)
        }""",
        "w1 2 8 1 1",
        **{"w0": weight, "start": ints(0), "end": ints(4), "axis": ints(1)},
    )
    units = units_of(model)
    choose(units, budget)
    (unit,) = units.mutable
    assert unit.mask[0 if 0 in important else 2], "the best of those that are needed"
    assert next(units.empty(), None) is None
    if budget.of != "ratio":
        assert _measure(budget.of, units) <= budget.fraction
    check_pruned(model, units)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_samples_can_be_pruned(name: str) -> None:
    units = units_of(MODELS[name]())
    found = [sample(units, seed, (0.1, 0.6)) for seed in range(3)]
    assert found[0] == sample(units, 0, (0.1, 0.6))
    assert next(units.empty(), None) is None
    prune(units)
    if len(units.mutable) > 1:
        assert any(choices != found[0] for choices in found)
