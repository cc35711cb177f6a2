"""What the tests of the command line share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from helpers import proto

Run = Callable[..., "Answer"]
Refused = Callable[..., str]


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def small_model() -> onnx.ModelProto:
    return proto(
        """(float[N,3,8,8] x) => (float[N,4] y) {
            c0 = Conv<pads=[1,1,1,1]>(x, "net.conv0.weight", "net.conv0.bias")
            r0 = Relu(c0)
            c1 = Conv<pads=[1,1,1,1]>(r0, "net.conv1.weight", "net.conv1.bias")
            p = GlobalAveragePool(c1)
            f = Flatten(p)
            y = Gemm<transB=1>(f, "head.weight", "head.bias")
        }""",
        "net.conv0.weight 8 3 3 3, net.conv0.bias 8, net.conv1.weight 16 8 3 3, "
        "net.conv1.bias 16, head.weight 4 16, head.bias 4",
    )


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
