"""Small models and ways to run them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from google.protobuf.message import Message

from onnxprune.errors import LoadError
from onnxprune.graph import load

CNN = """
<ir_version: 8, opset_import: ["" : OPSET]>
cnn (float[batch,3,8,8] x) => (float[batch,5] y) {
  c1 = Conv <pads = [1,1,1,1]> (x, w1, b)
  r1 = Relu (c1)
  c2 = Conv <pads = [1,1,1,1]> (r1, w2, b)
  s = Add (c2, r1)
  p = GlobalAveragePool (s)
  f = Flatten (p)
  y = Gemm <transB = 1> (f, w3, b3)
}
"""


def tensor(name: str, *shape: int, seed: int = 0) -> ir.Tensor:
    """A random float tensor."""
    data = np.random.default_rng([seed, *name.encode()]).normal(size=shape)
    return ir.Tensor(data.astype(np.float32), name=name)


def cnn(opset: int = 17) -> ir.Model:
    """Two convolutions that share their bias, a residual, and a classifier."""
    text = CNN.replace("OPSET", str(opset))
    return text_model(
        text,
        tensor("w1", 4, 3, 3, 3),
        tensor("w2", 4, 4, 3, 3),
        tensor("b", 4),
        tensor("w3", 5, 4),
        tensor("b3", 5),
    )


def text_model(text: str, *tensors: ir.TensorProtocol) -> ir.Model:
    """Parse ONNX text whose undefined values are the given tensors."""
    proto = onnx.parser.parse_model(text)
    for item in tensors:
        proto.graph.initializer.append(ir.serde.serialize_tensor(item))
    return ir.from_proto(proto)


def write(model: ir.Model | onnx.ModelProto, path: Path) -> Path:
    """Write a model the plain way."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    path.write_bytes(proto.SerializeToString())
    return path


def run(model: ir.Model | onnx.ModelProto | Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Run a model in onnxruntime, unoptimised."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if isinstance(model, Path):
        content: str | bytes = str(model)
    else:
        proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
        content = proto.SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def same_answers(
    first: ir.Model | onnx.ModelProto | Path,
    second: ir.Model | onnx.ModelProto | Path,
    feeds: dict[str, np.ndarray],
) -> None:
    """Assert that two models compute the same."""
    for a, b in zip(run(first, feeds), run(second, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def image(batch: int = 2) -> dict[str, np.ndarray]:
    """An input of :func:`cnn`."""
    data = np.random.default_rng(1).normal(size=(batch, 3, 8, 8))
    return {"x": data.astype(np.float32)}


def spoil(message: Message, rng: random.Random) -> None:
    """Change one field of a message, or of a message in it, to something it should not be."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = rng.choice(fields)
    repeated = not isinstance(value, str | bytes | int | float | Message)
    if repeated and len(value):
        index = rng.randrange(len(value))
        action = rng.random()
        if action < 0.15:
            del value[index]
        elif action < 0.25:
            value.append(value[index])
        elif isinstance(value[index], Message):
            spoil(value[index], rng)
        else:
            value[index] = nonsense(value[index], rng)
    elif isinstance(value, Message):
        spoil(value, rng)
    elif rng.random() < 0.1:
        message.ClearField(field.name)
    else:
        try:
            setattr(message, field.name, nonsense(value, rng))
        except (ValueError, TypeError):  # out of the field's range
            message.ClearField(field.name)


def nonsense(value: object, rng: random.Random) -> object:
    """Another value of the same type."""
    if isinstance(value, str):
        return rng.choice(["", "x", "w1", "Relu", "Loop", "If", "Reshape", "é\n", "batch*2", "?"])
    if isinstance(value, bytes):
        return value[: rng.randrange(len(value) + 1)] + bytes(rng.randrange(3))
    if isinstance(value, int):
        return rng.choice([-1, 0, 1, 2, 7, 1000, 2**31 - 1, -(2**31), 2**62, value + 1])
    return rng.choice([0.0, -1.0, 1e38, float("inf"), float("nan")])


def operators(model: ir.Model) -> list[str]:
    """The operators of a model, in order."""
    return [node.op_type for node in model.graph]


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    """A random input."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def refusal(source: object) -> str:
    """The one sentence that a source is refused with."""
    with pytest.raises(LoadError) as caught:
        load(source)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message
