"""Which units small models have, and why the rest stays whole."""

from __future__ import annotations

import pytest
import small_control  # noqa: F401 - registers its models
import small_shapes  # noqa: F401 - registers its models
from helpers import proto, units_of
from small import MODELS

from onnxprune.units import MutableChannelUnit, Units


def described(units: Units) -> dict[str, str]:
    """Mutable units: how many channels, where they come from and where they go."""

    def names(unit: MutableChannelUnit, side: str) -> str:
        return " ".join(dict.fromkeys(channel.name for channel in getattr(unit, side)))

    return {
        unit.name: f"{names(unit, 'output_related')} -> {names(unit, 'input_related')}".strip()
        for unit in units.mutable
    }


EXPECTED = {
    "chain": {
        "net.conv0_(0, 8)_8": "net.conv0 -> net.conv1",
        "net.conv1_(0, 16)_16": "net.conv1 -> head",
    },
    "residual": {"Conv_0_(0, 8)_8": "Conv_0 Conv_2 -> Conv_2 Conv_4"},
    "concat": {
        "Conv_0_(0, 4)_4": "Conv_0 BatchNormalization_3 -> BatchNormalization_3 Conv_4",
        "Conv_1_(0, 6)_6": "Conv_1 BatchNormalization_3 -> BatchNormalization_3 Conv_4",
    },
    "unequal_concats": {
        "Conv_0_(0, 2)_2": "Conv_0 Conv_3 -> Conv_8",
        "Conv_1_(0, 3)_3#2": "Conv_1 Conv_3 -> Conv_8",
        "Conv_2_(0, 2)_2": "Conv_2 Conv_4 -> Conv_8",
    },
    "grouped": {
        "Conv_0_(0, 8)_8": "Conv_0 -> Conv_1",
        "Conv_0_(0, 8)_4": "Conv_0 Conv_1 Conv_2 -> Conv_1 Conv_2 Conv_3",
        "Conv_1_(0, 12)_12": "Conv_1 Conv_2 -> Conv_2 Conv_3",
    },
    "transposed": {
        "Conv_0_(0, 8)_8": "Conv_0 -> ConvTranspose_1",
        "Conv_0_(0, 8)_2": "Conv_0 ConvTranspose_1 -> ConvTranspose_1 Conv_3",
        "ConvTranspose_1_(0, 6)_6": "ConvTranspose_1 -> Conv_3",
    },
    "flatten": {"Conv_0_(0, 8)_8": "Conv_0 -> Gemm_3"},
    "squeeze_excite": {
        "Conv_0_(0, 8)_8": "Conv_0 Conv_4 -> Conv_2 Conv_7",
        "Conv_2_(0, 4)_4": "Conv_2 -> Conv_4",
    },
    "linear": {"MatMul_0_(0, 12)_12": "MatMul_0 Add_1 -> Add_1 MatMul_3"},
    "tied": {
        "Gemm_0_(0, 8)_8": "Gemm_0 Gemm_3 -> Gemm_2 Gemm_5",
        "Gemm_2_(0, 7)_7": "Gemm_2 -> Gemm_3",
    },
    "barred_operator": {
        "Conv_0_(0, 8)_8": "Conv_0 -> Conv_1",
        "Conv_3_(0, 4)_4": "Conv_3 -> Conv_4",
    },
    "gather_channels": {
        "Conv_0_(1, 7)_3": "Conv_0 ->",
        "Conv_0_(0, 8)_4": "Conv_0 -> Conv_2",
    },
    "split_channels": {
        "Conv_0_(4, 8)_4": "Conv_0 -> Conv_4",
        "Conv_0_(0, 12)_4": "Conv_0 -> Conv_4",
    },
    "slice_channels": {"Conv_0_(0, 8)_4": "Conv_0 -> Conv_4"},
    "pad_channels": {
        "Conv_0_(0, 4)_4": "Conv_0 Conv_2 -> Conv_2 Conv_4",
        "Conv_2_(0, 7)_3": "Conv_2 -> Conv_2 Conv_4",
    },
    "shuffle": {"Conv_0_(0, 12)_3": "Conv_0 -> Conv_4", "Conv_0_(0, 12)_4": "Conv_0 -> Conv_4"},
    "attention": {
        "MatMul_0_(0, 12)_3": "MatMul_0 Add_1 MatMul_2 -> Add_1",
        "MatMul_0_(0, 12)_4": "MatMul_0 Add_1 MatMul_2 MatMul_3 -> Add_1 MatMul_27",
        "MatMul_3_(0, 12)_3": "MatMul_3 -> MatMul_27",
    },
    "merged_heads": {
        "MatMul_0_(0, 12)_4": "MatMul_0 -> MatMul_14",
        "MatMul_0_(0, 12)_3": "MatMul_0 -> MatMul_14",
    },
    "expanded": {"MatMul_0_(0, 8)_8": "MatMul_0 -> MatMul_3"},
    "squeezed": {"Conv_0_(0, 3)_3#2": "Conv_0 -> MatMul_3"},
    "resized": {"Conv_0_(0, 4)_4": "Conv_0 -> Conv_2", "Conv_2_(0, 6)_6": "Conv_2 -> Conv_7"},
    "reduced": {
        "Conv_0_(0, 4)_4": "Conv_0 -> Conv_1 Conv_3",
        "Conv_1_(0, 6)_6": "Conv_1 ->",
        "Conv_3_(0, 5)_5": "Conv_3 -> Conv_6",
    },
    "branches": {
        "Conv_0_(0, 6)_6": "Conv_0 -> Conv_3 Conv_5",
        "Conv_3_(0, 8)_8": "Conv_3 Conv_5 Mul_6 -> Mul_6 Conv_7",
    },
    "unequal_branches": {"Conv_0_(0, 6)_6": "Conv_0 -> Conv_2 Conv_3"},
    "loop": {
        "MatMul_1_(0, 8)_8": "MatMul_1 MatMul_5 MatMul_6 Add_8 -> MatMul_6 Add_8 MatMul_11 "
        "MatMul_12"
    },
    "scan": {
        "MatMul_4_(0, 8)_8": "MatMul_4 MatMul_5 -> MatMul_5 MatMul_8 MatMul_10",
        "MatMul_8_(0, 6)_6": "MatMul_8 -> MatMul_11",
    },
    "nested": {"MatMul_0_(0, 8)_4": "MatMul_0 MatMul_9 -> MatMul_9 MatMul_11"},
}


def test_every_small_model_is_described() -> None:
    assert EXPECTED.keys() == MODELS.keys()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_mutable_units(name: str) -> None:
    assert described(units_of(MODELS[name]())) == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_units_are_well_formed(name: str) -> None:
    units = units_of(MODELS[name]())
    assert len({unit.name for unit in units}) == len(units)
    for unit in units:
        assert (unit.why_not is None) == unit.is_mutable
        assert unit.output_related or unit.input_related
        for channel in (*unit.output_related, *unit.input_related):
            assert channel.num_channels == unit.num_channels
            shape = units.graph.shape(channel.tensor)
            assert shape is not None
            size = shape[channel.axis].size
            size = size if channel.blocks is None else channel.blocks.atoms.size
            assert channel.positions.max() < size
            assert len(set(channel.positions.reshape(-1))) == channel.positions.size


def test_the_chain_of_the_specification() -> None:
    units = units_of(MODELS["chain"]())
    assert [unit.name for unit in units] == [
        "net.conv0_(0, 3)_3",
        "net.conv0_(0, 8)_8",
        "net.conv1_(0, 16)_16",
        "head_(0, 1000)_1000",
    ]
    assert units[0].why_not == "'x': a graph input keeps its shape"
    assert units[3].why_not == "'y': a graph output keeps its shape"
    unit = units["net.conv0_(0, 8)_8"]
    assert [str(channel) for channel in unit.output_related] == [
        "Channel(net.conv0, index=(0, 8), is_output_channel=true, expand_ratio=1)"
    ]
    assert [str(channel) for channel in unit.input_related] == [
        "Channel(net.conv1, index=(0, 8), is_output_channel=false, expand_ratio=1)"
    ]


def test_flattened_pixels_belong_to_their_channel() -> None:
    unit = units_of(MODELS["flatten"]())["Conv_0_(0, 8)_8"]
    (gemm,) = unit.input_related
    assert gemm.index == (0, 32)
    assert gemm.expand_ratio == 4
    assert gemm.positions[1].tolist() == [4, 5, 6, 7]


def test_a_channel_that_is_concatenated_twice_has_two_places() -> None:
    unit = units_of(MODELS["concat"]())["Conv_0_(0, 4)_4"]
    last = unit.input_related[-1]
    assert last.positions.tolist() == [[0, 10], [1, 11], [2, 12], [3, 13]]


def test_a_barrier_holds_what_it_touches_and_nothing_else() -> None:
    units = units_of(MODELS["barred_operator"]())
    reason = "LRN 'LRN_2': every channel is divided by a sum over its neighbours"
    barred = [unit.name for unit in units if unit.why_not == reason]
    assert barred == ["Conv_1_(0, 6)_6", "Conv_3_(0, 6)_6"]


def test_padding_follows_what_it_meets() -> None:
    """Channels of zeros that are added to others are as many as those others."""
    unit = units_of(MODELS["pad_channels"]())["Conv_2_(0, 7)_3"]
    assert unit.output_related[0].positions.tolist() == [[0], [1], [6]]


def test_shared_biases_do_not_tie_layers() -> None:
    """Exporters merge equal tensors; that must not merge units."""
    units = units_of(
        proto(
            """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
                a = Conv(x, w0, b)
                c = Conv(a, w1, b)
                y = Conv(c, w2)
            }""",
            "w0 6 3 1 1, b 6, w1 6 6 1 1, w2 2 6 1 1",
        )
    )
    assert described(units) == {
        "Conv_0_(0, 6)_6": "Conv_0 -> Conv_1",
        "Conv_1_(0, 6)_6": "Conv_1 -> Conv_2",
    }


def test_an_input_that_no_rule_mentions_stays_whole() -> None:
    """The scales of Resize come from a weight here; they are no channels."""
    units = units_of(
        proto(
            """(float[N,3,4,4] x) => (float[N,2,8,8] y) {
                a = Conv(x, w0)
                u = Resize<mode="nearest">(a, , scales)
                y = Conv(u, w1)
                z = Add(scales, scales)
            }""",
            "w0 4 3 1 1, w1 2 4 1 1, scales 4",
        )
    )
    assert not units.mutable


SUBGRAPH = """(float[N,6] x, bool c) => (float[N,5] y) {
    h = MatMul(x, w0)
    k = MatMul(x, w1)
    z = If(c) <
        then_branch = g1 () => (float[N,8] a) { a = Relu(h) },
        else_branch = g2 () => (float[N,8] b) { b = Mul(h, scale) }
    >
    s = Add(z, v)
    p = Relu(k)
    q = MatMul(p, w3)
    r = MatMul(s, w2)
    y = Add(r, q)
}"""


def test_what_nested_graphs_use_goes_through_them() -> None:
    units = units_of(proto(SUBGRAPH, "w0 6 8, w1 6 7, w2 8 5, w3 7 5, scale 8, v 8"))
    assert [unit.num_channels for unit in units.mutable] == [8, 7]
    scales = [c.tensor.name for c in units.mutable[0].output_related]
    assert scales[-2:] == ["scale", "v"]


def test_constants_stand_for_their_module() -> None:
    """A weight that is computed from weights is still known by its name."""
    units = units_of(
        proto(
            """(float[N,6] x) => (float[N,5] y) {
                w0 = Transpose<perm=[1,0]>("fc1.weight")
                h = MatMul(x, w0)
                y = Gemm<transB=1>(h, "fc2.weight")
            }""",
            "fc1.weight 8 6, fc2.weight 5 8",
        )
    )
    assert described(units) == {"fc1_(0, 8)_8": "fc1 -> fc2"}
