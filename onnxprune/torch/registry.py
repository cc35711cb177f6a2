"""Which function runs which ONNX operator, and what that function is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from onnxprune.torch.errors import Leak, UnsupportedOperator
from onnxprune.torch.masked import Masked

__all__ = ["Call", "Handler", "find", "operator", "supported"]


@dataclass(frozen=True, slots=True)
class Call:
    """One node, ready to run.

    Attributes:
        operator: The operator's name.
        opset: The version of its operator set.
        inputs: The arguments; None where an optional one is left out.
        attributes: The attributes that the node sets, as Python values and tensors.
        outputs: How many results are wanted.
    """

    operator: str
    opset: int
    inputs: Sequence[Masked | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1

    def __getitem__(self, position: int) -> Masked:
        """A required argument."""
        x = self.optional(position)
        if x is None:
            raise UnsupportedOperator(f"input {position} is missing")
        return x

    def optional(self, position: int) -> Masked | None:
        """An argument that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(name, default)

    def numbers(self, name: str, position: int) -> list[Any] | None:
        """A list that is an attribute in old versions and an input in new ones."""
        if name in self.attributes:
            return list(self.attributes[name])
        x = self.optional_setting(position)
        return None if x is None else list(x.flatten().tolist())

    def integers(self, name: str, position: int) -> list[int] | None:
        """`numbers`, for whole ones."""
        numbers = self.numbers(name, position)
        return None if numbers is None else [int(number) for number in numbers]

    def tensor(self, position: int) -> Tensor:
        """The value of a required argument."""
        return self[position].value

    def setting(self, position: int) -> Tensor:
        """The value of an argument that says what is to be done.

        Raises:
            Leak: Some of it is missing.
        """
        x = self[position]
        if x.present is not None:
            raise Leak(position, "entries missing of what says how to compute")
        return x.value

    def optional_setting(self, position: int) -> Tensor | None:
        """`setting`, where it may be left out."""
        return None if self.optional(position) is None else self.setting(position)

    def refuse(self, detail: str) -> UnsupportedOperator:
        """The error for a variant that is not supported."""
        return UnsupportedOperator(detail)


Handler = Callable[[Call], Masked | Sequence[Masked]]

_HANDLERS: dict[str, Handler] = {}


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Register a function as the one that runs some operators.

    Args:
        names: Their names; those outside ai.onnx are written ``domain::Operator``.
    """

    def register(handler: Handler) -> Handler:
        for name in names:
            if name in _HANDLERS:
                raise ValueError(f"{name} has been registered twice")
            _HANDLERS[name] = handler
        return handler

    return register


def find(domain: str, name: str) -> Handler | None:
    """The function that runs an operator; None if there is none."""
    return _HANDLERS.get(name if domain in ("", "ai.onnx") else f"{domain}::{name}")


def supported() -> list[str]:
    """The names of all operators that have a function here."""
    return sorted(_HANDLERS)
