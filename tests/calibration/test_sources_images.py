"""Images, from files and from arrays, become what a graph takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import proto
from PIL import Image

from onnxprune.calibration import Calibration, Preprocess, read_dataset
from onnxprune.errors import MissingExtra, OnnxPruneError
from onnxprune.graph import Graph, load


def _graph(shape: str, dtype: str = "float") -> Graph:
    return load(proto(f"({dtype}[{shape}] x) => ({dtype}[{shape}] y) {{ y = Identity(x) }}"))


def _all(dataset: Calibration) -> np.ndarray:
    return np.concatenate([feeds["x"] for feeds in dataset])


def _pixels(seed: int = 0, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _read(source: object, graph: Graph, **options: Any) -> np.ndarray:
    return _all(read_dataset(source, graph, preprocess=Preprocess(**options)))


NCHW = _graph("N,3,8,8")
NHWC = _graph("N,8,8,3")
GREY = _graph("N,1,8,8")
OPEN = _graph("N,3,H,W")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four images in a folder and its sub-folders, and what is none of them."""
    folder = tmp_path / "photos"
    for place in ("b", "a/deep", ".hidden"):
        (folder / place).mkdir(parents=True)
    for seed, name in enumerate(("z.png", "b/1.BMP", "a/2.png", "a/deep/3.tiff")):
        Image.fromarray(_pixels(seed)).save(folder / name)
    Image.fromarray(_pixels(9)).save(folder / ".hidden/no.png")
    Image.fromarray(_pixels(9)).save(folder / "._no.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_is_searched_in_order(photos: Path) -> None:
    dataset = read_dataset(photos, NCHW, batch=3)
    assert dataset.names == ("a/2.png", "a/deep/3.tiff", "b/1.BMP", "z.png")
    assert dataset.origin == f"4 images of {photos}"
    wanted = np.stack([_pixels(seed) for seed in (2, 3, 1, 0)]).transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(_all(dataset), wanted, rtol=1e-6)
    assert _all(dataset).dtype == np.float32
    drawn = read_dataset(photos, NCHW, samples=2, seed=1)
    np.testing.assert_array_equal(_all(drawn), _all(dataset)[drawn.indices])
    assert drawn.origin == f"2 of 4 images of {photos}, seed 1"
    before = dataset.fingerprint
    assert read_dataset(photos, NCHW, batch=3).fingerprint == before
    (photos / "z.png").rename(photos / "y.png")
    assert read_dataset(photos, NCHW, batch=3).fingerprint != before


@pytest.mark.parametrize("form", ["folder", "nhwc", "nchw"])
def test_preprocessing_is_the_same_for_files_and_arrays(photos: Path, form: str) -> None:
    """(pixel * scale - mean) / std, per channel, in the order that the model takes."""
    pixels = np.stack([_pixels(seed) for seed in (2, 3, 1, 0)])
    source = {"folder": photos, "nhwc": pixels, "nchw": pixels.transpose(0, 3, 1, 2)}[form]
    mean, std = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    unit = pixels / 255
    wanted = (unit - mean) / std
    options: dict[str, Any] = {"mean": mean, "std": std}
    np.testing.assert_allclose(_read(source, NHWC, **options), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        _read(source, NCHW, **options), wanted.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-6
    )
    bgr = (unit[..., ::-1] - mean) / std
    np.testing.assert_allclose(
        _read(source, NHWC, order="bgr", **options), bgr, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        _read(source, NHWC, scale=1.0, mean=(127.5,)), pixels - 127.5, rtol=1e-5
    )
    larger = [Image.fromarray(one).resize((12, 12), Image.Resampling.BILINEAR) for one in pixels]
    cut = np.stack([np.asarray(one)[2:10, 2:10] for one in larger])
    np.testing.assert_allclose(_read(source, NHWC, resize=12), cut / 255, rtol=1e-6)
    grey = _read(source, NHWC, order="grey")
    luma = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in pixels])
    np.testing.assert_allclose(grey, np.repeat(luma[..., None] / 255, 3, -1), rtol=1e-6)


def test_channels_follow_the_graph(photos: Path) -> None:
    luma = [np.asarray(Image.fromarray(_pixels(seed)).convert("L")) for seed in (2, 3, 1, 0)]
    wanted = np.stack(luma)[:, None] / 255
    np.testing.assert_allclose(_read(photos, GREY), wanted, rtol=1e-6)
    np.testing.assert_allclose(_read(np.stack(luma), GREY), wanted, rtol=1e-6)
    opacity = _read(photos, _graph("N,4,8,8"))
    np.testing.assert_array_equal(opacity[:, 3], np.ones((4, 8, 8)))


def test_bytes_stay_bytes_where_the_graph_takes_them(photos: Path) -> None:
    graph = _graph("N,8,8,3", "uint8")
    fed = _read(photos, graph)
    assert fed.dtype == np.uint8
    np.testing.assert_array_equal(fed[3], _pixels(0))
    with pytest.raises(OnnxPruneError, match="takes pixels as bytes; leave out mean, std and"):
        _read(photos, graph, mean=(0.5,))


def test_half_precision(photos: Path) -> None:
    assert _read(photos, _graph("N,3,8,8", "float16")).dtype == np.float16


@pytest.mark.parametrize("form", ["folder", "array"])
def test_images_of_another_size(tmp_path: Path, form: str) -> None:
    """Left half black, right half white, twice as wide as high: what is cut off tells the mode."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    pixels[:, :5] = pixels[:, -5:] = 128
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    source = tmp_path if form == "folder" else pixels[None]
    center = _read(source, NHWC)[0, ..., 0]
    squash = _read(source, NHWC, crop="squash")[0, ..., 0]
    assert center.shape == squash.shape == (8, 8)
    image = Image.fromarray(pixels)
    wide = np.asarray(image.resize((16, 8), Image.Resampling.BILINEAR))[:, 4:12, 0] / 255
    np.testing.assert_allclose(center, wide, rtol=1e-6)
    whole = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR))[..., 0] / 255
    np.testing.assert_allclose(squash, whole, rtol=1e-6)
    assert center[0, 0] == 0  # the grey edges are cut off
    assert 0.3 < squash[0, 0] < 0.6
    resized = np.asarray(image.resize((20, 10), Image.Resampling.BILINEAR))[1:9, 6:14, 0] / 255
    np.testing.assert_allclose(_read(source, NHWC, resize=10)[0, ..., 0], resized, rtol=1e-6)
    for size in ((10, 6), (6, 10), (3, 41), (41, 3)):
        assert _read(source, OPEN, size=size).shape == (1, 3, *size)


@pytest.mark.parametrize(
    ("height", "width", "resize", "sides", "corner"),
    [
        (10, 11, 10, (11, 10), (2, 1)),
        (11, 10, 10, (10, 11), (1, 2)),
        (12, 17, 10, (14, 10), (3, 1)),
        (17, 12, 9, (9, 12), (0, 2)),
        (375, 500, 8, (10, 8), (1, 0)),
    ],
)
def test_the_centre_is_where_torchvision_has_it(
    height: int, width: int, resize: int, sides: tuple[int, int], corner: tuple[int, int]
) -> None:
    """Resize(resize), CenterCrop(8): the long side is cut off, the corner rounded to even."""
    pixels = _pixels(0, height, width)
    image = Image.fromarray(pixels).resize(sides, Image.Resampling.BILINEAR)
    left, top = corner
    wanted = np.asarray(image)[top : top + 8, left : left + 8] / 255
    np.testing.assert_allclose(_read(pixels[None], NHWC, resize=resize)[0], wanted, rtol=1e-6)


def test_files_of_every_mode(tmp_path: Path) -> None:
    image = Image.fromarray(_pixels())
    image.convert("P").save(tmp_path / "1.png")
    image.convert("L").save(tmp_path / "2.png")
    image.convert("1").save(tmp_path / "3.png")
    image.convert("RGBA").save(tmp_path / "4.png")
    image.convert("CMYK").save(tmp_path / "5.jpg")
    image.convert("LA").save(tmp_path / "6.png")
    image.convert("P").save(tmp_path / "7.png", transparency=b"\0\1\2")
    image.save(tmp_path / "8.webp", lossless=True)
    fed = _read(tmp_path, NHWC)
    assert fed.shape == (8, 8, 8, 3)
    np.testing.assert_allclose(fed[3], _pixels() / 255, rtol=1e-6)
    np.testing.assert_allclose(fed[7], _pixels() / 255, rtol=1e-6)


def test_files_that_are_no_images(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def says(name: str) -> str:
        with pytest.raises(OnnxPruneError) as raised:
            list(read_dataset(photos, NCHW, batch=1))
        assert str(raised.value).startswith(f"{photos / name}: ")
        (photos / name).unlink()
        return str(raised.value).removeprefix(f"{photos / name}: ")

    (photos / "a/0.jpg").write_bytes(b"no image")
    assert says("a/0.jpg").startswith("not an image that Pillow can read (cannot identify")
    whole = (photos / "z.png").read_bytes()
    (photos / "zz.png").write_bytes(whole[: len(whole) // 2])
    assert "not an image that Pillow can read" in says("zz.png")
    (photos / "zz.png").write_bytes(b"")
    assert "mend or remove it" in says("zz.png")
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(photos / "deep.png")
    assert says("deep.png").startswith("its pixels are more than bytes (mode I;16")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(_pixels(0, 11, 11)).save(photos / "bomb.png")
    assert "not an image that Pillow can read (Image size (121 pixels) exceeds" in says("bomb.png")
    assert read_dataset(photos, NCHW).samples == 4


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(OnnxPruneError, match=r"no images in this folder \(.bmp, .*; check the pat"):
        read_dataset(tmp_path, NCHW)


def test_without_pillow(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"pip install 'onnxprune\[images\]', or give an array"):
        read_dataset(photos, NCHW)
    assert read_dataset(_pixels()[None], NCHW).samples == 1
    with pytest.raises(MissingExtra):
        read_dataset(_pixels(0, 9, 9)[None], NCHW)


def test_graphs_that_images_do_not_fit(photos: Path) -> None:
    two = load(proto("(float[N,3,8,8] x, float[N,2] z) => (float y, float w) {y=Abs(x) w=Abs(z)}"))
    for graph, options, says in (
        (two, {}, "images alone do not feed the inputs 'x', 'z'; give a .npz file"),
        (_graph("N,3"), {}, "takes no images"),
        (_graph("N,3,8,8", "int64"), {}, "takes no images"),
        (OPEN, {}, "takes images of any size; give the size, as 224x224"),
        (NCHW, {"size": (9, 9)}, "takes no images of 9x9; leave out the size"),
        (_graph("N,3,8,3"), {}, "does not tell where its channels are; give the layout"),
        (_graph("N,A,B,C"), {}, "does not tell where its channels are"),
        (_graph("N,7,8,8"), {"layout": "nchw"}, "7 channels, which image files do not have"),
        (NCHW, {"mean": (0.1, 0.2)}, "2 numbers for the mean do not suit 3 channels"),
        (GREY, {"order": "bgr"}, "1 channel cannot be in the order bgr"),
        (NCHW, {"resize": 7}, "A short side of 7 leaves no centre of 8x8"),
    ):
        with pytest.raises(OnnxPruneError, match=says):
            _read(photos, graph, **options)  # type: ignore[arg-type]


def test_a_layout_that_is_said(photos: Path) -> None:
    assert _read(photos, _graph("N,3,8,3"), layout="nchw").shape == (4, 3, 8, 3)
    assert _read(photos, _graph("N,3,8,3"), layout="nhwc").shape == (4, 3, 8, 3)
    either = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 3), np.uint8)
    np.testing.assert_allclose(
        _read(either, _graph("N,3,8,3"), layout="nchw"), either / 255, rtol=1e-6
    )
    options = {"layout": "nhwc", "size": (8, 8)}
    np.testing.assert_allclose(_read(photos, _graph("N,A,B,C"), **options)[3], _pixels() / 255)


def test_arrays_that_are_no_images() -> None:
    for array, options, says in (
        (np.zeros((2, 5, 8, 8), np.uint8), {}, r"\(1, 5, 8, 8\) are no images of 3 channels"),
        (np.zeros((2, 8, 8), np.uint8), {}, r"\(1, 8, 8\) are no images of 3 channels"),
        (np.zeros((2, 3, 9, 9), np.float32), {"scale": 2.0}, "only bytes .* give arrays of 8x8"),
        (np.zeros((2, 3, 9, 9), np.float32), {}, r"does not take float32 \(1, 3, 9, 9\)"),
        (np.zeros((2, 3, 8, 8), np.int64), {"scale": 2.0}, "preprocessed from bytes .*, not int64"),
    ):
        with pytest.raises(OnnxPruneError, match=says):
            _read(array, NCHW, **options)  # type: ignore[arg-type]


def test_float_arrays_are_taken_as_they_are_unless_asked() -> None:
    array = np.random.default_rng(0).random((2, 3, 8, 8))
    np.testing.assert_allclose(_read(array, NCHW), array, rtol=1e-6)
    np.testing.assert_allclose(_read(array, NCHW, mean=(0.5,)), array - 0.5, atol=1e-6)
    last = array.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(_read(last, NCHW, layout="nchw"), array, rtol=1e-6)


def test_only_the_named_input_takes_images() -> None:
    graph = load(
        proto(
            "(float[N,3,8,8] x, float[N,3,8,8] z) => (float y, float w) { y = Abs(x) w = Abs(z) }"
        )
    )
    arrays = {"x": _pixels()[None], "z": np.ones((1, 3, 8, 8))}
    dataset = read_dataset(arrays, graph, preprocess=Preprocess(mean=(0.5,)), input="x")
    feeds = next(iter(dataset))
    np.testing.assert_allclose(feeds["x"][0], _pixels().transpose(2, 0, 1) / 255 - 0.5, atol=1e-6)
    np.testing.assert_array_equal(feeds["z"], arrays["z"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"crop": "tile"}, "The crop of images cannot be 'tile'; give center, squash"),
        ({"layout": "chwn"}, "The layout of images cannot be 'chwn'; give nchw, nhwc"),
        ({"order": "hsv"}, "The order of images cannot be 'hsv'"),
        ({"std": (0.0,)}, "The std of pixels must be above 0"),
        ({"scale": 0.0}, "their scale not 0"),
        ({"mean": (float("nan"),)}, "must be finite numbers"),
        ({"size": (0, 4)}, "size of images must be 1 or more"),
        ({"crop": "squash", "resize": 9}, "it needs that crop"),
    ],
)
def test_preprocessing_that_makes_no_sense(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OnnxPruneError, match=says):
        Preprocess(**options)
