"""The graph that everything after loading reads: an ONNX model and the shape of every value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import onnx_ir as ir

from onnxprune.graph.dims import Dim

__all__ = ["Graph", "Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model came from.

    Attributes:
        path: The model file, None for a model that was given as an object.
        sha256: Hash of the model file's bytes. For a ``ModelProto`` that of its serialised form,
            for an ``onnx_ir.Model`` that of its structure followed by its weights; for a graph that
            was pruned just now, that of what was done to which model.
        model: The model that was given as an object, None for one that was not; it is its owner's,
            who may change it.
    """

    path: Path | None
    sha256: str
    model: onnx.ModelProto | ir.Model | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return str(self.path) if self.path is not None else "the model"


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """An ONNX graph, normalised, with the shape of every value.

    Attributes:
        model: The model; its nodes are in topological order and have unique names.
        source: Where it came from.
        dims: The dimensions of every value of known rank, nested graphs included.
        numbers: The elements of the small 0-D and 1-D integer tensors that could be told without
            running the model; initializers and computed ones alike, None where one is unknown.
    """

    model: ir.Model
    source: Source
    dims: Mapping[ir.Value, tuple[Dim, ...]]
    numbers: Mapping[ir.Value, tuple[Dim | None, ...]]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it is read from, of its weights too; none for a model given as an object."""
        if self.source.path is None:
            return ()
        tensors = (value.const_value for value in self.initializers.values())
        data = {Path(tensor.path) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}
        return (self.source.path, *sorted(data - {self.source.path}))

    def shape(self, value: ir.Value) -> tuple[Dim, ...] | None:
        """Return the dimensions of a value, None when not even its rank is known."""
        return self.dims.get(value)

    def elements(self, value: ir.Value) -> tuple[Dim | None, ...] | None:
        """Return the elements of a small integer tensor, None when nothing is known of them."""
        return self.numbers.get(value)

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The nodes in topological order, each before those of the graphs inside it."""
        return tuple(self.model.graph.all_nodes())

    @property
    def inputs(self) -> tuple[ir.Value, ...]:
        """The inputs of the model."""
        return tuple(self.model.graph.inputs)

    @property
    def outputs(self) -> tuple[ir.Value, ...]:
        """The outputs of the model."""
        return tuple(self.model.graph.outputs)

    @property
    def initializers(self) -> Mapping[str, ir.Value]:
        """The weights and other constants of the main graph, by name."""
        return self.model.graph.initializers

    def opset(self, domain: str = "") -> int | None:
        """Return the version of an operator set that the model imports, None if it does not."""
        return self.model.opset_imports.get(domain)

    def __str__(self) -> str:
        return f"Graph({self.source}, {len(self.model.graph)} nodes)"
