"""Models become dynamic where channels are registered, and plain again."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dynamic_checks import mutable, normal, randomised  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize  # noqa: E402

from onnxprune.errors import ChoiceError, RefusedError  # noqa: E402
from onnxprune.torch.dynamic import (  # noqa: E402
    DYNAMIC_OPS,
    DynamicBatchNorm2d,
    DynamicConv2d,
    DynamicEmbedding,
    DynamicLinear,
    DynamicOp,
    dynamic_op,
    register,
    to_static,
)

pytestmark = pytest.mark.torch

KEPT = [0, 3, 4]


class Net(nn.Module):
    """A convolution, a norm, a shift of its own and a classifier of eight classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.shift = nn.Parameter(torch.zeros(1, 6, 1, 1))
        self.register_buffer("scale", torch.ones(6))
        self.head = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x) + self.shift
        return self.head(y.mean((2, 3)) * self.scale)


PLACES = [
    ("body.0.weight", 0),
    ("body.0.bias", 0),
    ("body.1.weight", 0),
    ("body.1.bias", 0),
    ("body.1.running_mean", 0),
    ("body.1.running_var", 0),
    ("shift", 1),
    ("scale", 0),
    ("head.weight", 1),
]


def small_net(net: Net) -> Net:
    """The same without channels 1, 2 and 5, made by hand."""
    small = copy.deepcopy(net)
    small.body[0], small.body[1] = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
    small.shift = nn.Parameter(torch.zeros(1, 3, 1, 1))
    small.register_buffer("scale", torch.ones(3))
    small.head = nn.Linear(3, 8)
    state = {}
    for name, t in net.state_dict().items():
        if name in ("head.weight", "shift"):
            t = t[:, KEPT]
        elif name not in ("head.bias", "body.1.num_batches_tracked"):
            t = t[KEPT]
        state[name] = t.clone()
    small.load_state_dict(state)
    return small.train(net.training)


def registered(net: nn.Module, owner: Any) -> nn.Module:
    for name, axis in PLACES:
        register(net, name, axis, owner, range(6))
    return net


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_model(masked: bool, training: bool) -> None:
    net = randomised(Net()).train(training)
    assert isinstance(net, Net)
    small, owner = small_net(net), mutable(range(6), 6, masked)
    before, x = copy.deepcopy(net), normal(2, 3, 5, 5)
    parameters = {id(p) for p in net.parameters()}
    registered(net, owner)
    assert {id(p) for p in net.parameters()} == parameters
    whole = copy.deepcopy(net)
    assert torch.equal(whole(x), before(x))
    owner.current_mask[[1, 2, 5]] = False
    y, expected = net(x), small(x)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    assert net.shift.shape[1] == (6 if masked else 3)
    (y * normal(*y.shape)).sum().backward()
    (expected * normal(*y.shape)).sum().backward()
    grad = net.parametrizations.shift.original.grad
    torch.testing.assert_close(grad[:, KEPT], small.shift.grad, rtol=1e-4, atol=1e-5)
    assert not grad[:, [1, 2, 5]].any()
    torch.testing.assert_close(
        net.body[0].weight.grad[KEPT], small.body[0].weight.grad, rtol=1e-4, atol=1e-4
    )
    if masked:
        with pytest.raises(RefusedError, match=r"body\.0: DynamicConv2d: its out_channels cannot"):
            to_static(net)
        return
    static = to_static(net)
    assert repr(static) == repr(small)
    assert {type(m) for m in static.modules()} == {type(m) for m in small.modules()}
    assert static.training is training
    assert set(static.state_dict()) == set(small.state_dict())
    for name, tensor in small.state_dict().items():
        torch.testing.assert_close(static.state_dict()[name], tensor)
    torch.testing.assert_close(static(x), copy.deepcopy(small)(x))
    assert isinstance(static.shift, nn.Parameter)
    assert "scale" in static._buffers
    # The dynamic model is as it was.
    torch.testing.assert_close(net.eval()(x), small.eval()(x))
    assert net.shift.shape == (1, 3, 1, 1)
    owner.current_mask[:] = True
    assert net(x).shape == (2, 8)
    assert net.shift.shape == (1, 6, 1, 1)


def test_what_it_becomes() -> None:
    net = registered(Net(), mutable(KEPT, 6))
    assert type(net.body[0]) is DynamicConv2d
    assert type(net.body[1]) is DynamicBatchNorm2d
    assert type(net.body[2]) is nn.ReLU
    assert type(net.head) is DynamicLinear
    names = set(Net().state_dict()) - {"shift", "scale"}
    assert names < set(net.state_dict())
    # The names of before and of now say the same.
    register(net, "parametrizations.shift.original", 1, mutable([0], 6), range(6))
    register(net, "shift", 1, mutable([0], 6), range(6))
    assert net.shift.shape == (1, 1, 1, 1)
    assert len(net.parametrizations.shift) == 1


def test_masked_tensors_refuse_by_name() -> None:
    net = Net()
    register(net, "shift", 1, mutable([0], 6, masked=True), range(6))
    with pytest.raises(RefusedError, match=r"shift: its axis 1 cannot .* hard-coded .* 5 of 6"):
        to_static(net)


@pytest.mark.parametrize("masked", [False, True])
def test_several_axes_of_a_bare_parameter(masked: bool) -> None:
    net = nn.ParameterList([nn.Parameter(normal(4, 2, 6))])
    full, weights = net[0].detach().clone(), normal(4, 2, 6)
    register(net, "0", 2, mutable(KEPT, 6, masked), range(6))
    register(net, "0", 0, mutable([1], 2), [[0, 2], [1, 3]])
    expected = torch.zeros(2, 2, 6)
    expected[..., KEPT] = full[[1, 3]][..., KEPT]
    slots = range(6) if masked else KEPT
    assert torch.equal(net[0], expected[..., slots])
    (net[0] * weights[[1, 3]][..., slots]).sum().backward()
    grad = torch.zeros(4, 2, 6)
    for i in (1, 3):
        grad[i][:, KEPT] = weights[i][:, KEPT]
    assert torch.equal(net.parametrizations["0"].original.grad, grad)
    if not masked:
        assert torch.equal(to_static(net)[0], expected[..., KEPT])


def test_buffers_that_are_not_saved() -> None:
    net = nn.Sequential(nn.BatchNorm1d(6), nn.Module())
    net[0].register_buffer("running_mean", torch.zeros(6), persistent=False)
    net[1].register_buffer("table", torch.arange(6), persistent=False)
    names = list(net.state_dict())
    for name in ("0.running_mean", "1.table"):
        register(net, name, 0, mutable(KEPT, 6), range(6))
    static = to_static(net)
    assert list(net.state_dict()) == list(static.state_dict()) == names
    assert static[0].running_mean.shape == (3,)
    assert static[1].table.tolist() == KEPT


def test_a_copy_and_a_pickle() -> None:
    net = registered(randomised(Net()), mutable(KEPT, 6)).eval()
    x = normal(2, 3, 5, 5)
    assert torch.equal(copy.deepcopy(net)(x), net(x))
    body = pickle.loads(pickle.dumps(net.body))
    assert torch.equal(body(x), net.body(x))


class Tied(nn.Module):
    """One table for words and for logits; one layer that is used, and named, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 6)
        self.first = nn.Linear(6, 6)
        self.again = nn.ModuleList([self.first])
        self.listed = [self.first]
        self.named = {"it": self.first}
        self.pair = (self.first, 1)
        self.head = nn.Linear(6, 7)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.pair[0](self.named["it"](self.listed[0](self.again[0](self.first(self.embed(x))))))
        return self.head(x)


@pytest.mark.parametrize("table", ["embed.weight", "head.weight"])
@pytest.mark.parametrize("layer", ["first", "again.0"])
def test_shared_tensors_and_modules(table: str, layer: str) -> None:
    net = randomised(Tied())
    assert isinstance(net, Tied)
    ids, owner = torch.tensor([[1, 2, 6]]), mutable(KEPT, 6)
    weight, first = net.embed.weight.detach(), copy.deepcopy(net.first)
    for name, axis in [(table, 1), (f"{layer}.weight", 0), (f"{layer}.weight", 1)]:
        register(net, name, axis, owner, range(6))
    assert type(net.embed) is DynamicEmbedding
    assert type(net.head) is DynamicLinear
    assert net.head.weight is net.embed.weight
    assert net.first is net.again[0] is net.listed[0] is net.named["it"] is net.pair[0]
    y = weight[:, KEPT][ids]
    for _ in range(5):
        y = y @ first.weight[KEPT][:, KEPT].T + first.bias[KEPT]
    expected = (y @ weight[:, KEPT].T + net.head.bias).detach()
    torch.testing.assert_close(net(ids), expected, rtol=1e-5, atol=1e-5)
    static = to_static(net)
    assert static.head.weight is static.embed.weight
    assert static.first is static.again[0] is static.listed[0] is static.pair[0]
    assert type(static.first) is nn.Linear
    torch.testing.assert_close(static(ids), expected, rtol=1e-5, atol=1e-5)


def test_a_tie_with_a_layer_that_is_not_dynamic() -> None:
    net = Tied()
    register(net, "head.bias", 0, mutable(range(7), 7), range(7))
    assert type(net.embed) is nn.Embedding
    static = to_static(net)
    assert static.head.weight is static.embed.weight
    assert static.head.weight is not net.head.weight


def test_ties_of_different_slices_are_cut() -> None:
    net = Tied()
    with torch.no_grad():
        net.embed.weight.zero_()
    register(net, "embed.weight", 1, mutable(range(6), 6), range(6))
    net.head.get_mutable_attr("in_features").register_mutable(mutable([0, 1], 6))
    net.embed.get_mutable_attr("out_channels").register_mutable(mutable([0, 2], 6))
    static = to_static(net)
    assert static.head.weight is not static.embed.weight


def test_a_tie_that_cannot_be_is_not_begun() -> None:
    net = Tied()
    with pytest.raises(ChoiceError, match="DynamicEmbedding has no channels on axis 0"):
        register(net, "head.weight", 0, mutable([0], 7), range(7))
    assert type(net.head) is nn.Linear
    assert type(net.embed) is nn.Embedding


class Shares(nn.Module):
    """Two bare parameters that are one."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.ParameterList([nn.Parameter(normal(4))])
        self.two = nn.ParameterDict({"x": self.one[0]})

    def forward(self, x: Tensor) -> Tensor:
        return x * self.one[0] + self.two["x"]


def test_shared_parameters() -> None:
    net, x = Shares(), normal(2)
    weight = net.one[0].detach().clone()
    register(net, "two.x", 0, mutable([1, 3], 4), range(4))
    expected = x * weight[[1, 3]] + weight[[1, 3]]
    torch.testing.assert_close(net(x).detach(), expected)
    static = to_static(net)
    assert static.one[0] is static.two["x"]
    assert type(static.one) is nn.ParameterList
    torch.testing.assert_close(static(x).detach(), expected)


@pytest.mark.parametrize(
    ("name", "axis", "positions", "words"),
    [
        (
            "body.0.wieght",
            0,
            range(6),
            r"no parameter or buffer 'body\.0\.wieght'; .*body\.0\.weig",
        ),
        ("zzz", 0, range(6), r"no parameter or buffer 'zzz'\."),
        ("shift", 4, range(6), "A tensor of 4 axes has no axis 4"),
        ("shift", 1, range(5), r"shape \(6, repeats\)"),
        ("shift", 0, range(6), "An axis of size 1 has no position 1"),
        ("body.0.weight", 3, range(6), "DynamicConv2d has no channels on axis 3 of weight"),
        ("head.weight", 1, range(3, 9), "axis of size 6 has no position 6"),
        ("body.2.weight", 0, range(6), r"no parameter or buffer 'body\.2\.weight'"),
    ],
)
def test_what_cannot_be_registered(name: str, axis: int, positions: Any, words: str) -> None:
    net = Net()
    with pytest.raises(ChoiceError, match=words):
        register(net, name, axis, mutable(KEPT, 6), positions)
    assert repr(net) == repr(Net())


def test_the_model_itself() -> None:
    plain = nn.Linear(3, 6)
    with pytest.raises(ChoiceError, match=r"itself a Linear, .* wrap it in a module"):
        register(plain, "weight", 0, mutable(KEPT, 6), range(6))
    op = DynamicLinear(3, 6)
    register(op, "weight", 0, mutable(KEPT, 6), range(6))
    static = to_static(op)
    assert type(static) is nn.Linear
    assert repr(static) == "Linear(in_features=3, out_features=3, bias=True)"
    op.register("bias", 0, mutable([0], 6, masked=True), range(6))
    with pytest.raises(RefusedError, match=r"^DynamicLinear: its out_features cannot"):
        to_static(op)


def test_layers_without_that_parameter() -> None:
    net = nn.Sequential(nn.Linear(4, 6, bias=False), nn.LayerNorm(6, elementwise_affine=False))
    owner = mutable(KEPT, 6)
    for name in ("0.bias", "1.weight"):
        register(net, name, 0, owner, range(6))
    x = normal(2, 4)
    expected = nn.LayerNorm(3)(x @ net[0].weight[KEPT].T)
    torch.testing.assert_close(net(x), expected)
    torch.testing.assert_close(to_static(net)(x), expected)


def test_layers_that_are_parametrized_already() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    parametrizations.weight_norm(net[0])
    weight, bias = net[0].weight.detach(), net[0].bias.detach()
    owner, x = mutable(KEPT, 6), normal(2, 4)
    for name, axis in [("0.weight", 0), ("0.bias", 0), ("1.weight", 1)]:
        register(net, name, axis, owner, range(6))
    inner = x @ weight[KEPT].T + bias[KEPT]
    expected = (inner @ net[1].weight[:, KEPT].T + net[1].bias).detach()
    torch.testing.assert_close(net(x).detach(), expected)
    static = to_static(net)
    assert type(static[0]) is nn.Linear
    assert sorted(dict(static.named_parameters())) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    torch.testing.assert_close(static(x).detach(), expected)
    # A parametrization of the user's that no channel meets stays.
    other = nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 6)), nn.Linear(6, 2))
    expected = other(x).detach()
    register(other, "0.bias", 0, mutable(range(6), 6), range(6))
    static = to_static(other)
    assert parametrize.is_parametrized(static[0], "weight")
    assert not parametrize.is_parametrized(static[0], "bias")
    assert parametrize.is_parametrized(other[0], "bias")
    for layer in (static, other):
        torch.testing.assert_close(layer(x).detach(), expected)


class Encoder(nn.Module):
    def __init__(self, **more: Any) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 6, 0.0, batch_first=True, **more)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        return self.encoder(x, src_key_padding_mask=padding)


def hidden(net: nn.Module, kept: list[int], masked: bool) -> Callable[[], None]:
    """Channels of the feed-forward layer go; gives a function that zeroes them instead."""
    path = "encoder.layers.0"
    owner = mutable(kept, 6, masked)
    for name, axis in [("linear1.weight", 0), ("linear1.bias", 0), ("linear2.weight", 1)]:
        register(net, f"{path}.{name}", axis, owner, range(6))
    gone = [i for i in range(6) if i not in kept]

    def zero() -> None:
        with torch.no_grad():
            net.encoder.layers[0].linear2.weight[:, gone] = 0
        owner.current_mask[:] = True

    return zero


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("part", ["feed forward", "heads"])
def test_fused_layers_do_not_pass_the_dynamic_ones_by(
    part: str, padded: bool, masked: bool
) -> None:
    """nn.TransformerEncoder computes with weights itself in inference, if it may."""
    net = randomised(Encoder()).eval()
    plain = copy.deepcopy(net)
    x = normal(2, 4, 8)
    padding = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 1]], dtype=torch.bool) if padded else None
    there = torch.ones(2, 4, dtype=torch.bool) if padding is None else ~padding
    layer = plain.encoder.layers[0]
    with torch.no_grad():
        if part == "heads":
            owner = mutable([1], 2, masked)
            qkv = [[b * 8 + h * 4 + i for b in range(3) for i in range(4)] for h in range(2)]
            path = "encoder.layers.0.self_attn"
            register(net, f"{path}.in_proj_weight", 0, owner, qkv)
            register(net, f"{path}.in_proj_bias", 0, owner, qkv)
            register(net, f"{path}.out_proj.weight", 1, owner, [range(4), range(4, 8)])
            layer.self_attn.out_proj.weight[:, :4] = 0
        else:
            hidden(net, [1, 3], masked)
            layer.linear2.weight[:, [0, 2, 4, 5]] = 0
        expected = plain(x, padding)[there]
        torch.testing.assert_close(net(x, padding)[there], expected, rtol=1e-4, atol=1e-5)
        if not masked:
            static = to_static(net)
            assert static.encoder.layers[1].linear1.weight.shape == (6, 8)
            torch.testing.assert_close(static(x, padding)[there], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(x, padding)[there], expected, rtol=1e-4, atol=1e-5)


def test_other_peoples_operators() -> None:
    class Twice(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    try:

        @dynamic_op(Twice)
        class DynamicTwice(DynamicLinear, Twice):
            """Twice a linear layer."""

        net = nn.Sequential(Twice(3, 6))
        whole, owner = net(normal(2, 3)), mutable(range(6), 6)
        register(net, "0.weight", 0, owner, range(6))
        assert type(net[0]) is DynamicTwice
        assert torch.equal(net(normal(2, 3)), whole)
        owner.current_choice, expected = KEPT, whole[:, KEPT]
        torch.testing.assert_close(net(normal(2, 3)), expected)
        assert type(to_static(net)[0]) is Twice
        with pytest.raises(ValueError, match="of Twice is registered twice"):
            dynamic_op(Twice)(DynamicTwice)
        with pytest.raises(TypeError, match="DynamicTwice must derive from Conv1d"):
            dynamic_op(nn.Conv1d)(DynamicTwice)
    finally:
        del DYNAMIC_OPS[Twice]
    assert DynamicLinear.plain is nn.Linear


def test_a_layer_with_a_tensor_of_its_own_stays_what_it_is() -> None:
    class Gained(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 6)
            self.gain = nn.Parameter(normal(6))

        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) * self.gain

    net, x = nn.Sequential(Gained()), normal(2, 3)
    expected = net(x)[:, KEPT].detach()
    for name in ("0.weight", "0.bias", "0.gain"):
        register(net, name, 0, mutable(KEPT, 6), range(6))
    assert not isinstance(net[0], DynamicOp)
    assert net[0].weight.shape == (3, 3)
    torch.testing.assert_close(net(x).detach(), expected)
    static = to_static(net)
    assert type(static[0]) is Gained
    torch.testing.assert_close(static(x).detach(), expected)


def test_every_operator_is_of_its_plain_layer() -> None:
    for plain, dynamic in DYNAMIC_OPS.items():
        assert issubclass(dynamic, DynamicOp)
        assert dynamic.__name__ == f"Dynamic{plain.__name__}"
        assert issubclass(dynamic, plain)
        assert dynamic.plain is plain
