"""What errors say is one line that a terminal can show."""

from __future__ import annotations

import pytest

from onnxprune import errors
from onnxprune.errors import OnnxPruneError, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, ü and 漢", "plain words, ü and 漢"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31m\x7f\x9b", "\\x1b[31m\\x7f\\x9b"),
        ("\u202e\u2028\udcff", "\\u202e\\u2028\\udcff"),
        ("", ""),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert str(OnnxPruneError(text)) == shown


def test_every_error_is_in_the_tree() -> None:
    for name in errors.__all__:
        error = getattr(errors, name)
        if isinstance(error, type):
            assert issubclass(error, OnnxPruneError)
            assert name in (errors.__doc__ or "")
