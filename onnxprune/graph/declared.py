"""The shapes that a model's author declared: of inputs, outputs, and where no rule tells them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import onnx_ir as ir

from onnxprune.graph.guards import MOST_RANK
from onnxprune.graph.opaque import opaque

__all__ = ["declared_shapes"]

_SYMBOL = re.compile(r"[A-Za-z_][\w.]{0,99}\Z", re.ASCII)
_EXPRESSION = re.compile(r"[\w.\s+*/()-]{1,100}\Z")


@contextlib.contextmanager
def declared_shapes(
    model: ir.Model, trusting: bool = True
) -> Iterator[tuple[ir.Shape | None, ...]]:
    """Prepare declared shapes for inference, and put them back as they were afterwards.

    Inside, outputs of the main graph have no shape, and the dimensions of inputs are static sizes,
    plain identifiers, or sums and products of these. Exporters write other things as well
    (``batch-size``, ``?``, -1), which engines would read as arithmetic or refuse. Dimensions that
    nobody named are called after the input, ``x_dim_0``. What operators compute that nothing is
    known of has static sizes and those of inputs. Results of nested graphs of which nothing was
    found out are declared as before, because onnxruntime asks for their rank.

    Args:
        model: The model. Its outputs may be replaced inside by others, in the same order.
        trusting: Whether to believe what is declared of results that no rule tells. No runtime
            holds an author to that, so nothing is to be computed from it for good.

    Yields:
        The shape that each output of the main graph was declared to have.
    """
    inputs = [(value, value.shape) for graph in model.graphs() for value in graph.inputs]
    computed = [(value, value.shape) for value in _untold(model)]
    outputs = [value.shape for value in model.graph.outputs]
    results = [
        (graph, [value.shape for value in graph.outputs])
        for graph in model.graphs()
        if graph is not model.graph
    ]
    clean = _Cleaner(model)
    for value in model.graph.outputs:
        value.shape = None
    for value, shape in inputs:
        value.shape = clean(shape, value.name)
    for value, shape in computed:
        value.shape = clean.familiar(shape) if trusting else None
    try:
        yield tuple(clean(shape) for shape in outputs)
    finally:
        for value, shape in (*inputs, *computed):
            value.shape = shape
        for value, shape in zip(model.graph.outputs, outputs, strict=True):
            value.shape = shape
        for graph, shapes in results:
            for value, shape in zip(graph.outputs, shapes, strict=False):
                if value.shape is None:
                    value.shape = shape


def _untold(model: ir.Model) -> Iterator[ir.Value]:
    """What nodes compute that only the author can tell the shape of."""
    for node in model.graph.all_nodes():
        if opaque(node):
            yield from (value for value in node.outputs if not value.is_graph_output())


class _Cleaner:
    """Makes dimensions of a model digestible, equal ones in the same way."""

    def __init__(self, model: ir.Model) -> None:
        self._symbols = {
            size.value
            for graph in model.graphs()
            for value in graph.inputs
            for size in value.shape or ()
            if isinstance(size, ir.SymbolicDim) and size.value and _SYMBOL.match(size.value)
        }
        self._renamed: dict[str, str] = {}

    def __call__(self, shape: ir.Shape | None, owner: str | None = None) -> ir.Shape | None:
        """Return a digestible form of a shape; unknown sizes are named after the owner, if any."""
        if shape is None or len(shape) > MOST_RANK:
            return None
        sizes: list[int | str | None] = []
        for axis, size in enumerate(shape):
            clean = self._size(size)
            if clean is None and owner is not None:
                clean = self._identifier(f"{owner}_dim_{axis}")
            sizes.append(clean)
        return ir.Shape(sizes)

    def familiar(self, shape: ir.Shape | None) -> ir.Shape | None:
        """Return a shape of static sizes and those symbols that inputs have, the rest unknown."""
        if shape is None or len(shape) > MOST_RANK:
            return None
        sizes = (self._size(size) for size in shape)
        return ir.Shape(n if isinstance(n, int) or n in self._symbols else None for n in sizes)

    def _size(self, size: int | ir.SymbolicDim) -> int | str | None:
        if isinstance(size, int):
            return size if size >= 0 else None
        text = size.value
        if not text or text == "?":
            return None
        if _SYMBOL.match(text):
            return text
        if _EXPRESSION.match(text) and "**" not in text:
            words = set(re.findall(r"[A-Za-z_][\w.]*", text))
            if words and words <= self._symbols:
                return text
        if text not in self._renamed:
            self._renamed[text] = self._identifier(text)
        return self._renamed[text]

    def _identifier(self, text: str) -> str:
        name = re.sub(r"\W+", "_", text[:80], flags=re.ASCII).strip("_")
        name = name if _SYMBOL.match(name) else f"dim_{name}"
        while name in self._symbols:
            name += "_"
        self._symbols.add(name)
        return name
