"""Operators in forms that ONNX's node cases do not have, against onnxruntime."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import onnx_ir as ir
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from masked_models import Arrays, normal, proto  # noqa: E402

from onnxprune.torch import Interpreter  # noqa: E402
from onnxprune.torch.tensors import to_numpy  # noqa: E402

pytestmark = pytest.mark.torch

IMAGE = normal(2, 4, 7, 9)


def compare(
    node: str, operands: Arrays, opset: int = 20, kinds: tuple[str, ...] = ("float",)
) -> None:
    """Both must give the same; operands are inputs of the graph."""
    results = ", ".join(f"y{i}" for i in range(len(kinds)))
    given = ", ".join(f"{_kind(x)}[{','.join(map(str, x.shape))}] {n}" for n, x in operands.items())
    wanted = ", ".join(f"{kind} y{i}" for i, kind in enumerate(kinds))
    made = proto(f"m ({given}) => ({wanted}) {{ {results} = {node} }}", {}, opset)
    made.ir_version = min(made.ir_version, 8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    want = session.run(None, operands)
    got = Interpreter(ir.from_proto(made)).run(operands)
    for answer, reference in zip(got.values(), want, strict=True):
        value = to_numpy(answer.value)
        assert (value.shape, value.dtype) == (reference.shape, reference.dtype)
        wide = [x.astype(np.float64) for x in (value, reference)]
        np.testing.assert_allclose(*wide, rtol=1e-4, atol=1e-5)


def _kind(x: np.ndarray) -> str:
    code = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    return onnx.TensorProto.DataType.Name(code).lower()


REGIONS = np.array(
    [[0, 0, 8, 6], [1.3, 0.7, 5.2, 6.9], [-3, -2, 20, 15], [4, 3, 4, 3], [6.5, 2, 3.1, 4]],
    np.float32,
)
IMAGES = np.array([0, 1, 1, 0, 1])


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 1, 3])
@pytest.mark.parametrize(
    ("opset", "place"), [(10, ""), (16, "half_pixel"), (16, "output_half_pixel")]
)
def test_roi_align(mode: str, ratio: int, opset: int, place: str) -> None:
    extra = f', coordinate_transformation_mode="{place}"' if place else ""
    node = f"""RoiAlign<mode="{mode}", sampling_ratio={ratio}, output_height=3, output_width=2,
        spatial_scale=0.7{extra}>(x, r, i)"""
    count = 5 if ratio else 4  # onnxruntime overflows where a region's end precedes its start
    compare(node, {"x": IMAGE, "r": REGIONS[:count], "i": IMAGES[:count]}, opset)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_max_roi_pool(scale: float) -> None:
    regions = np.concatenate([IMAGES[:, None].astype(np.float32), REGIONS], 1)
    regions[4] = [1, 3, 2, 6, 4]
    compare(
        f"MaxRoiPool<pooled_shape=[3,2], spatial_scale={scale}>(x, r)", {"x": IMAGE, "r": regions}
    )


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [0, 1])
def test_grid_sample(mode: str, padding: str, corners: int) -> None:
    node = f'GridSample<mode="{mode}", padding_mode="{padding}", align_corners={corners}>(x, g)'
    compare(node, {"x": IMAGE, "g": normal(2, 5, 3, 2)})


@pytest.mark.parametrize("centred", [0, 1])
@pytest.mark.parametrize("options", ["(b, s, m)", "(b, s, m, o)", "(b, s, m, o, t)"])
def test_non_max_suppression(centred: int, options: str) -> None:
    random = np.random.default_rng(0)
    operands = {
        "b": random.random((2, 40, 4), np.float32),
        "s": random.random((2, 3, 40), np.float32),
        "m": np.array([7]),
        "o": np.array([0.4], np.float32),
        "t": np.array([0.3], np.float32),
    }
    operands = {name: x for name, x in operands.items() if name in options}
    node = f"NonMaxSuppression<center_point_box={centred}>{options}"
    compare(node, operands, kinds=("int64",))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("order", [0, 1])
def test_positions_of_maxima(rank: int, ceil: int, order: int) -> None:
    def each(n: int) -> str:
        return "[" + ",".join([str(n)] * rank) + "]"

    node = f"""MaxPool<kernel_shape={each(3)}, strides={each(2)}, pads=[{",".join("10" * rank)}],
        ceil_mode={ceil}, storage_order={order}>(x)"""
    if order == 1 and rank != 2:
        node = node.replace("storage_order=1", "storage_order=0")
    compare(node, {"x": normal(2, 3, *[7, 8, 6][:rank])}, 18, ("float", "int64"))


def test_positions_of_maxima_in_dilated_windows() -> None:
    node = "MaxPool<kernel_shape=[2,3], dilations=[3,2], pads=[0,2,1,1], strides=[1,2]>(x)"
    compare(node, {"x": IMAGE}, 18, ("float", "int64"))


@pytest.mark.parametrize("pads", ["[0,0,0,0]", "[1,0,0,1]"])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("dilations", ["[1,1]", "[2,1]"])
def test_average_pool(pads: str, ceil: int, counted: int, dilations: str) -> None:
    node = f"""AveragePool<kernel_shape=[3,2], strides=[2,3], pads={pads}, ceil_mode={ceil},
        count_include_pad={counted}, dilations={dilations}>(x)"""
    compare(node, {"x": IMAGE}, 19)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pool(p: int) -> None:
    node = f"LpPool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,1,1], dilations=[1,2], p={p}>(x)"
    compare(node, {"x": IMAGE}, 18)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        "",
        "strides=[2,3]",
        "strides=[2,3], output_padding=[1,2]",
        "strides=[2,2], pads=[1,0,0,1], dilations=[2,1]",
        "strides=[2,3], output_shape=[15,27]",
        'strides=[2,3], auto_pad="SAME_UPPER"',
        'strides=[2,3], auto_pad="SAME_LOWER"',
        'strides=[3,2], auto_pad="SAME_LOWER", output_shape=[20,19]',
        'strides=[2,2], auto_pad="VALID"',
    ],
)
def test_transposed_convolution(group: int, options: str) -> None:
    node = f"ConvTranspose<group={group}{', ' if options else ''}{options}>(x, w, b)"
    compare(node, {"x": IMAGE, "w": normal(4, 3, 3, 3), "b": normal(3 * group)})


PLACES = ["half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners", "half_pixel_symmetric"]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def _resize(operands: Arrays, attributes: str, opset: int = 19) -> None:
    named = operands.keys()
    inputs = ", ".join(n if n in named else "" for n in ("x", "r", "s", "z")).rstrip(", ")
    compare(f"Resize<{attributes}>({inputs})", operands, opset)


@pytest.mark.parametrize(("place", "mode"), list(product(PLACES, ["linear", "cubic"])))
@pytest.mark.parametrize("factor", [(1.7, 2.3), (0.6, 0.45), (1.0, 2.0)])
def test_resize(place: str, mode: str, factor: tuple[float, float]) -> None:
    scales = np.array([1, 1, *factor], np.float32)
    attributes = f'mode="{mode}", coordinate_transformation_mode="{place}"'
    _resize({"x": IMAGE, "s": scales}, attributes)
    sizes = np.array([2, 4, int(7 * factor[0]), int(9 * factor[1])])
    _resize({"x": IMAGE, "z": sizes}, attributes)


@pytest.mark.parametrize(("place", "nearest"), list(product(PLACES[:4], NEAREST)))
@pytest.mark.parametrize("factor", [(1.7, 2.3), (0.6, 0.45), (3.0, 2.0)])
def test_resize_to_the_nearest(place: str, nearest: str, factor: tuple[float, float]) -> None:
    scales = np.array([1, 1, *factor], np.float32)
    attributes = f"""mode="nearest", coordinate_transformation_mode="{place}",
        nearest_mode="{nearest}\""""
    _resize({"x": IMAGE, "s": scales}, attributes)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("outside", [0, 1])
def test_resize_without_aliasing(mode: str, outside: int) -> None:
    attributes = f'mode="{mode}", antialias=1, exclude_outside={outside}, cubic_coeff_a=-0.5'
    _resize({"x": IMAGE, "s": np.array([1, 1, 0.6, 0.4], np.float32)}, attributes)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_resize_some_axes(policy: str) -> None:
    attributes = f'mode="linear", axes=[3,2], keep_aspect_ratio_policy="{policy}"'
    _resize({"x": IMAGE, "z": np.array([13, 20])}, attributes)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_resize_a_crop(mode: str) -> None:
    region = np.array([0, 0, 0.2, -0.3, 1, 1, 0.8, 1.2], np.float32)
    attributes = f"""mode="{mode}", coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=5.0"""
    _resize({"x": IMAGE, "r": region, "z": np.array([2, 4, 6, 11])}, attributes)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("factor", [2.0, 1.5, 0.5])
def test_old_resize(mode: str, factor: float) -> None:
    scales = np.array([1, 1, factor, 2], np.float32)
    compare(f'Resize<mode="{mode}">(x, s)', {"x": IMAGE, "s": scales}, 10)
    if factor >= 1:
        compare(f'Upsample<mode="{mode}">(x, s)', {"x": IMAGE, "s": scales}, 9)
        node = f'Upsample<mode="{mode}", scales=[1.0, 1.0, {factor}, 2.0]>(x)'
        compare(node, {"x": IMAGE}, 7)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_normalisation(size: int) -> None:
    compare(f"LRN<size={size}, alpha=0.3, beta=0.6, bias=1.5>(x)", {"x": normal(2, 6, 3, 3)})


def test_maxima_put_back() -> None:
    random = np.random.default_rng(0)
    places = np.stack([random.choice(7 * 9, 12, replace=False) for _ in range(8)])
    places = places.reshape(2, 4, 3, 4) + np.arange(8).reshape(2, 4, 1, 1) * 63
    node = "MaxUnpool<kernel_shape=[3,3], strides=[2,2]>(x, i)"
    compare(node, {"x": normal(2, 4, 3, 4), "i": places}, 11)


@pytest.mark.parametrize("options", ["group=2", "offset_group=2", "group=2, offset_group=4"])
def test_deformable_convolution(options: str) -> None:
    shifts = 4 if "offset_group=4" in options else 2 if "offset_group=2" in options else 1
    operands = {
        "x": IMAGE,
        "w": normal(6, 2 if options.startswith("group=2") else 4, 2, 3),
        "o": 3 * normal(2, shifts * 12, 4, 10),
        "b": normal(6),
        "m": normal(2, shifts * 6, 4, 10),
    }
    node = f"DeformConv<{options}, strides=[2,1], pads=[1,2,1,1], dilations=[2,1]>(x, w, o, b, m)"
    try:
        compare(node, operands, 19)
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        pytest.skip("this onnxruntime has no DeformConv")


def test_columns_to_an_image() -> None:
    operands = {"x": normal(2, 12, 16), "s": np.array([5, 6]), "k": np.array([2, 2])}
    compare("Col2Im<strides=[2,2], pads=[1,0,2,2]>(x, s, k)", operands)


def test_quantised_convolution() -> None:
    random = np.random.default_rng(0)
    operands = {
        "x": random.integers(0, 255, (2, 4, 6, 6), np.uint8),
        "xs": np.array(0.02, np.float32),
        "xz": np.array(120, np.uint8),
        "w": random.integers(-127, 127, (6, 2, 3, 3), np.int8),
        "ws": random.random(6, np.float32) / 50 + 0.001,
        "wz": np.zeros(6, np.int8),
        "ys": np.array(0.05, np.float32),
        "yz": np.array(100, np.uint8),
        "b": random.integers(-1000, 1000, 6, np.int32),
    }
    node = "QLinearConv<group=2, pads=[1,1,1,1]>(x, xs, xz, w, ws, wz, ys, yz, b)"
    compare(node, operands, kinds=("uint8",))
