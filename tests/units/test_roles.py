"""What the channels of a unit are."""

from __future__ import annotations

import pytest
import small_shapes
from helpers import proto, units_of
from small import MODELS

from onnxprune import choose
from onnxprune.budget import ratio
from onnxprune.errors import ChoiceError, NothingToPrune
from onnxprune.units import Units


def roles(units: Units) -> dict[str, str]:
    return {unit.name: unit.role for unit in units.mutable}


def test_attention_as_the_exporters_write_it() -> None:
    assert roles(units_of(small_shapes.attention())) == {
        "MatMul_0_(0, 12)_4": "head",
        "MatMul_0_(0, 12)_3": "head-size",
        "MatMul_3_(0, 12)_3": "head-size",
    }


def test_a_product_of_one_head_has_a_head_size_only() -> None:
    units = units_of(
        proto(
            """(float[N,5,6] x) => (float[N,5,6] y) {
                q = MatMul(x, wq)
                k = MatMul(x, wk)
                t = Transpose<perm=[0,2,1]>(k)
                a = MatMul(q, t)
                s = Softmax(a)
                v = MatMul(x, wv)
                o = MatMul(s, v)
                y = MatMul(o, wo)
            }""",
            "wq 6 8, wk 6 8, wv 6 7, wo 7 6",
        )
    )
    assert sorted(roles(units).values()) == ["channel", "head-size"]


def test_groups_of_several_channels() -> None:
    found = roles(units_of(MODELS["grouped"]()))
    assert found["Conv_0_(0, 8)_4"] == "group"
    assert found["Conv_0_(0, 8)_8"] == "channel"


def test_a_depthwise_convolution_has_channels() -> None:
    model = proto(
        """(float[N,3,4,4] x) => (float[N,2,4,4] y) {
            a = Conv(x, w0)
            b = Conv<group=6>(a, w1)
            y = Conv(b, w2)
        }""",
        "w0 6 3 1 1, w1 6 1 1 1, w2 2 6 1 1",
    )
    assert roles(units_of(model)) == {"Conv_0_(0, 6)_6": "channel"}


def test_a_recurrent_layer_has_a_hidden_state() -> None:
    model = proto(
        """(float[5,N,3] x) => (float[5,1,N,2] y) {
            h = GRU<hidden_size=8>(x, w, r)
            y = MatMul(h, v)
        }""",
        "w 1 24 3, r 1 24 8, v 8 2",
    )
    assert list(roles(units_of(model)).values()) == ["hidden"]


def test_only_what_is_asked_for_goes() -> None:
    units = units_of(small_shapes.attention())
    choose(units, ratio(0.5), roles=["head"])
    assert sorted((unit.role, unit.current_choice) for unit in units.mutable) == [
        ("head", 2),
        ("head-size", 3),
        ("head-size", 3),
    ]
    with pytest.raises(NothingToPrune, match="no unit of group may lose channels; those that may"):
        choose(units, ratio(0.5), roles=["group"])
    with pytest.raises(ChoiceError, match="no units of kind 'heads'; there are channel, hidden"):
        choose(units, ratio(0.5), roles=["heads"])


@pytest.mark.parametrize(
    "convolution",
    ["Conv<group=4>(a, w1)", 'com.microsoft.FusedConv<group=4, activation="Relu">(a, w1)'],
)
def test_groups_are_groups_whatever_is_fused(convolution: str) -> None:
    model = proto(
        f"""(float[N,3,4,4] x) => (float[N,2,4,4] y) {{
            a = Conv(x, w0)
            b = {convolution}
            y = Conv(b, w2)
        }}""",
        "w0 8 3 1 1, w1 8 2 1 1, w2 2 8 1 1",
    )
    assert sorted(roles(units_of(model)).values()) == ["channel", "channel", "group"]
