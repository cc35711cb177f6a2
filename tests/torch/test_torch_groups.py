"""Grouped convolutions of which each group keeps channels of its own."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masked_models import Arrays, Removed, arrays, model, normal, sliced  # noqa: E402

from onnxprune.torch import LeakError, masked_twin  # noqa: E402

pytestmark = pytest.mark.torch

Missing = dict[str, dict[int, np.ndarray] | np.ndarray]

GROUPS = 2
KEPT_IN = [[0, 2], [1, 2]]  # of the 3 inputs of each group
KEPT_OUT = [[1, 3], [0, 2]]  # of the 4 outputs of each group


def flat(kept: list[list[int]], size: int) -> list[int]:
    return [group * size + i for group, indices in enumerate(kept) for i in indices]


def gone(kept: list[int], size: int) -> np.ndarray:
    return np.array(sorted(set(range(size)) - set(kept)))


def net(operator: str, groups: int, wide: int) -> str:
    return f"""m (float[a] x) => (float[b] y) {{
        h = Conv(x, w0)
        [middle] m = {operator}<group={groups}>(h, w1, b1)
        y = Conv(m, w2)
    }}""".replace("[a]", "[2,3" + ",5" * wide + "]").replace("[b]", "[2,2" + ",5" * wide + "]")


def weights(operator: str, rank: int) -> Arrays:
    one, kernel = [1] * rank, [2] * rank
    grouped = (8, 3) if operator == "Conv" else (6, 4)
    return {
        "w0": normal(6, 3, *one),
        "w1": normal(*grouped, *kernel),
        "b1": normal(8),
        "w2": normal(2, 8, *one),
    }


def keeps(operator: str) -> np.ndarray:
    """Which (row, column) of the grouped weight stay: others in each group."""
    rows, columns = (KEPT_OUT, KEPT_IN) if operator == "Conv" else (KEPT_IN, KEPT_OUT)
    sizes = (4, 3) if operator == "Conv" else (3, 4)
    kept = np.zeros((GROUPS * sizes[0], sizes[1]), bool)
    for group in range(GROUPS):
        kept[np.ix_([group * sizes[0] + i for i in rows[group]], columns[group])] = True
    return kept


def mask(kept: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What is removed, as a full boolean array."""
    rank = weight.ndim - kept.ndim
    return np.broadcast_to(~kept.reshape(*kept.shape, *[1] * rank), weight.shape)


def consistent(operator: str, rank: int) -> tuple[Arrays, Missing, Arrays]:
    """Weights, what is removed from them, and what is left."""
    whole, kept = weights(operator, rank), keeps(operator)
    inputs, outputs = flat(KEPT_IN, 3), flat(KEPT_OUT, 4)
    removed = {
        "w0": {0: gone(inputs, 6)},
        "w1": mask(kept, whole["w1"]),
        "b1": {0: gone(outputs, 8)},
        "w2": {1: gone(outputs, 8)},
    }
    small = {
        "w0": whole["w0"][inputs],
        "w1": whole["w1"][kept].reshape(4, 2, *[2] * rank),
        "b1": whole["b1"][outputs],
        "w2": whole["w2"][:, outputs],
    }
    return whole, removed, small


def run(body: str, values: Arrays, removed: Missing, rank: int) -> np.ndarray:
    feeds = {"x": normal(2, 3, *[5] * rank)}
    return masked_twin(model(body, values), feeds, removed)["y"]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_groups_that_keep_other_channels(operator: str, rank: int) -> None:
    body = net(operator, GROUPS, rank)
    whole, removed, small = consistent(operator, rank)
    got, want = run(body, whole, removed, rank), run(body, small, {}, rank)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_one_entry_that_disagrees(operator: str, rank: int) -> None:
    """The weight's mask must match in each group; no single (row, column) may differ."""
    body = net(operator, GROUPS, rank)
    whole, removed, _ = consistent(operator, rank)
    for place in np.ndindex(whole["w1"].shape[:2]):
        changed = np.array(removed["w1"])
        changed[place] ^= True
        with pytest.raises(LeakError, match="node 'middle'"):
            run(body, whole, {**removed, "w1": changed}, rank)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_groups_swapped(operator: str) -> None:
    """What is right for one group is not for another."""
    body = net(operator, GROUPS, 2)
    whole, removed, _ = consistent(operator, 2)
    half = len(whole["w1"]) // 2
    swapped = np.roll(np.array(removed["w1"]), half, 0)
    with pytest.raises(LeakError, match="node 'middle'"):
        run(body, whole, {**removed, "w1": swapped}, 2)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_one_place_of_the_kernel(operator: str) -> None:
    body = net(operator, GROUPS, 2)
    whole, removed, _ = consistent(operator, 2)
    for place in ((0, 0, 1, 1), (3, 1, 0, 0)):
        changed = np.array(removed["w1"])
        changed[place] ^= True
        with pytest.raises(LeakError, match="node 'middle'"):
            run(body, whole, {**removed, "w1": changed}, 2)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_whole_group_removed(operator: str, rank: int) -> None:
    whole = weights(operator, rank)
    removed: Missing = {
        "w0": {0: np.arange(3)},
        "w1": {0: np.arange(len(whole["w1"]) // 2)},
        "b1": {0: np.arange(4)},
        "w2": {1: np.arange(4)},
    }
    small = {
        "w0": whole["w0"][3:],
        "w1": whole["w1"][len(whole["w1"]) // 2 :],
        "b1": whole["b1"][4:],
        "w2": whole["w2"][:, 4:],
    }
    got = run(net(operator, GROUPS, rank), whole, removed, rank)
    want = run(net(operator, 1, rank), small, {}, rank)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def depthwise(operator: str, rank: int, multiplier: int) -> Arrays:
    one = [1] * rank
    grouped = (6 * multiplier, 1) if operator == "Conv" else (6, multiplier)
    return {
        "w0": normal(6, 3, *one),
        "w1": normal(*grouped, *[2] * rank),
        "b1": normal(6 * multiplier),
        "w2": normal(2, 6 * multiplier, *one),
    }


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_channels(operator: str, rank: int, multiplier: int) -> None:
    whole = depthwise(operator, rank, multiplier)
    out, kept = [1, 4], [0, 2, 3, 5]
    wide = [i * multiplier + j for i in out for j in range(multiplier)]
    rows = wide if operator == "Conv" else out
    removed: Removed = {
        "w0": {0: out},
        "w1": {0: rows},
        "b1": {0: wide},
        "w2": {1: wide},
    }
    small = sliced(whole, removed)
    got = run(net(operator, 6, rank), whole, arrays(removed), rank)
    want = run(net(operator, len(kept), rank), small, {}, rank)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose"])
def test_depthwise_results_of_each_channel(operator: str) -> None:
    """Of the 2 results of each channel, one stays, not the same everywhere."""
    whole = depthwise(operator, 2, 2)
    kept = [0, 3, 4, 7, 8, 11]
    stays = np.zeros(12, bool)
    stays[kept] = True
    grid = stays[:, None] if operator == "Conv" else stays.reshape(6, 2)
    removed: Missing = {
        "w1": mask(grid, whole["w1"]),
        "b1": {0: gone(kept, 12)},
        "w2": {1: gone(kept, 12)},
    }
    small = {
        "w0": whole["w0"],
        "w1": whole["w1"][grid if operator == "ConvTranspose" else stays].reshape(6, 1, 2, 2),
        "b1": whole["b1"][kept],
        "w2": whole["w2"][:, kept],
    }
    got = run(net(operator, 6, 2), whole, removed, 2)
    want = run(net(operator, 6, 2), small, {}, 2)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
