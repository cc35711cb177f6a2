"""LSTM, GRU and RNN, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import overload

import torch
from torch import Tensor

from onnxprune.torch.errors import Leak
from onnxprune.torch.masked import (
    PRESENT,
    Footprint,
    Masked,
    contract,
    fill,
    levels_of,
    meet,
    tidy,
)
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import demand_whole, reshape

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Softplus": torch.nn.functional.softplus,
    "Softsign": torch.nn.functional.softsign,
    "Tanh": torch.tanh,
}
_SCALED: dict[str, Callable[..., Tensor]] = {
    "Affine": lambda x, alpha, beta: alpha * x + beta,
    "Elu": lambda x, alpha, beta: torch.where(x < 0, alpha * torch.expm1(x), x),
    "HardSigmoid": lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
    "LeakyRelu": lambda x, alpha, beta: torch.where(x < 0, alpha * x, x),
    "ScaledTanh": lambda x, alpha, beta: alpha * torch.tanh(beta * x),
    "ThresholdedRelu": lambda x, alpha, beta: torch.where(x > alpha, x, 0.0),
}
_ALPHAS = {"Elu": 1.0, "HardSigmoid": 0.2, "LeakyRelu": 0.01}
_BETAS = {"HardSigmoid": 0.5}
"""Where a scale is not told; for others the specification has none that runtimes agree on."""
_BIASED = {"Affine", "HardSigmoid", "ScaledTanh"}

_State = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class _Cell:
    """One direction of a layer.

    Attributes:
        recurrent: From the state to the gates, (gates * hidden, hidden).
        shift: What the state adds to the gates: its bias.
        peephole: From the cell to the gates; None if it has none.
        functions: The activation functions.
        clip: Between which the gates are clipped; None for no clipping.
        coupled: Whether an LSTM's forget gate is what its input gate is not.
        linear_first: Whether a GRU multiplies by its weight before it resets.
    """

    recurrent: Tensor
    shift: Tensor
    peephole: Tensor | None
    functions: list[Callable[[Tensor], Tensor]]
    clip: float | None
    coupled: bool
    linear_first: bool

    def clipped(self, x: Tensor) -> Tensor:
        return x if self.clip is None else x.clamp(-self.clip, self.clip)

    def lstm(self, given: Tensor, state: _State) -> _State:
        hidden, cell = state
        f, g, h = self.functions
        gates = given + hidden @ self.recurrent.T + self.shift
        i, o, forget, c = gates.chunk(4, -1)
        if self.peephole is not None:
            pi, po, pf = self.peephole.chunk(3, -1)
            i, forget = i + pi * cell, forget + pf * cell
        i = f(self.clipped(i))
        forget = 1 - i if self.coupled else f(self.clipped(forget))
        new = forget * cell + i * g(self.clipped(c))
        if self.peephole is not None:
            o = o + po * new
        return f(self.clipped(o)) * h(new), new

    def gru(self, given: Tensor, state: _State) -> _State:
        [hidden] = state
        f, g = self.functions
        size = hidden.shape[-1]
        gz, gr, gh = given.chunk(3, -1)
        sz, sr, sh = self.shift.chunk(3, -1)
        rz, rr, rh = (self.recurrent.narrow(0, i * size, size).T for i in range(3))
        z = f(self.clipped(gz + hidden @ rz + sz))
        r = f(self.clipped(gr + hidden @ rr + sr))
        inner = r * (hidden @ rh + sh) if self.linear_first else (r * hidden) @ rh + sh
        return ((1 - z) * g(self.clipped(gh + inner)) + z * hidden,)

    def rnn(self, given: Tensor, state: _State) -> _State:
        [hidden] = state
        return (self.functions[0](self.clipped(given + hidden @ self.recurrent.T + self.shift)),)


@operator("LSTM", "GRU", "RNN")
def _recurrent(call: Call) -> list[Masked]:
    kind = call.operator
    gates = _GATES[kind]
    batch_first = call.attribute("layout", 0)
    x = call.tensor(0).transpose(0, 1) if batch_first else call.tensor(0)
    steps, batch, _ = x.shape
    directions, _, size = call.tensor(2).shape
    hidden_levels = _hidden_levels(call, gates, directions, size)
    lengths = call.optional_setting(4)
    running = None if lengths is None else torch.arange(steps)[:, None] < lengths  # (t, b)
    starts = [call.optional(i) for i in ((5, 6) if kind == "LSTM" else (5,))]
    outputs, finals = [], []
    for d in range(directions):
        state = tuple(_start(s, x, (directions, batch, size), batch_first)[d] for s in starts)
        backward = call.attribute("direction", "forward") == "reverse" or d == 1
        y, state = _run(call, d, _turned(x, backward), _turned(running, backward), state)
        outputs.append(y.flip(0) if backward else y)
        finals.append(state)
    value = torch.stack(outputs, 1)  # (t, d, b, h)
    last = [torch.stack([final[i] for final in finals]) for i in range(len(starts))]
    order = (2, 0, 1, 3) if batch_first else (0, 1, 2, 3)
    levels = None if hidden_levels is None else hidden_levels[None, :, None]  # (1, d, 1, h)
    results = [Masked(fill(value, levels).permute(order), _permuted(levels, order))]
    for state_value in last:
        low = None if hidden_levels is None else hidden_levels[:, None]
        turn = (1, 0, 2) if batch_first else (0, 1, 2)
        results.append(Masked(fill(state_value, low).permute(turn), _permuted(low, turn)))
    return results


def _permuted(levels: Tensor | None, order: tuple[int, ...]) -> Tensor | None:
    return None if levels is None else levels.permute(order)


def _start(
    given: Masked | None, x: Tensor, shape: tuple[int, int, int], batch_first: bool
) -> Tensor:
    if given is None:
        return x.new_zeros(shape)
    return given.value.transpose(0, 1) if batch_first else given.value


@overload
def _turned(x: Tensor, backward: bool) -> Tensor: ...
@overload
def _turned(x: Tensor | None, backward: bool) -> Tensor | None: ...
def _turned(x: Tensor | None, backward: bool) -> Tensor | None:
    return x.flip(0) if backward and x is not None else x


def _run(
    call: Call, d: int, x: Tensor, running: Tensor | None, state: _State
) -> tuple[Tensor, _State]:
    """Run one direction over the whole sequence; where a row does not run, its state waits."""
    kind = call.operator
    weight, recurrent = call.tensor(1)[d], call.tensor(2)[d]
    bias, peephole = call.optional(3), call.optional(7)
    given = x @ weight.T
    shift = x.new_zeros(weight.shape[0])
    if bias is not None:
        first, shift = bias.value[d].chunk(2)
        given = given + first
    count = len(_DEFAULTS[kind])
    cell = _Cell(
        recurrent,
        shift,
        None if peephole is None else peephole.value[d],
        _activations(call)[d * count : (d + 1) * count],
        call.attribute("clip"),
        bool(call.attribute("input_forget", 0)),
        bool(call.attribute("linear_before_reset", 0)),
    )
    step = {"LSTM": cell.lstm, "GRU": cell.gru, "RNN": cell.rnn}[kind]
    outputs = []
    for t in range(x.shape[0]):
        new = step(given[t], state)
        if running is None:
            outputs.append(new[0])
            state = new
        else:
            here = running[t][:, None]
            outputs.append(torch.where(here, new[0], 0.0))
            state = tuple(torch.where(here, a, b) for a, b in zip(new, state, strict=True))
    return torch.stack(outputs), state


def _activations(call: Call) -> list[Callable[[Tensor], Tensor]]:
    """The activation functions of both directions; those that scale take the next numbers."""
    alphas = iter(call.attribute("activation_alpha", ()))
    betas = iter(call.attribute("activation_beta", ()))
    found: list[Callable[[Tensor], Tensor]] = []
    for name in call.attribute("activations") or _DEFAULTS[call.operator] * 2:
        if name in _FUNCTIONS:
            found.append(_FUNCTIONS[name])
        elif name in _SCALED:
            alpha = next(alphas, _ALPHAS.get(name))
            beta = next(betas, _BETAS.get(name)) if name in _BIASED else 0.0
            if alpha is None or beta is None:
                raise call.refuse(f"activation {name} without its scale")
            found.append(partial(_SCALED[name], alpha=alpha, beta=beta))
        else:
            raise call.refuse(f"activation {name}")
    return found


def _hidden_levels(call: Call, gates: int, directions: int, size: int) -> Tensor | None:
    """Which entries of the state are present, (d, h); checks that all operands agree."""
    if all(x is None or (x.levels is None and not x.born) for x in call.inputs):
        return None
    x, w, r = call[0], call[1], call[2]
    demand_whole(x, [0, 1], "over which the state runs", 0)
    for position, given in enumerate(call.inputs):
        if given is not None and position not in (0, 4):
            axis = 1 if position in (5, 6) and call.attribute("layout", 0) else 0
            demand_whole(given, [axis], "which are its directions", position)
    parted = reshape(w, [directions, gates, size, w.shape[2]])
    letters = "bti" if call.attribute("layout", 0) else "tbi"
    if x.marks is None and parted.marks is None:
        forward = None
    else:
        forward = contract((letters, x.marks), ("dqhi", parted.marks), "tbdqh")
    gate = torch.full((1, 1, 1), PRESENT, dtype=torch.uint8) if forward is None else forward[0, 0]
    hidden = gate.amax(1)  # (d, h)
    said = [(1, gate)]
    square = levels_of(reshape(r, [directions, gates, size, size]))
    said.append((2, square.amax(3)))
    bias, peephole = call.optional(3), call.optional(7)
    if bias is not None:
        said.append((3, levels_of(reshape(bias, [directions, 2 * gates, size]))))
    if peephole is not None:
        said.append((7, levels_of(reshape(peephole, [directions, 3, size]))))
    for position in (5, 6):
        start = call.optional(position)
        if start is not None:
            marks = start.marks if start.marks is not None else levels_of(start)
            said.append((position, marks.transpose(0, 1) if call.attribute("layout", 0) else marks))
    for position, levels in said:
        _agree(position, levels, hidden[:, None])
    _agree(2, square, torch.minimum(hidden[:, None, :, None], hidden[:, None, None, :]))
    tidied = tidy(hidden)
    return None if tidied is None else hidden


def _agree(position: int, levels: Tensor, hidden: Tensor) -> None:
    """Refuse an operand that misses other entries of the state than the input weight does."""
    try:
        meet([Footprint(hidden), Footprint(levels)])
    except Leak as leak:
        raise Leak(position, leak.detail) from None
