"""Model file, ``ModelProto`` or ``onnx_ir.Model`` -> ``Graph``."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir

from onnxprune.errors import LoadError
from onnxprune.graph import read
from onnxprune.graph.check import check_names, check_structure, check_types, sort
from onnxprune.graph.graph import Graph, Source
from onnxprune.graph.normalise import normalise
from onnxprune.graph.quiet import quiet
from onnxprune.graph.shapes import infer
from onnxprune.graph.tensors import bind, check_tensors

__all__ = ["as_given", "load", "with_shapes"]

logger = logging.getLogger(__name__)


def load(
    source: str | os.PathLike[str] | onnx.ModelProto | ir.Model | Graph,
    *,
    untouched: Set[str] = frozenset(),
    untie: bool = False,
) -> Graph:
    """Load a model, normalise it, and infer the shape of every value.

    Weights in external data files are mapped, not read.

    Args:
        source: The path of a ``.onnx`` file, or a model; it is not changed. A ``Graph`` is
            returned as it is.
        untouched: The names of weights that stay as the file has them. From others, what depends
            on nothing else is computed, such as a transposed weight.
        untie: Give each use of a weight that serves several its own copy; they are pruned apart
            then, and saved as one only where they stay equal.

    Returns:
        The graph.

    Raises:
        LoadError: If there is no such file, it is no ONNX model, or the model is damaged, uses an
            unsupported opset, or refers to external data that are missing or outside its folder.
    """
    if isinstance(source, Graph):
        if untie:
            raise LoadError("a graph is untied when it is loaded: load(path, untie=True)")
        return source
    if isinstance(source, ir.Model):
        with _blaming("the model"):
            return _build(_own(source), Source(None, _digest(source), source), untouched, untie)
    if isinstance(source, onnx.ModelProto):
        with _blaming("the model"):
            data = source.SerializeToString(deterministic=True)
            proto = read.parse(data, "the model")
            origin = Source(None, hashlib.sha256(data).hexdigest(), source)
            return _build(_deserialise(proto, None), origin, untouched, untie)
    if not isinstance(source, str | os.PathLike):
        raise LoadError(
            f"cannot load a {type(source).__name__}; give a path, an onnx.ModelProto or an "
            "onnx_ir.Model"
        )
    path = Path(source)
    with _blaming(str(path)):
        proto, digest = read.read(path)
        model = _deserialise(proto, path.absolute().parent)
        return _build(model, Source(path, digest), untouched, untie)


def as_given(source: Source) -> Path | onnx.ModelProto | ir.Model | None:
    """What a graph was loaded from, None if it was no file and has changed since, or is not known.

    Args:
        source: Where the graph came from.
    """
    model = source.model
    if isinstance(model, onnx.ModelProto):
        data = model.SerializeToString(deterministic=True)
        return model if hashlib.sha256(data).hexdigest() == source.sha256 else None
    if isinstance(model, ir.Model):
        return model if _digest(model) == source.sha256 else None
    return source.path


def with_shapes(model: ir.Model, source: Source) -> Graph:
    """Make a graph of a model that is normalised already, by inferring its shapes.

    Args:
        model: The model; it belongs to the graph from now on.
        source: Where it came from.

    Returns:
        The graph.
    """
    with quiet():
        dims, numbers = infer(model)
    return Graph(model, source, dims, numbers)


def _build(model: ir.Model, source: Source, untouched: Set[str], untie: bool) -> Graph:
    check_tensors(model)
    return with_shapes(normalise(model, untouched, untie), source)


def _deserialise(proto: onnx.ModelProto, folder: Path | None) -> ir.Model:
    check_names(proto)
    check_types(proto)
    model: ir.Model = ir.from_proto(proto)
    check_structure(model)
    sort(model)
    bind(model, folder)
    return model


@contextmanager
def _blaming(where: str) -> Iterator[None]:
    """Say where a problem is, and let nothing out but ``LoadError``."""
    try:
        with quiet():
            yield
    except LoadError as error:
        message = str(error)
        if message.startswith((f"{where}: ", f"{where!r}: ")):
            raise
        raise LoadError(f"{where}: {message}") from error.__cause__
    except MemoryError:
        raise LoadError(f"{where}: there is not enough memory to load it") from None
    except Exception as error:
        logger.debug("unexpected error while loading %s", where, exc_info=True)
        raise LoadError(
            f"{where}: not a valid ONNX model ({type(error).__name__}: {_first_line(error)}); "
            "check it with onnx.checker, or export it again"
        ) from error


def _first_line(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip() or "no further details"
    return text.splitlines()[0][:300]


def _own(model: ir.Model) -> ir.Model:
    """Clone a model so that nothing of the caller's is changed later on."""
    check_structure(model)
    try:
        clone = model.clone()
    except Exception:
        # Nothing is loose, so what a clone cannot digest is a value used before it is computed.
        raise LoadError(
            "its nodes are not in topological order; call model.graph.sort() first"
        ) from None
    for graph in clone.graphs():
        values = [*graph.inputs, *graph.initializers.values()]
        values.extend(value for node in graph for value in node.outputs)
        for value in values:
            # A type is an object that inference changes, and clones share it.
            if isinstance(value.type, ir.TensorType):
                value.type = ir.TensorType(value.type.dtype, denotation=value.type.denotation)
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = _copy(value.const_value)
    for node in clone.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if isinstance(attribute.value, ir.ExternalTensor):
                node.attributes[name] = ir.AttrTensor(name, _copy(attribute.value))
    return clone


def _copy(tensor: ir.ExternalTensor) -> ir.ExternalTensor:
    return ir.ExternalTensor(
        tensor.location,
        tensor.offset,
        tensor.length,
        tensor.dtype,
        shape=tensor.shape,
        name=str(tensor.name),
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
        base_dir=tensor.base_dir,
    )


def _digest(model: ir.Model) -> str:
    clone = model.clone()
    weights = [
        (name, clone.graph.initializers.pop(name).const_value)
        for name in list(clone.graph.initializers)
    ]
    digest = hashlib.sha256(ir.serde.serialize_model(clone).SerializeToString(deterministic=True))
    for name, tensor in weights:
        digest.update(name.encode())
        if isinstance(tensor, ir.ExternalTensor):
            digest.update(f"{tensor.location} {tensor.offset} {tensor.length}".encode())
        elif isinstance(tensor, ir.StringTensor):
            digest.update(repr(list(tensor.string_data())).encode())
        elif tensor is not None:
            digest.update(f"{tensor.dtype} {tensor.shape}".encode())
            digest.update(tensor.tobytes())
    return digest.hexdigest()
