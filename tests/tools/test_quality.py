"""What is measured of real models: inputs, answers, figures, and the page."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from helpers import proto

pytest.importorskip("PIL")
pytest.importorskip("tokenizers")

from PIL import Image

import onnxprune as op
from onnxprune.calibration import Calibration
from tools import fetch as fetcher
from tools.fetch import FetchError
from tools.quality import magika, minilm, photographs, ppocr_rec, table, text, u2netp
from tools.quality.case import Array, Case, batched
from tools.quality.sources import Source, members

CONTENT = b"a photograph"
GOOD = hashlib.sha256(CONTENT).hexdigest()

MAGIKA = magika.Config(
    beg_size=6,
    end_size=4,
    padding_token=256,
    block_size=16,
    min_file_size_for_dl=3,
    target_labels_space=["python", "randomtxt"],
    overwrite_map={"randomtxt": "txt"},
)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """pip, replaced: what it was asked for."""
    packages: list[str] = []
    wheel = tmp_path / "package.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("package/a.jpg", CONTENT)

    def download(package: str, version: str, folder: Path) -> Path:
        packages.append(f"{package}=={version}")
        return wheel

    monkeypatch.setattr(fetcher, "_download", download)
    return packages


def test_a_file_is_fetched_once_and_checked(tmp_path: Path, asked: list[str]) -> None:
    source = Source("package", "1.0", "package/a.jpg", GOOD)
    for _ in range(2):
        [path] = members([source], tmp_path / "files")
        assert path.read_bytes() == CONTENT
    assert asked == ["package==1.0"]
    path.write_bytes(b"broken off")
    members([source], tmp_path / "files")
    assert path.read_bytes() == CONTENT
    assert asked == ["package==1.0"] * 2
    with pytest.raises(FetchError, match="SHA-256"):
        members([Source("package", "1.0", "package/a.jpg", "0" * 64)], tmp_path / "other")


def test_calibration_and_test_photographs_are_not_the_same() -> None:
    every = [*photographs.IMAGENET, *photographs.OTHERS]
    assert len({source.sha256 for source in every}) == len(every)
    assert len({source.path(Path()) for source in every}) == len(every)


def test_sentences_are_plain_and_in_one_set_only() -> None:
    first, second = text.two_sets(50, 70)
    assert len({*first, *second}) == 120
    assert text.two_sets(50, 70) == (first, second)
    for sentence in first:
        assert sentence[0].isupper()
        assert sentence[-1] in ".?!"
        assert "::" not in sentence
        assert text.SHORTEST <= len(sentence.split()) <= text.LONGEST


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"  abc \n", [97, 98, 99, 32, 10, 256, 32, 97, 98, 99]),
        (b"\tabcdefghi", [97, 98, 99, 100, 101, 102, 102, 103, 104, 105]),
        (b"ab" + b"." * 30 + b"yz \n", [97, 98, 46, 46, 46, 46, 46, 46, 121, 122]),
    ],
    ids=["short", "one block", "two blocks"],
)
def test_magika_reads_both_ends(content: bytes, expected: list[int]) -> None:
    found = magika.features(io.BytesIO(content), MAGIKA)
    assert found is not None
    assert found.dtype == np.int32
    assert found.tolist() == expected


@pytest.mark.parametrize("content", [b"", b"ab", b"     a\n"])
def test_magika_does_not_ask_its_model_of_a_few_bytes(content: bytes) -> None:
    assert magika.features(io.BytesIO(content), MAGIKA) is None


def test_files_are_split_without_any_content_twice(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"{index:02}.py").write_text(f"x{index % 20:02}")
    (tmp_path / "a.unknown").write_text("nothing known")
    (tmp_path / "link.py").symlink_to(tmp_path / "01.py")
    files = magika.files_by_extension([tmp_path, tmp_path])
    assert {extension: len(paths) for extension, paths in files.items() if paths} == {".py": 30}
    calibration, tests = magika.split(files, MAGIKA, 4, 6)
    assert (len(calibration), len(tests)) == (4, 6)
    inputs = {input.tobytes() for _, input in calibration + tests}
    assert len(inputs) == 10
    few, rest = magika.split({".py": files[".py"][:5]}, MAGIKA, 4, 6)
    assert (len(few), len(rest)) == (2, 3)


def test_magika_labels() -> None:
    assert [MAGIKA.label(index) for index in range(2)] == ["python", "txt"]


def test_positions_become_text() -> None:
    best = np.array([[1, 1, 0, 1, 3, 2], [0, 0, 0, 0, 0, 0]])
    scores = np.eye(4, dtype=np.float32)[best]
    assert ppocr_rec.decode(scores, ["", "a", "b", " "]) == ["aa b", ""]


def test_the_alphabet_is_in_the_model(tmp_path: Path) -> None:
    model = proto("(float[1] x) => (float[1] y) { y = Relu(x) }")
    onnx.helper.set_model_props(model, {"character": "a\nb"})
    onnx.save(model, tmp_path / "model.onnx")
    assert ppocr_rec.characters(tmp_path / "model.onnx") == ["", "a", "b", " "]


@pytest.mark.parametrize(
    ("found", "right", "edits"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("ab", "ba", 2),
        ("of all", "ofall", 1),
    ],
)
def test_edit_distance(found: str, right: str, edits: int) -> None:
    assert ppocr_rec.distance(found, right) == ppocr_rec.distance(right, found) == edits


def test_lines_are_words_of_their_sentence() -> None:
    sentence = "one two three four five six"
    for seed in range(20):
        line = ppocr_rec.line_of(sentence, random.Random(seed))
        assert line in sentence
        assert ppocr_rec.WORDS[0] <= len(line.split()) <= ppocr_rec.WORDS[1]


def test_images_become_a_padded_batch() -> None:
    red = np.zeros((48, 330, 3), np.uint8)
    red[:, :, 0] = 255
    batch = ppocr_rec.feeds_of([red, red[:, :5]])["x"]
    assert batch.shape == (2, 3, 48, 330)
    assert batch[0, :, 0, 329].tolist() == [-1, -1, 1], "blue, green, red"
    assert not batch[1, :, :, 5:].any()


def test_rank_correlation() -> None:
    assert minilm.ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist() == [2.5, 1, 2.5, 4]
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    assert minilm.spearman(values, values**3) == pytest.approx(1)
    assert minilm.spearman(values, -np.exp(values)) == pytest.approx(-1)
    other = np.array([2.0, 1.0, 4.0, 3.0, 5.0])
    assert minilm.spearman(values, other) == pytest.approx(1 - 6 * 4 / (5 * 24)), "Spearman's own"


def test_sentences_that_moved_apart() -> None:
    vectors = [np.array(row, float) for row in ([1, 0], [1, 0.1], [0, 1], [0.1, 1])]
    moved = [vectors[0], vectors[2], vectors[1], vectors[3]]
    assert minilm.quality(vectors, [3 * v for v in vectors])["rank correlation"] == pytest.approx(1)
    assert minilm.quality(vectors, vectors)["same nearest"] == 1
    assert minilm.quality(vectors, moved)["same nearest"] == 0


def test_photographs_become_pixels_and_outputs_masks() -> None:
    image = Image.new("RGB", (10, 20), (200, 100, 0))
    found = u2netp.pixels(image)
    assert found.shape == (3, 320, 320)
    expected = (np.array([1, 0.5, 0]) - u2netp.MEAN) / u2netp.DEVIATION
    assert found[:, 0, 0] == pytest.approx(expected)
    [mask, flat] = u2netp.masks(np.array([[[[0.2, 0.4]]], [[[0.3, 0.3]]]], np.float32))
    assert mask.tolist() == [[0, 1]]
    assert not flat.any()


def test_masks_are_compared() -> None:
    left, right, none = np.array([1, 1, 0, 0]), np.array([0, 1, 1, 0]), np.zeros(4)
    assert u2netp.intersection_over_union(left > 0, right > 0) == pytest.approx(1 / 3)
    assert u2netp.intersection_over_union(none > 0, none > 0) == 1
    assert u2netp.quality([left, left], [left, right]) == {
        "IoU": pytest.approx(2 / 3),
        "mean absolute error": 0.25,
        "covered": 0.5,
    }


def tiny(folder: Path) -> Case:
    """A case whose model has a dynamic size, and answers by the larger of two outputs."""
    model = proto(
        "(float[n, 3, h, 8] x) => (float[n, 2] y) { a = Conv <pads = [1, 1, 1, 1]> (x, w) "
        "b = Relu(a) c = GlobalAveragePool(b) d = Flatten(c) y = MatMul(d, v) }",
        "w 16 3 3 3, v 16 2",
    )
    path = folder / "tiny.onnx"
    onnx.save(model, path)
    inputs = np.random.default_rng(0).normal(size=(10, 3, 6, 8)).astype(np.float32)
    feeds = batched("x", inputs[:4], 2)

    def read(output: Array) -> list[int]:
        return output.argmax(axis=1).tolist()

    def quality(original: list[int], pruned: list[int]) -> dict[str, float]:
        return {"same": float(np.mean(np.equal(original, pruned)))}

    return Case(
        name="tiny",
        path=path,
        about="Noise.",
        sizes={"x": (1, 3, 6, 8)},
        output="y",
        calibration=Calibration(lambda: feeds, 4, "noise"),
        tests=batched("x", inputs[4:], 4),
        read=read,
        quality=quality,
    )


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tiny case instead of the real ones: the names of those that were made."""
    made: list[str] = []

    def case(folder: Path) -> Case:
        made.append("tiny")
        return tiny(folder)

    cases: dict[str, Callable[[Path], Case]] = {"tiny": case}
    monkeypatch.setattr(table, "CASES", cases)
    return made


def test_macs_are_counted_with_sizes(tmp_path: Path) -> None:
    case = tiny(tmp_path)
    assert op.cost(op.load(case.sized())).macs == 16 * 3 * 9 * 6 * 8 + 16 * 2
    assert [row.asked for row in table.measured(case, [(1, False), (0.5, False)])] == [1, 0.5]


def test_the_page_is_written_and_a_cut_run_goes_on(tmp_path: Path, cases: list[str]) -> None:
    results, page = tmp_path / "results.jsonl", tmp_path / "page.md"
    arguments = [str(page), "--files", str(tmp_path), "--results", str(results)]
    assert table.main([*arguments, "--no-refit"]) == 0
    rows = [msgspec.json.decode(line, type=table.Row) for line in results.read_text().splitlines()]
    assert [row.key for row in rows] == [("tiny", asked, False) for asked in (1, *table.FRACTIONS)]
    assert all(row.macs <= row.asked for row in rows)
    assert all((row.calibration, row.tests) == (4, 6) for row in rows)
    assert "| keeps | MACs | parameters | same |\n" in page.read_text()
    assert "| original | 1.000 | 1.000 | 1.000 |\n" in page.read_text()
    assert "refit" not in page.read_text()

    results.write_bytes(b"\n".join(results.read_bytes().splitlines()[:-1]) + b"\n")
    assert table.main(arguments) == 0
    rows = [msgspec.json.decode(line, type=table.Row) for line in results.read_text().splitlines()]
    assert sum(row.refit for row in rows) == 3
    assert all(row.macs <= row.asked for row in rows)
    assert len(rows) == 7
    assert "| keeps | MACs | parameters | same | same, refit |\n" in page.read_text()
    assert len(cases) == 2

    assert table.main(arguments) == 0
    assert len(cases) == 2, "nothing is measured again"


def test_a_model_that_cannot_be_had_is_left_out(
    tmp_path: Path,
    cases: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def absent(folder: Path) -> Case:
        raise FetchError("pip cannot download absent==1.0: no matching distribution")

    monkeypatch.setattr(table, "CASES", {"absent": absent, **table.CASES})
    page = tmp_path / "page.md"
    assert table.main([str(page), "--files", str(tmp_path), "--no-refit"]) == 1
    assert capsys.readouterr().err.startswith("absent: pip cannot download")
    assert "## tiny" in page.read_text()
