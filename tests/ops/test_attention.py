"""Attention: what may go, what attributes follow, and what each operator costs."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
from helpers import check_model, ints, proto, units_of
from small_attention import ATTENTION, MICROSOFT

from onnxprune.axes import Rule, parse
from onnxprune.budget.cost import cost
from onnxprune.graph import load
from onnxprune.ops import rules_for
from onnxprune.oracle import Case, judge
from onnxprune.oracle.examples.attention import attention
from onnxprune.rewrite import prune
from onnxprune.units import Units


def _smaller(units: Units) -> dict[str, dict[str, object]]:
    """Operator -> attributes, once every unit has lost a channel, or one of every group."""
    for unit in units.mutable:
        unit.current_choice = unit.num_channels - unit.num_groups
    return {
        node.op_type: {name: attribute.value for name, attribute in node.attributes.items()}
        for node in prune(units).model.graph
    }


@pytest.mark.parametrize("name", sorted(ATTENTION))
def test_its_units(name: str) -> None:
    sizes = sorted(unit.num_channels for unit in units_of(ATTENTION[name].build()).mutable)
    assert sizes == sorted(ATTENTION[name].units)


@pytest.mark.parametrize("name", sorted(ATTENTION))
def test_it_answers_as_the_zero_masked_original(name: str) -> None:
    check_model(ATTENTION[name].build())


def test_heads_are_counted_as_products_and_the_scale_stays() -> None:
    units = units_of(ATTENTION["groups of queries share keys"].build())
    made = _smaller(units)["Attention"]
    assert made == {"q_num_heads": 2, "kv_num_heads": 2, "scale": 0.5}


def test_a_scale_that_is_said_is_not_said_again() -> None:
    made = _smaller(units_of(ATTENTION["in order, and the scale is said"].build()))["Attention"]
    assert made["scale"] == pytest.approx(0.3)


def test_no_scale_is_said_where_only_heads_go() -> None:
    units = units_of(ATTENTION["groups of queries share keys"].build())
    for unit in units.mutable:
        if unit.num_channels == 3:
            unit.current_choice = 2
    nodes = {node.op_type: node for node in prune(units).model.graph}
    assert set(nodes["Attention"].attributes) == {"q_num_heads", "kv_num_heads"}
    assert nodes["Attention"].attributes["q_num_heads"].as_int() == 4


def test_a_part_that_is_turned_counts_both_of_each_pair() -> None:
    model = proto(
        """(float[2,S,6] x, int64[2,S] p) => (float[2,S,6] y) {
            q = MatMul(x, wq) q1 = Reshape(q, split) q2 = Transpose<perm=[0, 2, 1, 3]>(q1)
            r = RotaryEmbedding<rotary_embedding_dim=6>(q2, c, s, p)
            q3 = Transpose<perm=[0, 2, 1, 3]>(r) a = Reshape(q3, joined) y = MatMul(a, wo)
        }""",
        "wq 6 30, wo 30 6, c 99 3, s 99 3",
        23,
        split=ints(0, 0, 3, 10),
        joined=ints(0, 0, -1),
    )
    units = check_model(model)
    assert sorted(unit.num_channels for unit in units.mutable) == [3, 3, 4]
    assert _smaller(units)["RotaryEmbedding"]["rotary_embedding_dim"] == 4


def test_sizes_are_said_where_they_come_to_differ() -> None:
    units = units_of(ATTENTION["projected"].build())
    made = _smaller(units)["Attention"]
    assert made == {"num_heads": 2, "scale": 0.5}
    units.reset()
    keys = next(unit for unit in units.mutable if unit.name.startswith("Attention_0_(0, 24)"))
    keys.current_choice = 3
    (node,) = (n for n in prune(units).model.graph if n.op_type == "Attention")
    assert node.attributes["qkv_hidden_sizes"].value == (9, 9, 12)


def test_a_projection_produces_what_it_multiplies_itself() -> None:
    units = units_of(ATTENTION["projected"].build())
    for unit in units.mutable:
        assert [channel.name for channel in unit.output_related] == ["Attention_0"]


MACS = {
    # scores and weighted sums; the projections to q, k, v and y
    "groups of queries share keys": 2 * 5 * 5 * (24 + 30) + 2 * 5 * 6 * (24 + 12 + 15 + 30),
    "projected": 2 * 5 * 5 * (12 + 12) + 2 * 5 * (6 * 36 + 12 * 6),
    "projected to values of another size, and masked": (
        2 * 5 * 5 * (12 + 15) + 2 * 5 * (6 * 39 + 15 * 6)
    ),
    "separate": 2 * 5 * 5 * (12 + 15) + 2 * 5 * 6 * (12 + 12 + 15 + 15),
    "grouped, head sizes whole": 2 * 5 * 5 * (48 + 48) + 2 * 5 * 6 * (48 + 24 + 24 + 48),
}


def _fixed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with 5 positions."""
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == "S":
                dim.dim_value = 5
    return model


@pytest.mark.parametrize("name", sorted(MACS))
def test_its_cost(name: str) -> None:
    assert cost(load(_fixed(ATTENTION[name].build()))).macs == MACS[name]


def _case(operator: str, number: int = 0) -> Case:
    examples = [example for example in attention() if example.operator == operator]
    case = examples[number].case("example", 0)
    assert case is not None
    return case


@pytest.mark.parametrize(
    ("operator", "number", "sentence"),
    [
        ("Attention", 0, "b s (g k e), b t! (k e), b t! (k v) -> b s (g k v)"),
        ("Attention", 5, "b s (k g e), b t! (k e), b t! (k v) -> b s (k g v)"),
        (
            f"{MICROSOFT}::Attention",
            0,
            "b s! i, i (n e + n v + n e), (n e + n e + n v) -> b s (n v)",
        ),
        (
            f"{MICROSOFT}::MultiHeadAttention",
            1,
            "b s (e n), b t! (e n), b t! (v n), _ -> b s (v n)",
        ),
    ],
)
def test_the_oracle_finds_what_is_wrong(operator: str, number: int, sentence: str) -> None:
    case = _case(operator, number)
    rule = rules_for(case.graph)(case.node)
    assert isinstance(rule, Rule)
    assert judge(case, rule).wrong == []
    assert judge(case, replace(rule, sentence=sentence)).wrong != []


def test_what_stands_twice_in_one_weight_is_summed() -> None:
    sentence = parse("b s i, i (n e + n e + n v) -> b s (n v)")
    assert sentence.contracted == {"e", "i"}


def test_an_attribute_may_be_a_product() -> None:
    rule = Rule("(k g 2) -> (k g 2)", attributes={"heads": "k g", "size": "2", "keys": "k"})
    assert rule.stated({"k": 3, "g": 4}.__getitem__) == {"heads": 12, "size": 2, "keys": 3}


def test_what_cannot_be_tried_here_stays_whole() -> None:
    model = proto(
        f"""(float[2,S,6] x) => (float[2,S,12] y) {{
            q = MatMul(x, w) p = Reshape(q, split)
            y = {MICROSOFT}.MultiHeadAttention<num_heads=3>(p)
        }}""",
        "w 6 36",
        split=ints(0, 0, 3, 3, 4),
    )
    units = units_of(model)
    assert not units.mutable
    assert any("packed form" in barrier.reason for barrier in units.labels.barriers)
