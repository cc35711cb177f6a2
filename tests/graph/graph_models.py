"""Small models and ways to run them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

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


def run(
    model: ir.Model | onnx.ModelProto | Path, feeds: dict[str, np.ndarray]
) -> list[np.ndarray]:
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
