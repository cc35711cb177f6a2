"""Model file -> graph with the shape of every value, and back to a file."""

from onnxprune.graph.dims import Dim
from onnxprune.graph.fingerprint import fingerprint
from onnxprune.graph.graph import Graph, Source
from onnxprune.graph.load import as_given, load, with_shapes
from onnxprune.graph.save import check_target, save

__all__ = [
    "Dim",
    "Graph",
    "Source",
    "as_given",
    "check_target",
    "fingerprint",
    "load",
    "save",
    "with_shapes",
]
