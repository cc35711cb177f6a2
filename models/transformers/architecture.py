"""What the registry says of one architecture, and how it becomes a module that takes tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from models.randomise import randomise

__all__ = ["Answers", "Architecture", "Continues", "Input"]

VOCABULARY = 100
PADDING = 3


@dataclass(frozen=True)
class Input:
    """One tensor that ``forward`` takes.

    Attributes:
        shape: Its sizes without the batch.
        kind: "token" (integers), "mask" (ones, the last of a row zero) or "real" (in 0..1).
        open: Axis -> the name of its size, where the model takes any size.
    """

    shape: tuple[int, ...]
    kind: str = "real"
    open: Mapping[int, str] = field(default_factory=dict)

    def tensor(self, batch: int, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
        """Random values; `sizes` replace the sizes of open axes."""
        shape = [batch, *self.shape]
        for axis, name in self.open.items():
            shape[axis] = sizes.get(name, shape[axis])
        if self.kind == "token":
            return torch.randint(4, VOCABULARY, shape, generator=generator)
        if self.kind == "mask":
            mask = torch.ones(shape, dtype=torch.int64)
            mask[-1, -PADDING:] = 0
            return mask
        return torch.rand(shape, generator=generator)


class Answers(nn.Module):
    """A model of `transformers` that takes tensors in order and gives tensors in order.

    Args:
        model: The model.
        inputs: The names of its arguments.
        outputs: The names of its answers.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The answers to the arguments."""
        answer = self.model(**dict(zip(self.inputs, tensors, strict=True)), return_dict=True)
        return tuple(getattr(answer, name) for name in self.outputs)


class Continues(Answers):
    """A decoder that goes on from keys and values of earlier tokens, and gives them with its own.

    Its last inputs are the keys and values of each layer, in turn.
    """

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The answers, then all keys and values."""
        given = dict(zip(self.inputs, tensors, strict=True))
        past = [given.pop(name) for name in self.inputs if name.startswith("past")]
        cache = transformers.DynamicCache()
        for layer, (keys, values) in enumerate(zip(past[::2], past[1::2], strict=True)):
            cache.update(keys, values, layer)
        answer = self.model(**given, past_key_values=cache, use_cache=True, return_dict=True)
        kept = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
        answers = (name for name in self.outputs if not name.startswith("present"))
        return (*(getattr(answer, name) for name in answers), *kept)


@dataclass(frozen=True)
class Architecture:
    """One architecture of `transformers` at a toy size, its weights random.

    Attributes:
        name: Its key in `ARCHITECTURES` and the stem of its files.
        model: The class in `transformers`.
        settings: Arguments of its configuration.
        inputs: What ``forward`` takes.
        outputs: What it gives, by the names of `transformers`.
        attention: The implementations of attention to try, the first that can be exported is used.
        experts: The implementation of its mixture of experts, if it has one.
        batch: The batch of an export with fixed sizes.
        note: A word for the table.
    """

    name: str
    model: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...] = ("logits",)
    attention: tuple[str, ...] = ("sdpa", "eager")
    experts: str = ""
    batch: int = 1
    note: str = ""

    def build(self, attention: str = "eager") -> Answers:
        """The module with the initial values of `transformers`."""
        kind = getattr(transformers, self.model)
        config = kind.config_class(**self.settings)
        chosen = {"attn_implementation": attention}
        if self.experts:
            chosen["experts_implementation"] = self.experts
        model = kind._from_config(config, **chosen).eval()
        continues = any(name.startswith("past") for name in self.inputs)
        return (Continues if continues else Answers)(model, list(self.inputs), self.outputs)

    def randomised(self, attention: str = "eager", seed: int = 0) -> nn.Module:
        """The module with random values everywhere, in eval mode; see `models.randomise`."""
        return randomise(self.build(attention), seed, self.example(batch=4))

    def example(
        self, batch: int = 1, sizes: Mapping[str, int] | None = None, seed: int = 0
    ) -> tuple[Tensor, ...]:
        """Inputs for `forward`, the same ones for the same seed; `sizes` are those of open axes."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(given.tensor(batch, sizes or {}, generator) for given in self.inputs.values())
