"""Data of every form become the feeds that a graph takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import proto

from onnxprune.calibration import Calibration, Dataset, Preprocess, read_dataset
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph, load

FASHION = Path("models/fashion.onnx").absolute()
FASHION_TEST = Path("models/fashion_test.npz").absolute()


def _graph(inputs: str, body: str = "y = Identity(x)", outputs: str = "float y") -> Graph:
    return load(proto(f"({inputs}) => ({outputs}) {{ {body} }}"))


VECTORS = "float[N,3] x"
PAIR = "float[N,3] x, int64[N,2] ids, bool[N,2] mask"
PAIR_BODY = "y = Identity(x) z = Identity(ids) w = Not(mask)"


@pytest.fixture
def vectors() -> Graph:
    return _graph(VECTORS, outputs="float[N,3] y")


@pytest.fixture
def pair() -> Graph:
    return _graph(PAIR, PAIR_BODY, "float[N,3] y, int64[N,2] z, bool[N,2] w")


def _all(dataset: Calibration, name: str = "x") -> np.ndarray:
    return np.concatenate([feeds[name] for feeds in dataset])


def _sizes(dataset: Calibration) -> list[int]:
    return [len(next(iter(feeds.values()))) for feeds in dataset]


def test_an_array_file_is_read_in_batches_again_and_again(vectors: Graph, tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((10, 3), np.float32)
    np.save(tmp_path / "data.npy", array)
    dataset = read_dataset(tmp_path / "data.npy", vectors, batch=4)
    for _ in range(2):
        assert _sizes(dataset) == [4, 4, 2]
        np.testing.assert_array_equal(_all(dataset), array)
    assert (dataset.samples, dataset.total) == (10, 10)
    assert dataset.origin == f"10 samples of {tmp_path / 'data.npy'}"


def test_an_array_file_is_never_read_whole(tmp_path: Path) -> None:
    """4 TB in a sparse file: only what is asked for is touched."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * 10**12)
    wide = _graph("float[N,1000000] x", outputs="float[N,1000000] y")
    dataset = read_dataset(tmp_path / "huge.npy", wide, batch=2)
    assert dataset.samples == 10**6
    assert next(iter(dataset))["x"].shape == (2, 10**6)


def test_a_subset_is_drawn_by_the_seed(vectors: Graph) -> None:
    array = np.arange(300, dtype=np.float32).reshape(100, 3)
    drawn = read_dataset(array, vectors, samples=10, seed=3)
    again = read_dataset(array, vectors, samples=10, seed=3)
    other = read_dataset(array, vectors, samples=10, seed=4)
    assert drawn.origin == "10 of 100 samples of an array, seed 3"
    assert list(drawn.indices) == sorted(set(drawn.indices))
    assert list(drawn.indices) != list(range(10))
    np.testing.assert_array_equal(_all(drawn), array[drawn.indices])
    np.testing.assert_array_equal(drawn.indices, again.indices)
    assert list(drawn.indices) != list(other.indices)
    assert drawn.fingerprint == again.fingerprint != other.fingerprint
    assert read_dataset(array, vectors, samples=1000).samples == 100


def test_the_fingerprint_follows_content_and_options(vectors: Graph, tmp_path: Path) -> None:
    array = np.zeros((10, 3), np.float32)
    marks = [read_dataset(array, vectors).fingerprint]
    marks.append(read_dataset(array, vectors, batch=2).fingerprint)
    changed = array.copy()
    changed[4, 1] = 1
    marks.append(read_dataset(changed, vectors).fingerprint)
    np.save(tmp_path / "a.npy", array)
    marks.append(read_dataset(tmp_path / "a.npy", vectors).fingerprint)
    np.save(tmp_path / "a.npy", changed)
    marks.append(read_dataset(tmp_path / "a.npy", vectors).fingerprint)
    marks.append(read_dataset(list(array), vectors).fingerprint)
    marks.append(read_dataset(list(changed), vectors).fingerprint)
    marks.append(read_dataset("noise", vectors).fingerprint)
    marks.append(read_dataset("uniform", vectors).fingerprint)
    assert len(set(marks)) == len(marks)
    assert marks[0] == read_dataset(array.copy(), vectors).fingerprint


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_file_of_arrays_feeds_several_inputs(
    pair: Graph, tmp_path: Path, write: Callable[..., None]
) -> None:
    ids = np.arange(10).reshape(5, 2)
    write(tmp_path / "d.npz", x=np.ones((5, 3)), ids=ids, mask=ids > 3, other=np.zeros(2))
    dataset = read_dataset(tmp_path / "d.npz", pair, batch=2)
    assert dataset.samples == 5
    assert set(next(iter(dataset))) == {"x", "ids", "mask"}
    np.testing.assert_array_equal(_all(dataset, "ids"), ids)
    assert _all(dataset, "x").dtype == np.float32
    assert _all(dataset, "mask").dtype == np.bool_


def test_one_input_takes_the_array_that_is_no_labels() -> None:
    dataset = read_dataset(FASHION_TEST, load(FASHION))
    assert dataset.samples == 1000
    assert dataset.origin == f"1,000 samples of {FASHION_TEST}"
    images = np.load(FASHION_TEST)["images"]
    fed = _all(dataset, "image")
    assert (fed.shape, fed.dtype) == ((1000, 1, 28, 28), np.float32)
    np.testing.assert_allclose(fed[:, 0], images / 255, rtol=1e-6)


def test_a_static_batch_is_kept_and_its_rest_counted() -> None:
    array = np.zeros((11, 3), np.float32)
    fixed = _graph("float[4,3] x", outputs="float[4,3] y")
    dataset = read_dataset(array, fixed, batch=32)
    assert _sizes(dataset) == [4, 4]
    assert dataset.samples == len(dataset.indices) == 8
    assert dataset.origin == "8 of 11 samples of an array (3 do not fill a batch of 4)"
    single = _graph("float[1,3] x", outputs="float[1,3] y")
    assert _sizes(read_dataset(array, single)) == [1] * 11
    with pytest.raises(OnnxPruneError, match=r"batches of 4 samples, and there are only 3; give"):
        read_dataset(array[:3], fixed)


class _Lazy:
    """A sequence that makes its items when they are asked for, as a torch dataset does."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> np.ndarray:
        if index >= len(self):
            raise IndexError
        return np.full(3, index, np.float32)


def test_sequences_of_samples_and_of_batches(vectors: Graph, pair: Graph) -> None:
    batches = [np.full((n, 3), n, np.float32) for n in (1, 4, 2)]
    dataset = read_dataset(batches, vectors, batch=3)
    assert _sizes(dataset) == [3, 3, 1]
    np.testing.assert_array_equal(_all(dataset), np.concatenate(batches))
    np.testing.assert_array_equal(_all(dataset), _all(dataset))
    drawn = read_dataset(batches, vectors, samples=3, seed=1)
    np.testing.assert_array_equal(_all(drawn), np.concatenate(batches)[drawn.indices])
    lazy = read_dataset(_Lazy(), vectors, batch=2)
    assert list(_all(lazy)[:, 0]) == [0, 1, 2, 3, 4]
    feeds = [{"x": [1.0, 2, 3], "ids": [i, i], "mask": [True, False]} for i in range(3)]
    assert list(_all(read_dataset(feeds, pair), "ids")[:, 0]) == [0, 1, 2]
    whole = {"x": np.ones((2, 3)), "ids": np.ones((2, 2), int), "mask": np.ones((2, 2), bool)}
    assert read_dataset(whole, pair).samples == 2


def test_an_input_without_axes_is_the_same_for_all() -> None:
    graph = _graph("float[N,3] x, float t", "y = Mul(x, t)", "float[N,3] y")
    feeds = {"x": np.ones((4, 3), np.float32), "t": np.float32(2)}
    assert [float(batch["t"]) for batch in read_dataset(feeds, graph, batch=3)] == [2, 2]
    items = [{"x": np.ones(3), "t": np.array(float(i))} for i in range(2)]
    assert [float(batch["t"]) for batch in read_dataset(items, graph, batch=1)] == [0, 1]
    with pytest.raises(OnnxPruneError, match="'t' has no axes, and so must be the same"):
        list(read_dataset(items, graph, batch=2))


@pytest.mark.parametrize("kind", ["noise", "uniform"])
def test_noise(pair: Graph, kind: str) -> None:
    dataset = read_dataset(kind, pair, samples=400, seed=5, batch=64)
    x, ids = _all(dataset), _all(dataset, "ids")
    assert (x.shape, x.dtype, ids.dtype) == ((400, 3), np.float32, np.int64)
    if kind == "noise":
        assert abs(x.mean()) < 0.1
        assert abs(x.std() - 1) < 0.1
        assert dataset.origin == "400 samples of Gaussian noise, seed 5"
    else:
        assert x.min() >= 0
        assert x.max() < 1
        assert abs(x.mean() - 0.5) < 0.05
    assert (ids.min(), ids.max()) == (1, 8)
    assert _all(dataset, "mask").all()
    np.testing.assert_array_equal(x, _all(read_dataset(kind, pair, samples=400, seed=5)))
    assert (x != _all(read_dataset(kind, pair, samples=400, seed=6))).any()
    assert read_dataset(kind, pair).samples == 256


def test_noise_finds_sizes_by_running_the_model() -> None:
    body = "(float[N,3,H,W] x, float t) => (float[N,4] y) {"
    body += " f = Flatten(x) m = MatMul(f, w) y = Mul(m, t) }"
    graph = load(proto(body, "w 768 4"))  # 3 * 16 * 16
    batches = list(read_dataset("noise", graph, samples=5, batch=4))
    assert [batch["x"].shape for batch in batches] == [(4, 3, 16, 16), (1, 3, 16, 16)]
    sized = read_dataset("noise", graph, samples=2, preprocess=Preprocess(size=(8, 32)))
    assert next(iter(sized))["x"].shape == (2, 3, 8, 32)


def test_wrong_arrays(vectors: Graph, pair: Graph) -> None:
    def says(source: object, graph: Graph = vectors) -> str:
        with pytest.raises(OnnxPruneError) as raised:
            list(read_dataset(source, graph))
        return str(raised.value)

    takes = "input 'x', float (N, 3),"
    assert says(np.zeros((5, 4), np.float32)) == (
        f"samples of an array: {takes} does not take float32 (5, 4); change its shape".replace(
            "(5, 4)", "(1, 4)"
        )
    )
    assert "does not take float32 (1, 3, 1); change" in says(np.zeros((5, 3, 1), np.float32))
    assert "does not take int64 (1, 3); convert it" in says(np.zeros((5, 3), int))
    assert "does not take complex128 (1, 3); convert" in says(np.zeros((5, 3), complex))
    assert "does not take uint8 (1, 3); convert it" in says(np.zeros((5, 3), np.uint8))
    assert "an array of objects, not of numbers" in says(np.array([["a", None, 1]] * 5, object))
    assert says(np.zeros((0, 3), np.float32)) == "samples of an array: there are no samples"
    assert says([]) == "given samples: there are no samples"
    assert "given samples, item 1: not an array (" in says([np.zeros(3), [[1], [1, 2]]])
    assert "nothing for the input 'ids'; there is only x" in says({"x": np.zeros((2, 3))}, pair)
    assert "a list does not feed 3 inputs; give a dict" in says([[1.0, 2, 3]], pair)
    uneven = {"x": np.zeros((2, 3)), "ids": np.zeros((3, 2), int), "mask": np.ones((3, 2), bool)}
    assert "differ in their number of samples: 'x' 2, 'ids' 3, 'mask' 3" in says(uneven, pair)
    lengths = _graph("float[N,T] x", outputs="float[N,T] y")
    said = says([np.zeros(3), np.zeros(4)], lengths)
    assert "'x' differ in shape, (3,) and (4,); give a batch of 1, or pad them" in said
    small = _graph("int8[N,3] x", outputs="int8[N,3] y")
    assert "does not hold the integers 0 to 300" in says(np.full((2, 3), [0, 300, 1]), small)


def test_what_can_be_read_once_is_refused(vectors: Graph) -> None:
    def generator() -> Iterator[np.ndarray]:
        yield np.zeros(3)

    with pytest.raises(OnnxPruneError, match="Data cannot be a generator, which is not read again"):
        read_dataset(generator(), vectors)
    with pytest.raises(OnnxPruneError, match="Data cannot be a int"):
        read_dataset(3, vectors)


def test_wrong_files(vectors: Graph, pair: Graph, tmp_path: Path) -> None:
    def says(name: str, graph: Graph = vectors) -> str:
        with pytest.raises(OnnxPruneError) as raised:
            read_dataset(tmp_path / name, graph)
        return str(raised.value).removeprefix(f"{tmp_path / name}: ")

    assert says("none.npy").startswith("no such file or folder; check the path")
    (tmp_path / "text.npy").write_text("1 2 3")
    assert says("text.npy") == "not a .npy file; write it with numpy.save"
    (tmp_path / "text.npz").write_text("1 2 3")
    assert says("text.npz").startswith(
        "damaged, or no .npz file (File is not a zip file); write it"
    )
    (tmp_path / "text.csv").write_text("1 2 3")
    assert says("text.csv").startswith("data are a folder of images, a .npy or a .npz file")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    assert says("objects.npy").startswith("damaged, or no plain array of samples (")
    np.savez(tmp_path / "objects.npz", allow_pickle=True, x=np.array([{}], object))
    assert says("objects.npz").startswith("damaged, or no plain arrays (")
    np.save(tmp_path / "whole.npy", np.zeros((50, 3), np.float32))
    content = (tmp_path / "whole.npy").read_bytes()
    for cut in (8, 60, 200):
        (tmp_path / "cut.npy").write_bytes(content[:cut])
        assert says("cut.npy").startswith("damaged, or no plain array of samples (")
    np.savez_compressed(tmp_path / "whole.npz", x=np.random.default_rng(0).random((500, 3)))
    packed = bytearray((tmp_path / "whole.npz").read_bytes())
    packed[2000] ^= 1
    (tmp_path / "flipped.npz").write_bytes(packed)
    assert says("flipped.npz").startswith("damaged, or no ")
    np.savez(tmp_path / "names.npz", a=np.zeros((2, 3)), b=np.zeros((2, 3)))
    assert says("names.npz").startswith("no array for the input 'x' among a, b; write it")
    assert "one array does not feed the inputs 'x', 'ids', 'mask'" in says("whole.npy", pair)
    np.save(tmp_path / "empty.npy", np.zeros((0, 3), np.float32))
    assert says("empty.npy") == "there are no samples"
    np.save(tmp_path / "number.npy", np.float32(1))
    assert says("number.npy") == "there are no samples"


def test_wrong_options(vectors: Graph) -> None:
    array = np.zeros((4, 3), np.float32)
    for options, says in (
        ({"samples": 0}, "0 samples are none"),
        ({"batch": 0}, "A batch of 0 samples is none"),
        ({"seed": -1}, "The seed -1 is negative"),
        ({"input": "z"}, "no input 'z'; its inputs are 'x'"),
        ({"input": "x"}, "No input of the model takes images"),
        ({"preprocess": Preprocess(mean=(0.5,))}, "No input of the model takes images"),
    ):
        with pytest.raises(OnnxPruneError, match=says):
            read_dataset(array, vectors, **options)  # type: ignore[arg-type]
    with pytest.raises(OnnxPruneError, match="as the model takes it; give no more than size"):
        read_dataset("noise", vectors, preprocess=Preprocess(scale=2.0))


def test_wrong_graphs() -> None:
    array = np.zeros((4, 3), np.float32)
    states = _graph("float[7,N,3] x, float[1,N,3] h", "y = Add(x, h)", "float[7,N,3] y")
    with pytest.raises(OnnxPruneError, match=r"'x' \(7\) and 'h' \(1\) differ in their first axis"):
        read_dataset("noise", states)
    strings = load(proto("(string[N] x) => (string[N] y) { y = Identity(x) }"))
    with pytest.raises(OnnxPruneError, match="input 'x' is neither numbers nor booleans"):
        read_dataset(array, strings)
    with pytest.raises(OnnxPruneError, match="the model takes no inputs"):
        read_dataset(array, load(proto("() => (float[2] y) { y = Identity(w) }", "w 2")))


def test_data_load_neither_onnxruntime_nor_pillow(vectors: Graph) -> None:
    assert isinstance(read_dataset(np.zeros((4, 3), np.float32), vectors), Dataset)
    import subprocess

    code = "import sys, onnxprune.calibration; print({'PIL', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("kind", ["pink", "leaves"])
@pytest.mark.parametrize("shape", ["N,3,8,8", "N,8,8,3"])
def test_random_images_are_preprocessed_as_photographs_are(kind: str, shape: str) -> None:
    graph = load(proto(f"(float[{shape}] x) => (float[{shape}] y) {{ y = Sub(x, x) }}"))
    plain, known, bytes_ = (
        next(iter(read_dataset(kind, graph, samples=4, preprocess=Preprocess(**asked))))["x"]
        for asked in ({}, {"mean": (0.1, 0.2, 0.3), "std": (0.5, 1, 2)}, {"scale": 1.0})
    )
    channels = (3, 1, 1) if shape == "N,3,8,8" else (3,)
    mean, std = (np.reshape(v, channels) for v in ((0.1, 0.2, 0.3), (0.5, 1, 2)))
    np.testing.assert_allclose(known, (plain - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bytes_, 255 * plain, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "shape", "asked", "says"),
    [
        ("noise", "N,3,8,8", {"mean": (0.5,)}, "give no more than size and layout"),
        ("pink", "N,3,8,8", {"resize": 9}, "give no more than mean, std, scale, size and layout"),
        ("leaves", "N,8", {"mean": (0.5,)}, "takes no images; leave out mean, std and scale"),
    ],
)
def test_preprocessing_that_random_samples_have_not(
    kind: str, shape: str, asked: dict[str, Any], says: str
) -> None:
    graph = load(proto(f"(float[{shape}] x) => (float[{shape}] y) {{ y = Relu(x) }}"))
    with pytest.raises(OnnxPruneError, match=says):
        read_dataset(kind, graph, preprocess=Preprocess(**asked))
