"""Small quantised models: what onnxruntime's quantizer makes of small float ones, and by hand."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
from helpers import feeds_of, proto
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader

Maker = Callable[[onnx.ModelProto], onnx.ModelProto]

CHANNELS = """(float[2,3,8,8] x) => (float[2,5] y) {
    a = Conv<pads=[1,1,1,1]>(x, w0, b0) r = Relu(a)
    i = Conv(r, w1, b1) j = Relu(i)
    d = Conv<pads=[1,1,1,1], group=12>(j, w2, b2) e = Conv(d, w3)
    s = Add(e, r) k = Conv(s, w4) t = Sigmoid(k) c = Concat<axis=1>(s, t)
    m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c) p = GlobalAveragePool(m)
    f = Flatten(p) y = Gemm<transB=1>(f, w5, b5)
}"""
CHANNEL_WEIGHTS = {
    **{"w0": (8, 3, 3, 3), "b0": (8,), "w1": (12, 8, 1, 1), "b1": (12,), "w2": (12, 1, 3, 3)},
    **{"b2": (12,), "w3": (8, 12, 1, 1), "w4": (6, 8, 1, 1), "w5": (5, 14), "b5": (5,)},
}

TOKENS = """(float[2,5,8] x) => (float[2,5,4] y) {
    a = MatMul(x, w0) b = Add(a, b0) g = Gelu(b) c = MatMul(g, w1) s = Add(c, x)
    n = LayerNormalization(s, scale, bias) h = MatMul(n, w2) t = Softmax(h) y = MatMul(t, w3)
}"""
TOKEN_WEIGHTS = {
    **{"w0": (8, 16), "b0": (16,), "w1": (16, 8), "scale": (8,), "bias": (8,)},
    **{"w2": (8, 6), "w3": (6, 4)},
}


def channels() -> onnx.ModelProto:
    """Convolutions, one of them depthwise, a sum and a concatenation."""
    return proto(CHANNELS, **_weights(CHANNEL_WEIGHTS))


def tokens() -> onnx.ModelProto:
    """Matrix products, a norm and a softmax."""
    return proto(TOKENS, **_weights(TOKEN_WEIGHTS))


def _weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights that keep activations near 1, so that every one of them tells."""
    random = np.random.default_rng(3)
    return {
        name: (random.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5).astype(np.float32)
        for name, shape in shapes.items()
    }


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, model: onnx.ModelProto) -> None:
        self.runs = iter([feeds_of(model, seed=seed) for seed in range(3)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.runs, None)


def static(style: QuantFormat, per_channel: bool, weights: QuantType = QuantType.QInt8) -> Maker:
    """Scales of activations from a few samples."""

    def make(model: onnx.ModelProto) -> onnx.ModelProto:
        def write(source: Path, target: Path) -> None:
            quantize_static(
                *(source, target, _Samples(model)),
                quant_format=style,
                per_channel=per_channel,
                activation_type=QuantType.QUInt8,
                weight_type=weights,
            )

        return _through_files(model, write)

    return make


def dynamic(weights: QuantType, per_channel: bool) -> Maker:
    """Scales of activations in every run."""

    def make(model: onnx.ModelProto) -> onnx.ModelProto:
        def write(source: Path, target: Path) -> None:
            quantize_dynamic(source, target, per_channel=per_channel, weight_type=weights)

        return _through_files(model, write)

    return make


def _through_files(model: onnx.ModelProto, write: Callable[[Path, Path], None]) -> onnx.ModelProto:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
            onnx.save(model, source)
            with np.errstate(all="ignore"):
                write(source, target)
            return onnx.load(target)
    finally:
        logging.disable(level)


WAYS: dict[str, Maker] = {
    "qdq": static(QuantFormat.QDQ, per_channel=False),
    "qdq-channel": static(QuantFormat.QDQ, per_channel=True),
    "qdq-unsigned": static(QuantFormat.QDQ, per_channel=False, weights=QuantType.QUInt8),
    "operators": static(QuantFormat.QOperator, per_channel=False),
    "operators-channel": static(QuantFormat.QOperator, per_channel=True),
    "dynamic": dynamic(QuantType.QUInt8, per_channel=False),
}
"""How models are quantised: the QDQ pattern, quantised operators, scales found in every run."""
