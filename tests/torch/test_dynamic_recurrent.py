"""Dynamic recurrent layers are the plain ones, sliced by hand."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dynamic_checks import check, converted, keep, mutable, normal, randomised  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402

from onnxprune.errors import ChoiceError, OnnxPruneError, RefusedError  # noqa: E402
from onnxprune.torch.dynamic import DynamicGRU, DynamicLSTM, DynamicRNN  # noqa: E402

pytestmark = pytest.mark.torch

INS, HID, SIZE = [0, 2], [1, 2, 4], 5
GATES = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}


def slicer(gates: int, directions: int) -> Any:
    def sliced(name: str, t: Tensor) -> Tensor:
        t = torch.cat([t[g * SIZE : (g + 1) * SIZE][HID] for g in range(gates)])
        if name.startswith("weight_ih_l0"):
            t = t[:, INS]
        elif name.startswith("weight_ih"):
            t = torch.cat([t[:, d * SIZE : (d + 1) * SIZE][:, HID] for d in range(directions)], 1)
        elif name.startswith("weight_hh"):
            t = t[:, HID]
        return t

    return sliced


@pytest.mark.parametrize("cls", list(GATES))
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"bidirectional": True, "num_layers": 2, "batch_first": True},
        {"bias": False, "num_layers": 2},
    ],
    ids=str,
)
def test_recurrent(cls: Any, more: dict[str, Any]) -> None:
    directions = 2 if more.get("bidirectional") else 1

    def run(layer: Any, x: Tensor) -> list[Tensor]:
        y, hidden = layer(x)
        y = y.reshape(*y.shape[:2], directions, -1)
        hidden = hidden if isinstance(hidden, tuple) else (hidden,)
        return [y, *(h.unsqueeze(2) for h in hidden)]

    check(
        cls(3, SIZE, **more),
        cls(2, 3, **more),
        slicer(GATES[cls], directions),
        {"input_size": INS, "hidden_size": HID},
        normal(4, 2, 3),
        {2: INS},
        {3: (HID, SIZE)},
        run,
    )


@pytest.mark.parametrize("cls", list(GATES))
@pytest.mark.parametrize("masked", [False, True])
def test_a_given_state(cls: Any, masked: bool) -> None:
    plain, small = randomised(cls(3, SIZE)), cls(2, 3)
    small.load_state_dict({k: slicer(GATES[cls], 1)(k, v) for k, v in plain.state_dict().items()})
    op = converted(plain)
    keep(op, "input_size", INS, masked)
    keep(op, "hidden_size", HID, masked)
    x = normal(4, 2, 3)
    state = [normal(1, 2, SIZE, seed=n) for n in range(2 if cls is nn.LSTM else 1)]
    less = [h[..., HID] for h in state]

    def of(hidden: list[Tensor]) -> Any:
        return tuple(hidden) if cls is nn.LSTM else hidden[0]

    expected, last = small(x[..., INS], of(less))
    found, after = op(x, of(state)) if masked else op(x[..., INS], of(less))
    for a, b in zip(
        [found, *(after if cls is nn.LSTM else [after])],
        [expected, *(last if cls is nn.LSTM else [last])],
        strict=True,
    ):
        assert a.shape[-1] == (SIZE if masked else 3)
        torch.testing.assert_close(a[..., HID] if masked else a, b)
        assert not masked or not a[..., [0, 3]].any()
    with pytest.raises(OnnxPruneError, match=r"\(hidden_size\) is left with"):
        op(x if masked else x[..., INS], of([h[..., :2] for h in state]))


@pytest.mark.parametrize("cls", list(GATES))
@pytest.mark.parametrize("masked", [False, True])
def test_packed_sequences(cls: Any, masked: bool) -> None:
    plain, small = randomised(cls(3, SIZE, bidirectional=True)), cls(2, 3, bidirectional=True)
    small.load_state_dict({k: slicer(GATES[cls], 2)(k, v) for k, v in plain.state_dict().items()})
    op = converted(plain)
    keep(op, "input_size", INS, masked)
    keep(op, "hidden_size", HID, masked)
    x, lengths = normal(4, 3, 3), torch.tensor([2, 4, 1])
    expected, _ = small(pack_padded_sequence(x[..., INS], lengths, enforce_sorted=False))
    given = x if masked else x[..., INS]
    found, _ = op(pack_padded_sequence(given, lengths, enforce_sorted=False))
    a, b = pad_packed_sequence(found)[0], pad_packed_sequence(expected)[0]
    if masked:
        a = a[..., [*HID, *(SIZE + h for h in HID)]]
    torch.testing.assert_close(a, b)


def test_all_gates_and_layers_share_the_channels() -> None:
    op = DynamicLSTM(3, 2, num_layers=2, bidirectional=True)
    owner = mutable([1], 2)
    gates = [[0, 2, 4, 6], [1, 3, 5, 7]]
    for name in ("weight_ih_l0", "weight_hh_l1_reverse", "bias_ih_l1", "bias_hh_l0_reverse"):
        op.register(name, 0, owner, gates)
    op.register("weight_hh_l0", 1, owner, [[0], [1]])
    op.register("weight_ih_l1", 1, owner, [[0, 2], [1, 3]])
    op.register("weight_ih_l0", 1, mutable([0, 1], 3), range(3))
    op.register("weight_ih_l0_reverse", 1, mutable([0, 2], 3), range(3))
    assert len(op.container("hidden_size")._registered) == 1
    assert op.container("hidden_size").current_mask.tolist() == [False, True]
    assert op.container("input_size").current_mask.tolist() == [True, False, False]
    with pytest.raises(ChoiceError, match="no channels on axis 1 of bias_ih_l0"):
        op.register("bias_ih_l0", 1, owner, gates)
    with pytest.raises(ChoiceError, match="axis of size 2 has no position 2"):
        DynamicGRU(3, 2).register("weight_hh_l0", 1, owner, [[0], [2]])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projections() -> None:
    op = randomised(DynamicLSTM(3, 5, proj_size=2))
    owner = mutable([0, 2], 3)
    op.register("weight_ih_l0", 1, owner, range(3))
    small = nn.LSTM(2, 5, proj_size=2)
    small.load_state_dict(
        {k: v[:, INS] if k == "weight_ih_l0" else v for k, v in op.state_dict().items()}
    )
    x, state = normal(4, 1, 2), (normal(1, 1, 2), normal(1, 1, 5))
    torch.testing.assert_close(op(x, state), small(x, state))
    torch.testing.assert_close(op.to_static()(x, state), small(x, state))
    for name, axis in [("weight_hh_l0", 0), ("weight_hr_l0", 0), ("weight_hr_l0", 1)]:
        with pytest.raises(RefusedError, match=r"hidden channels .* proj_size .* stay whole"):
            op.register(name, axis, owner, range(3))
    keep(op, "hidden_size", [0])
    with pytest.raises(RefusedError, match=r"hidden channels .* proj_size .* stay whole"):
        op(x, state)


def test_conversion_leaves_the_plain_layer_alone() -> None:
    plain = randomised(nn.GRU(2, 3))
    op = converted(plain)
    op.weight_hh_l0 = nn.Parameter(torch.zeros(9, 3))
    assert plain._flat_weights[1] is plain.weight_hh_l0
    assert plain.weight_hh_l0.any()
    doubled = converted(plain).double()
    assert doubled(normal(2, 1, 2).double())[0].dtype == torch.float64


def test_a_nonlinearity_is_kept() -> None:
    op = randomised(DynamicRNN(3, 4, nonlinearity="relu"))
    keep(op, "input_size", [])
    with pytest.raises(ChoiceError, match="would lose every one of its input_size"):
        op(normal(2, 1, 0))
    op = randomised(DynamicRNN(3, 4, nonlinearity="relu"))
    keep(op, "hidden_size", [0, 1])
    assert bool((op(normal(5, 1, 3).abs() * 5)[0] > 1).any())
    assert repr(op.to_static()) == "RNN(3, 2)"
