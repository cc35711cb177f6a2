"""Recurrent layers: every direction and layout, every optional operand there and not there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from onnxprune.oracle.examples.example import Example

__all__ = ["recurrent"]

_STEPS, _BATCH, _INPUT, _HIDDEN = 5, 3, 4, 6
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
_OPTIONAL = {
    "LSTM": ({"bias"}, {"lengths"}, {"h"}, {"c"}, {"peephole"}, {"bias", "h", "c", "peephole"}),
    "GRU": ({"bias"}, {"lengths"}, {"h"}, {"bias", "lengths", "h"}),
    "RNN": ({"bias"}, {"lengths"}, {"h"}, {"bias", "lengths", "h"}),
}


def recurrent() -> Iterator[Example]:
    """The examples."""
    for operator, optional in _OPTIONAL.items():
        for direction in _DIRECTIONS:
            for given in (set[str](), *optional):
                yield _layer(operator, direction, given)
            for given in (set[str](), optional[-1] - {"lengths"}):
                yield _layer(operator, direction, given, layout=1)
    yield from _varied()


def _varied() -> Iterator[Example]:
    """What attributes change, in both directions at once."""
    way, bias, reset = "bidirectional", {"bias"}, "linear_before_reset"
    yield _layer("LSTM", way, bias, clip=0.5)
    yield _layer("LSTM", way, bias, activations=["HardSigmoid", "Relu", "Softsign"] * 2)
    yield _layer("LSTM", way, bias | {"peephole"}, input_forget=1)
    yield _layer("LSTM", way, bias, results=1)
    for given in (set[str](), bias, bias | {"h", "lengths"}):
        yield _layer("GRU", way, given, **{reset: 1})
        yield _layer("GRU", "reverse", given, **{reset: 1})
    yield _layer("GRU", way, bias, layout=1, **{reset: 1})
    yield _layer("GRU", way, bias, clip=0.5, activations=["HardSigmoid", "Relu"] * 2)
    yield _layer(
        *("RNN", way, bias),
        clip=0.5,
        activations=["Affine", "Softplus"],
        activation_alpha=[0.7],
        activation_beta=[0.2],
    )


def _layer(
    operator: str,
    direction: str,
    given: set[str],
    results: int | None = None,
    layout: int = 0,
    **attributes: object,
) -> Example:
    """One layer; numbers of both signs, so small that no gate is fully open or shut.

    Args:
        operator: The operator.
        direction: Which way it runs.
        given: The optional operands that are there.
        results: How many results it has, all there are if None.
        layout: Whether the batch comes first.
        attributes: Other attributes.
    """
    random = np.random.default_rng(_STEPS)
    d, gates = _DIRECTIONS[direction], _GATES[operator]

    def drawn(*shape: int) -> npt.NDArray[np.float32]:
        return random.uniform(-0.8, 0.8, shape).astype(np.float32)

    def optional(name: str, *shape: int) -> npt.NDArray[np.float32] | None:
        return drawn(*shape) if name in given else None

    first, state = (
        ((_BATCH, _STEPS), (_BATCH, d, _HIDDEN))
        if layout
        else ((_STEPS, _BATCH), (d, _BATCH, _HIDDEN))
    )
    lengths = np.array([_STEPS, 2, 4], np.int32) if "lengths" in given else None
    operands = [
        drawn(*first, _INPUT),
        drawn(d, gates * _HIDDEN, _INPUT),
        drawn(d, gates * _HIDDEN, _HIDDEN),
        optional("bias", d, 2 * gates * _HIDDEN),
        lengths,
        optional("h", *state),
    ]
    if operator == "LSTM":
        operands += [optional("c", *state), optional("peephole", d, 3 * _HIDDEN)]
    count = results or (3 if operator == "LSTM" else 2)
    said = {"direction": direction, "hidden_size": _HIDDEN, **attributes}
    if layout:
        said["layout"] = layout
    return Example(
        operator, tuple(operands), results=tuple(map("y{}".format, range(count))), attributes=said
    )
