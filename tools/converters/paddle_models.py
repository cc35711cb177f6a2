"""Paddle models as ONNX files, by paddle2onnx: run by `tools.converted`.

A script for an environment that has Paddle and paddle2onnx. The weights are random; batch, and
where a model allows it height and width, are dynamic.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import paddle2onnx
from paddle import Tensor, nn
from paddle.nn import functional as F
from paddle.static import InputSpec
from paddle.vision import models

GAIN = 1.5  # of a weight's variance, over its fan-in
FORMS = ((11, "None"), (17, "polygraphy"))
"""(opset, what folds constants); weights in Constant nodes, and paddle2onnx' default."""

MODELS: dict[str, tuple[Callable[[], nn.Layer], list[int | None]]] = {}

for architecture in (
    models.mobilenet_v1,
    models.mobilenet_v2,
    models.mobilenet_v3_small,
    models.resnet18,
    models.densenet121,
    models.shufflenet_v2_x0_25,
    models.squeezenet1_1,
):
    MODELS[architecture.__name__] = (architecture, [None, 3, 64, 64])


def model(*shape: int | None) -> Callable[[type[nn.Layer]], type[nn.Layer]]:
    """Add a model of our own; None is a dynamic size."""

    def register(layer: type[nn.Layer]) -> type[nn.Layer]:
        MODELS[layer.__name__] = (layer, list(shape))
        return layer

    return register


def normed(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution, its batch norm and hard-swish."""
    conv = nn.Conv2D(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias_attr=False)
    return nn.Sequential(conv, nn.BatchNorm2D(outputs), nn.Hardswish())


class Gate(nn.Layer):
    """Squeeze and excitation with a hard sigmoid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.conv1, self.conv2 = nn.Conv2D(width, width // 4, 1), nn.Conv2D(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The gated tensor."""
        return x * F.hardsigmoid(self.conv2(F.relu(self.conv1(self.pool(x)))))


@model(None, 3, 64, 64)
class PPLCNet(nn.Layer):
    """Depthwise separable blocks with hard-swish, gates, a wide 1x1 convolution before the head."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Layer] = [normed(3, 16, 3, 2)]
        for inputs, outputs, stride, gated in (
            *((16, 32, 1, False), (32, 48, 2, False), (48, 48, 1, False)),
            *((48, 96, 2, True), (96, 96, 1, True)),
        ):
            blocks.append(normed(inputs, inputs, 5, stride, groups=inputs))
            blocks += [Gate(inputs)] if gated else []
            blocks.append(normed(inputs, outputs, 1))
        self.blocks = nn.Sequential(*blocks)
        self.pool, self.last = nn.AdaptiveAvgPool2D(1), nn.Conv2D(96, 128, 1)
        self.fc = nn.Linear(128, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Logits."""
        x = F.hardswish(self.last(self.pool(self.blocks(image))))
        return self.fc(F.dropout(paddle.flatten(x, 1), 0.2, training=self.training))


class ResidualD(nn.Layer):
    """A bottleneck whose shortcut averages before its 1x1 convolution."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            normed(inputs, width, 1),
            normed(width, width, 3, stride),
            nn.Conv2D(width, 4 * width, 1),
        )
        pool = [nn.AvgPool2D(2, 2, 0, ceil_mode=True)] if stride > 1 else []
        same = inputs == 4 * width and stride == 1
        self.short = nn.Sequential() if same else nn.Sequential(*pool, normed(inputs, 4 * width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return F.relu(self.branch(x) + self.short(x))


@model(None, 3, None, None)
class Detector(nn.Layer):
    """ResNet-vd, pyramid pooling, two levels joined by resizing to a computed size, YOLO heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(3, 16, 3, 2), normed(16, 32), nn.MaxPool2D(3, 2, 1))
        self.c3 = nn.Sequential(ResidualD(32, 16, 2), ResidualD(64, 16, 1))
        self.c4 = nn.Sequential(ResidualD(64, 32, 2), ResidualD(128, 32, 1))
        self.spp, self.lateral = normed(4 * 128, 64, 1), normed(64, 32, 1)
        self.merge = nn.Sequential(normed(32 + 64, 48, 1), normed(48, 48))
        self.heads = nn.LayerList([nn.Conv2D(48, 18, 1), nn.Conv2D(64, 18, 1)])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(n, boxes, 6) of both levels."""
        c3 = self.c3(self.stem(image))
        c4 = self.c4(c3)
        pools = [F.max_pool2d(c4, k, 1, k // 2) for k in (5, 9, 13)]
        p4 = self.spp(paddle.concat([c4, *pools], 1))
        up = F.interpolate(self.lateral(p4), paddle.shape(c3)[2:], mode="nearest")
        p3 = self.merge(paddle.concat([up, c3], 1))
        outputs = []
        for i, level in enumerate((p3, p4)):
            y = self.heads[i](level)
            n, _, h, w = paddle.shape(y)
            y = y.reshape([n, 3, 6, h * w]).transpose([0, 1, 3, 2]).reshape([n, -1, 6])
            outputs.append(
                paddle.concat([F.sigmoid(y[:, :, :2]), (2 * F.sigmoid(y[:, :, 2:])) ** 2], -1)
            )
        return tuple(outputs)


@model(None, 3, 32, None)
class Recogniser(nn.Layer):
    """Text recognition: convolutions, attention over the line, an LSTM, scores of characters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(normed(3, 16, 3, 2), normed(16, 32, 3, 2), Gate(32))
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.proj = nn.Linear(32, 96), nn.Linear(32, 32)
        self.fc1, self.fc2 = nn.Linear(32, 64), nn.Linear(64, 32)
        self.rnn = nn.LSTM(32, 24, direction="bidirect")
        self.fc = nn.Linear(48, 20)

    def forward(self, image: Tensor) -> Tensor:
        """(n, width / 4, characters)."""
        x = self.stem(image).mean(2).transpose([0, 2, 1])
        n, s, _ = paddle.shape(x)
        qkv = self.qkv(self.norm1(x)).reshape([n, s, 3, 4, 8]).transpose([2, 0, 3, 1, 4])
        weights = F.softmax(paddle.matmul(qkv[0] * 8**-0.5, qkv[1], transpose_y=True), -1)
        x = x + self.proj(
            paddle.matmul(weights, qkv[2]).transpose([0, 2, 1, 3]).reshape([n, s, 32])
        )
        x = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return self.fc(self.rnn(x)[0])


def randomise(layer: nn.Layer, shape: list[int | None], seed: int) -> None:
    """Random values for every parameter; the statistics of batch norms are those of random inputs.

    With statistics that do not fit, activations fade in a deep network, and its outputs say little.
    """
    random = np.random.default_rng(seed)
    for name, tensor in layer.state_dict().items():
        if name.endswith(("_mean", "bias")) or "bias_" in name:
            value = random.normal(0, 0.1, tensor.shape)
        elif len(tensor.shape) < 2:
            value = random.uniform(0.5, 1.5, tensor.shape)
        else:  # a linear weight is (inputs, outputs)
            fan_in = tensor.shape[0] if len(tensor.shape) == 2 else np.prod(tensor.shape[1:])
            value = random.normal(0, np.sqrt(GAIN / fan_in), tensor.shape)
        tensor.set_value(value.astype("float32"))
    for child in layer.sublayers():
        if isinstance(child, nn.BatchNorm2D):
            child._momentum = 0.0
    layer.train()
    sizes = [8, *(size or 64 for size in shape[1:])]
    layer(paddle.to_tensor(random.standard_normal(sizes).astype("float32")))
    layer.eval()


def main() -> None:
    """Write every model in every form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", choices=MODELS, metavar="NAME")
    options = parser.parse_args()
    for name in options.only or MODELS:
        build, shape = MODELS[name]
        layer = build()
        randomise(layer, shape, seed=0)
        with tempfile.TemporaryDirectory() as folder:
            paddle.jit.save(layer, f"{folder}/model", [InputSpec(shape, "float32", "image")])
            for opset, tool in FORMS:
                paddle2onnx.export(
                    f"{folder}/model.json",
                    f"{folder}/model.pdiparams",
                    str(options.out / f"{name}.paddle.{opset}.onnx"),
                    opset_version=opset,
                    optimize_tool=tool,
                    verbose=False,
                )


if __name__ == "__main__":
    main()
