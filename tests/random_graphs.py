"""Random small networks: a pure function of a seed, made of everything that moves channels."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import onnx
from helpers import ints, proto

SIDE = 4


class Network:
    """A network in the making; every tensor is (N, channels, SIDE, SIDE).

    Args:
        seed: Decides everything.
        opset: The version of the operator set, 13 or later.
    """

    def __init__(self, seed: int, opset: int = 18) -> None:
        self.random = random.Random(seed)
        self.opset = opset
        self.lines: list[str] = []
        self.weights: dict[str, object] = {}
        self.tensors: list[tuple[str, int]] = [("x", 3)]

    def weight(self, value: object) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = value
        return name

    def call(self, op: str, *inputs: str, results: int = 1, **attributes: object) -> list[str]:
        names = [f"t{len(self.lines)}_{i}" for i in range(results)]
        written = ", ".join(f"{k} = {v}" for k, v in attributes.items())
        marked = f"{op} <{written}>" if written else op
        self.lines.append(f"{', '.join(names)} = {marked} ({', '.join(inputs)})")
        return names

    def one(self, op: str, *inputs: str, **attributes: object) -> str:
        return self.call(op, *inputs, **attributes)[0]  # type: ignore[arg-type]

    def pick(self, channels: int | None = None) -> tuple[str, int]:
        known = [t for t in self.tensors[-8:] if channels in (None, t[1])]
        return self.random.choice(known)

    def add(self, name: str, channels: int) -> None:
        self.tensors.append((name, channels))

    def divisor(self, number: int) -> int:
        return self.random.choice([d for d in range(1, number + 1) if number % d == 0])

    def conv_to(self, channels: int) -> str:
        x, size = self.pick()
        group = self.random.choice([1, 1, np.gcd(size, channels)])
        kernel = self.random.choice([1, 3])
        weight = self.weight((channels, size // group, kernel, kernel))
        inputs = [x, weight, *([self.weight((channels,))] if self.random.random() < 0.6 else [])]
        pads = [kernel // 2] * 4
        return self.one("Conv", *inputs, group=group, pads=pads)

    def pieces(self) -> Sequence[Callable[[Self], None]]:
        """What the network is made of."""
        return PIECES

    # The pieces. Each adds a tensor.

    def conv(self) -> None:
        channels = self.random.choice([2, 4, 6, 8, 12])
        self.add(self.conv_to(channels), channels)

    def depthwise(self) -> None:
        x, size = self.pick()
        weight = self.weight((size * 2, 1, 1, 1))
        self.add(self.one("Conv", x, weight, group=size), size * 2)

    def activation(self) -> None:
        x, size = self.pick()
        if self.random.random() < 0.3:
            self.add(self.one("PRelu", x, self.weight((size, 1, 1))), size)
        else:
            self.add(self.one(self.random.choice(["Relu", "Sigmoid", "Tanh", "Identity"]), x), size)

    def norm(self) -> None:
        x, size = self.pick()
        variance = np.linspace(0.5, 1.5, size, dtype=np.float32)
        parameters = [*(self.weight((size,)) for _ in range(3)), self.weight(variance)]
        self.add(self.one("BatchNormalization", x, *parameters), size)

    def residual(self) -> None:
        x, size = self.pick()
        other = self.conv_to(size) if self.random.random() < 0.6 else self.pick(size)[0]
        self.add(self.one(self.random.choice(["Add", "Mul", "Sub", "Max"]), x, other), size)

    def concat(self) -> None:
        parts = [self.pick() for _ in range(self.random.choice([2, 2, 3]))]
        total = sum(size for _, size in parts)
        if total <= 24:
            self.add(self.one("Concat", *(x for x, _ in parts), axis=1), total)

    def split(self) -> None:
        x, size = self.pick()
        if size < 2:
            return
        first = self.random.randint(1, size - 1)
        sizes = [first, size - first]
        results = self.call("Split", x, self.weight(ints(*sizes)), results=2, axis=1)
        for name, part in zip(results, sizes, strict=True):
            self.add(name, part)

    def slice(self) -> None:
        x, size = self.pick()
        start = self.random.randint(0, size - 1)
        end = self.random.randint(start + 1, size)
        bounds = [ints(start - size if self.random.random() < 0.5 else start)]
        bounds.append(ints(2**63 - 1 if end == size else end))
        constants = [self.weight(bound) for bound in bounds]
        self.add(self.one("Slice", x, *constants, self.weight(ints(-3))), end - start)

    def gather(self) -> None:
        x, size = self.pick()
        indices = [self.random.randrange(-size, size) for _ in range(self.random.randint(1, size))]
        self.add(self.one("Gather", x, self.weight(ints(*indices)), axis=1), len(indices))

    def pad(self) -> None:
        x, size = self.pick()
        before, after = self.random.randint(0, 2), self.random.randint(0, 2)
        pads = self.weight(ints(0, before, 0, 0, 0, after, 0, 0))
        self.add(self.one("Pad", x, pads), size + before + after)

    def shuffle(self) -> None:
        x, size = self.pick()
        outer = self.divisor(size)
        wide = self.reshape(x, 0, outer, size // outer, SIDE, SIDE)
        turned = self.one("Transpose", wide, perm=[0, 2, 1, 3, 4])
        self.add(self.reshape(turned, 0, self.random.choice([-1, size]), SIDE, SIDE), size)

    def fold(self) -> None:
        """Part of the channels goes into the batch, a convolution is applied to each part."""
        x, size = self.pick()
        outer = self.divisor(size)
        inner = size // outer
        folded = self.reshape(x, -1, inner, SIDE, SIDE)
        new = self.random.choice([2, 3])
        made = self.one("Conv", folded, self.weight((new, inner, 1, 1)))
        self.add(self.reshape(made, -1, outer * new, SIDE, SIDE), outer * new)

    def linear(self) -> None:
        x, size = self.pick()
        turned = self.one("Transpose", x, perm=[0, 2, 3, 1])
        new = self.random.choice([3, 4, 6])
        made = self.one("MatMul", turned, self.weight((size, new)))
        biased = self.one("Add", self.weight((new,)), made)
        self.add(self.one("Transpose", biased, perm=[0, 3, 1, 2]), new)

    def pixels(self) -> None:
        """The spatial axes as one, then back, with the batch size read from the tensor."""
        x, size = self.pick()
        flat = self.reshape(x, 0, 0, -1)
        shape = self.one("Shape", x)
        sizes = self.one("Gather", shape, self.weight(ints(0, 1)), axis=0)
        target = self.one("Concat", sizes, self.weight(ints(SIDE, SIDE)), axis=0)
        self.add(self.one("Reshape", flat, target), size)

    def gate(self) -> None:
        x, size = self.pick()
        pooled = self.one("GlobalAveragePool", x)
        made = self.one("Conv", pooled, self.weight((size, size, 1, 1)))
        self.add(self.one("Mul", x, self.one("Sigmoid", made)), size)

    def expand(self) -> None:
        x, size = self.pick()
        made = self.one("Expand", x, self.one("Shape", x))
        self.add(self.one("Expand", made, self.weight(ints(size, 1, 1))), size)

    def reshape(self, x: str, *sizes: int) -> str:
        return self.one("Reshape", x, self.weight(ints(*sizes)))

    def build(self, pieces: int) -> onnx.ModelProto:
        """The network, with a convolution for each of its last tensors summed into the result."""
        self.conv()
        for _ in range(pieces):
            self.random.choice(self.pieces())(self)
        outputs = []
        for x, size in dict(self.tensors[-3:]).items():
            outputs.append(self.one("Conv", x, self.weight((2, size, 1, 1))))
        total = self.one("Sum", *outputs)
        self.lines.append(f"y = Identity({total})")
        body = "\n".join(self.lines)
        text = f"(float[N,3,{SIDE},{SIDE}] x) => (float[N,2,{SIDE},{SIDE}] y) {{ {body} }}"
        return proto(text, opset=self.opset, **self.weights)


PIECES: tuple[Callable[[Network], None], ...] = (
    *(Network.conv, Network.depthwise, Network.activation, Network.norm, Network.residual),
    *(Network.concat, Network.split, Network.slice, Network.gather, Network.pad),
    *(Network.shuffle, Network.fold, Network.linear, Network.pixels, Network.gate),
    Network.expand,
)
