"""Keras models as ONNX files, by tf2onnx and by Keras' own exporter: run by `tools.converted`.

A script for an environment that has TensorFlow, Keras and tf2onnx. The weights are random, the
last activation is left out: small probabilities hide differences.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import applications, layers

GAIN = 1.5  # of a weight's variance, over its fan-in
SIZE = 96  # of the images; the smallest that all of the applications take
FORMS = (("nhwc", 13), ("nchw", 17))

MODELS: dict[str, Callable[[], keras.Model]] = {}


def application(build: Callable[..., keras.Model]) -> None:
    """Add a model of keras.applications."""

    def make() -> keras.Model:
        shape = (SIZE, SIZE, 3)
        return build(input_shape=shape, weights=None, classes=10, classifier_activation=None)

    MODELS[build.__name__] = make


for architecture in (
    applications.MobileNetV2,
    applications.MobileNetV3Small,
    applications.EfficientNetB0,
    applications.EfficientNetV2B0,
    applications.ResNet50V2,
    applications.DenseNet121,
    applications.InceptionV3,
    applications.Xception,
    applications.NASNetMobile,
):
    application(architecture)


def model(build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    """Add a model of our own."""
    MODELS[build.__name__] = build
    return build


def normed(x: keras.KerasTensor, width: int, stride: int = 1) -> keras.KerasTensor:
    """A 3x3 convolution, batch norm and ReLU."""
    x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def gelu(x: keras.KerasTensor) -> keras.KerasTensor:
    """GELU by tanh; tf2onnx has no rule for the Erfc of the exact one."""
    return keras.activations.gelu(x, approximate=True)


@model
def unet() -> keras.Model:
    """Skips joined on the last axis; one step up by a transposed convolution, one by resizing."""
    image = layers.Input((32, 32, 3))
    a = normed(image, 16)
    b = normed(a, 24, 2)
    x = normed(b, 32, 2)
    x = layers.Conv2DTranspose(24, 2, 2, padding="same")(x)
    x = normed(layers.Concatenate()([x, b]), 24)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = normed(layers.Concatenate()([x, a]), 16)
    return keras.Model(image, layers.Conv2D(3, 1)(x))


@model
def pieces() -> keras.Model:
    """Dilation, depth multiplier, separable convolutions, PReLU, padding, cropping, a gate."""
    image = layers.Input((24, 24, 3))
    x = layers.Conv2D(16, 3, padding="same", dilation_rate=2)(image)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)
    x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(24, 3, padding="same")(x)
    x = layers.Conv2D(16, 3)(layers.ZeroPadding2D(1)(x))
    x = layers.Cropping2D(2)(keras.activations.silu(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(16, 1, activation="sigmoid")(layers.Conv2D(8, 1, activation="relu")(gate))
    x = layers.AveragePooling2D(4)(layers.Multiply()([x, gate]))
    return keras.Model(image, layers.Dense(10)(layers.Flatten()(x)))


@model
def norms() -> keras.Model:
    """Group, layer and unit normalisation over the last axis, and a residual sum."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(16, 3, padding="same")(image)
    y = layers.GroupNormalization(4)(x)
    y = gelu(layers.Conv2D(16, 3, padding="same")(y))
    y = layers.LayerNormalization()(layers.Add()([x, y]))
    y = layers.Dense(24, activation="swish")(y)
    y = layers.UnitNormalization()(y)
    y = layers.GlobalMaxPooling2D()(y)
    return keras.Model(image, layers.Dense(10)(y))


@model
def transformer() -> keras.Model:
    """Patches, two encoder blocks with Keras' attention, the mean over the sequence."""
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(32, 4, 4)(image)
    x = layers.Reshape((16, 32))(x)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 8)(y, y)])
        y = gelu(layers.Dense(64)(layers.LayerNormalization()(x)))
        x = layers.Add()([x, layers.Dense(32)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(image, layers.Dense(10)(x))


@model
def sequence() -> keras.Model:
    """A causal one-dimensional convolution and two LSTMs, the first in both directions."""
    signal = layers.Input((20, 6))
    x = layers.Conv1D(16, 3, padding="causal", activation="relu")(signal)
    x = layers.MaxPooling1D(2)(layers.BatchNormalization()(x))
    x = layers.Bidirectional(layers.LSTM(12, return_sequences=True))(x)
    x = layers.LSTM(16)(x)
    return keras.Model(signal, layers.Dense(10)(x))


def randomise(model: keras.Model, seed: int) -> None:
    """Random values for every weight; the statistics of batch norms are those of random inputs.

    With statistics that do not fit, activations fade in a deep network, and its outputs say little.
    """
    random = np.random.default_rng(seed)
    for weight in model.weights:
        shape, name = tuple(weight.shape), weight.path.rsplit("/", 1)[-1]
        if not np.issubdtype(np.dtype(weight.dtype), np.floating):
            continue
        if name in ("bias", "beta", "moving_mean", "mean"):
            value = random.normal(0, 0.1, shape)
        elif len(shape) < 2 or name == "alpha":
            value = random.uniform(0.5, 1.5, shape)
        else:
            fan_in = np.prod(shape[:2] if "depthwise" in weight.path else shape[:-1])
            value = random.normal(0, np.sqrt(GAIN / fan_in), shape)
        weight.assign(value.astype(weight.dtype))
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(random.standard_normal((8, *model.inputs[0].shape[1:])).astype("float32"), training=True)


def main() -> None:
    """Write every model in every form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", action="append", choices=MODELS, metavar="NAME")
    options = parser.parse_args()
    for name in options.only or MODELS:
        built = MODELS[name]()
        randomise(built, seed=0)
        shape = (None, *built.inputs[0].shape[1:])
        for layout, opset in FORMS:
            if layout == "nchw" and len(shape) != 4:
                continue
            tf2onnx.convert.from_keras(
                built,
                [tf.TensorSpec(shape, tf.float32, name="input")],
                opset=opset,
                inputs_as_nchw=["input"] if layout == "nchw" else None,
                output_path=str(options.out / f"{name}.{layout}.{opset}.onnx"),
            )
        built.export(str(options.out / f"{name}.keras.onnx"), format="onnx", verbose=False)


if __name__ == "__main__":
    main()
