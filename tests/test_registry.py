"""Names to things."""

from __future__ import annotations

import pytest

from onnxprune import registry
from onnxprune.errors import OnnxPruneError
from onnxprune.registry import Registry


class _Point:
    """An entry point of another package."""

    name = "theirs"

    def __init__(self, colours: Registry[str], error: Exception | None = None) -> None:
        self.colours, self.error, self.loads = colours, error, 0

    def load(self) -> None:
        self.loads += 1
        if self.error is not None:
            raise self.error
        self.colours.register("mauve")("#e0b0ff")


def _with_point(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None = None
) -> tuple[Registry[str], _Point]:
    colours: Registry[str] = Registry("colour")
    colours.register("red", "crimson")("#f00")
    point = _Point(colours, error)

    def points(group: str) -> list[_Point]:
        assert group == "onnxprune.colour"
        return [point]

    monkeypatch.setattr(registry, "entry_points", points)
    return colours, point


def test_what_is_here_is_found_without_loading_other_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    colours, point = _with_point(monkeypatch)
    assert colours.get("crimson") == "#f00"
    assert point.loads == 0


def test_other_packages_are_loaded_once_when_they_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    colours, point = _with_point(monkeypatch)
    assert colours.find("mauve") == "#e0b0ff"
    assert colours.find("blue") is None
    assert list(colours) == ["crimson", "mauve", "red"]
    assert point.loads == 1


def test_an_extra_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    colours, _ = _with_point(monkeypatch, ImportError("no torch"))
    assert list(colours) == ["crimson", "red"]


def test_an_unknown_name_tells_what_is_near_or_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    colours, _ = _with_point(monkeypatch)
    with pytest.raises(OnnxPruneError, match="no colour 'crimsom'; did you mean 'crimson'"):
        colours.get("crimsom")
    with pytest.raises(OnnxPruneError, match="there are: crimson, mauve, red"):
        colours.get("#")


def test_a_name_is_taken_once() -> None:
    colours: Registry[str] = Registry("colour")
    colours.register("red")("#f00")
    with pytest.raises(ValueError, match="'red' is registered twice"):
        colours.register("red")("#e00")
