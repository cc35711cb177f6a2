"""From onnxruntime's own file format back to ONNX, in which some packages' models do not come."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime

__all__ = ["to_onnx"]


def to_onnx(source: Path, target: Path) -> None:
    """Write an ``.ort`` file as an ONNX model, its graph as it stands.

    Args:
        source: The file.
        target: The model, replaced if it is there.

    Raises:
        Exception: Whatever onnxruntime raises if it cannot load the file.
    """
    with tempfile.TemporaryDirectory(prefix=".ort-", dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.optimized_model_filepath = str(made)
        options.add_session_config_entry("session.save_model_format", "ONNX")
        options.add_session_config_entry("session.load_model_format", "ORT")
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        model = onnx.load(made)
        used = set()
        for number, graph in enumerate(_graphs(model.graph)):
            graph.name = graph.name or f"graph_{number}"
            used |= {node.domain for node in graph.node}
        for imported in [opset for opset in model.opset_import if opset.domain not in used]:
            model.opset_import.remove(imported)  # onnxruntime lists all that it knows
        onnx.save(model, made)
        made.replace(target)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)
