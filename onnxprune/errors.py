"""Every error that onnxprune raises on purpose.

::

    OnnxPruneError
    ├── LoadError            the model file cannot be read, or is not a usable model
    ├── SaveError            the result cannot be written
    ├── SentenceError        a rule's sentence is malformed or contradicts the shapes
    ├── ChoiceError          a choice names unknown units or channels, or would empty a tensor
    ├── RefusedError         understood, but the answer is no
    │   ├── NothingToPrune   no unit of the model may lose a channel
    │   ├── BudgetError      no allowed choice meets the budget
    │   └── VerificationFailed   the pruned model does not answer as the masked original
    └── MissingExtra         an optional dependency is not installed

The command line turns ``RefusedError`` into exit code 1 and every other one into exit code 2.
"""

from __future__ import annotations

__all__ = [
    "BudgetError",
    "ChoiceError",
    "LoadError",
    "MissingExtra",
    "NothingToPrune",
    "OnnxPruneError",
    "RefusedError",
    "SaveError",
    "SentenceError",
    "VerificationFailed",
    "plain",
]


def plain(text: str) -> str:
    """Text with every line break and control character spelt out, safe to show on a terminal.

    Names come from model files, so they may hold anything.

    Args:
        text: Any text.

    Returns:
        One line of printable characters.

    Example::

        >>> plain("two\\nlines")
        'two\\\\nlines'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class OnnxPruneError(Exception):
    """Base of all errors that onnxprune raises on purpose; its text is one clear, plain line."""

    def __str__(self) -> str:
        return plain(super().__str__())


class LoadError(OnnxPruneError):
    """The model cannot be read: no such file, not an ONNX model, damaged, data missing."""


class SaveError(OnnxPruneError):
    """The result cannot be written: the path exists, is a directory, or is not writable."""


class SentenceError(OnnxPruneError):
    """A sentence of the axis language is malformed, or contradicts the shapes it is bound to."""


class ChoiceError(OnnxPruneError):
    """A choice names an unknown unit or channel, is out of range, or would empty a tensor."""


class RefusedError(OnnxPruneError):
    """The request was understood and the answer is no."""


class NothingToPrune(RefusedError):
    """No unit of the model may lose a channel."""


class BudgetError(RefusedError):
    """No allowed choice meets the budget."""


class VerificationFailed(RefusedError):
    """The pruned model does not give what the masked original gives."""


class MissingExtra(OnnxPruneError):
    """An optional dependency is needed and not installed."""
