"""Graph -> model file: whole or not at all, and one tensor in memory at a time."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

from onnxprune.errors import SaveError
from onnxprune.graph import wire
from onnxprune.graph.constants import merge_copies
from onnxprune.graph.graph import Graph
from onnxprune.graph.opaque import opaque
from onnxprune.graph.quiet import quiet

__all__ = ["check_target", "save"]

_LARGEST_SINGLE_FILE = 1_500_000_000
"""Bytes of weights above which they go to a file of their own; protobuf's limit is 2 GiB."""

_SMALLEST_EXTERNAL = 1024
"""Bytes; smaller tensors stay in the model file, where shape inference can see them."""

_ALIGNMENT = 64


def save(
    model: Graph | ir.Model,
    path: str | os.PathLike[str],
    *,
    force: bool = False,
    external: bool | None = None,
) -> tuple[Path, ...]:
    """Write a model to a file.

    The file appears under its name when it is complete, never before; if anything goes wrong,
    nothing is left behind and an existing file stays as it was. It may be the very file that the
    model was loaded from; tensors that are mapped from a replaced data file become invalid then.
    Copies that normalisation made of shared initializers are merged again if they are still
    equal, and annotations of intermediate values, which pruning makes stale, are left out.

    Args:
        model: The model; it is not changed.
        path: The file to write.
        force: Replace an existing file.
        external: Whether to put weights into a second file, ``<name>.data`` beside the first;
            small tensors are in the first in any case. None decides by their size.

    Returns:
        The files written: the model, then its data file if it has one.

    Raises:
        SaveError: If the file exists, or cannot be written.
    """
    target = Path(path)
    source = model.model if isinstance(model, Graph) else model
    clone = _stripped(source)
    sizes = _sizes(clone)
    split = external if external is not None else sum(sizes) > _LARGEST_SINGLE_FILE
    split = split and max(sizes, default=0) >= _SMALLEST_EXTERNAL
    data = target.with_name(f"{target.name}.data")
    targets = (target, data) if split else (target,)
    for place in targets:
        check_target(place, force)
    try:
        _write(clone, targets)
    except OSError as error:
        raise SaveError(
            f"{target}: cannot be written ({error.strerror or error}); check the folder and the "
            "space left"
        ) from error
    except (ValueError, ir.serde.SerdeError) as error:
        raise SaveError(f"{target}: cannot be written: {error}") from error
    if split:
        _invalidate(source, data)
    return targets


def _write(model: ir.Model, targets: tuple[Path, ...]) -> None:
    """Write a model to its file, and its larger weights to a second one if there is one."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(_Pending(place)) for place in targets]
        weights = _weights(model)
        if len(files) > 1:
            pieces = _externalise(weights, files[1].file, targets[1].name)
        else:
            pieces = [wire.piece(name, tensor) for name, tensor in weights.items()]
        with quiet():
            wire.write_model(files[0].file, model, pieces)
        # The data come first: a model without its data is worse than data without a model.
        for pending in reversed(files):
            pending.commit()


def check_target(target: Path, force: bool) -> None:
    """Raise now if a file could not be written later.

    Args:
        target: The file to write.
        force: Whether a file that exists may be replaced.

    Raises:
        SaveError: If the file exists, is a directory, or its folder does not allow it.
    """
    try:
        if target.is_dir():
            raise SaveError(f"{target}: this is a directory; give the path of a file in it")
        if os.path.lexists(target) and not force:
            raise SaveError(
                f"{target}: the file exists; choose another name, or force it (--force)"
            )
        if not target.parent.is_dir():
            raise SaveError(f"{target}: there is no folder {target.parent}; create it first")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise SaveError(f"{target}: writing to the folder {target.parent} is not permitted")
    except (OSError, ValueError) as error:
        raise SaveError(f"{str(target)!r}: cannot be written ({error})") from None


class _Pending:
    """A temporary file that becomes the target when it is committed, and vanishes otherwise."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
        self._replaces = os.path.lexists(target)
        self._committed = False

    def __enter__(self) -> _Pending:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        self.file: BinaryIO = os.fdopen(os.open(self._temporary, flags, 0o666), "wb")
        return self

    def commit(self) -> None:
        """Put the file in its place, for good unless an exception follows."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.replace(self._temporary, self._target)
        self._committed = True
        _sync_folder(self._target.parent)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            if not self._committed:
                self._temporary.unlink()
            elif kind is not None and not self._replaces:
                self._target.unlink()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stripped(model: ir.Model) -> ir.Model:
    """Clone a model without loose data and without annotations that can be told again."""
    clone = model.clone()
    merge_copies(clone)
    for graph in clone.graphs():
        for value in (output for node in graph for output in node.outputs):
            if not value.is_graph_output() and not (value.shape and opaque(value.producer())):
                value.shape = None
                value.type = value.type if _annotated(value) else None
        for value in graph.initializers.values():
            if not _annotated(value) and not value.is_graph_output():
                value.shape, value.type = None, None
            if graph is not clone.graph and isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = ir.Tensor(value.const_value.numpy(), name=value.name)
    for node in clone.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if isinstance(attribute.value, ir.ExternalTensor):
                tensor = ir.Tensor(attribute.value.numpy(), name=attribute.value.name)
                node.attributes[name] = ir.AttrTensor(name, tensor)
    return clone


def _annotated(value: ir.Value) -> bool:
    return bool(value.metadata_props or value.doc_string)


def _weights(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    """Take the data of the main graph's initializers out of a model."""
    weights: dict[str, ir.TensorProtocol] = {}
    for name, value in model.graph.initializers.items():
        if value.const_value is not None:
            weights[name] = value.const_value
            value.const_value = None
    return weights


def _sizes(model: ir.Model) -> list[int]:
    """Count the bytes of each initializer that may be external; strings may not."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return [t.nbytes for t in tensors if t is not None and t.dtype != ir.DataType.STRING]


def _externalise(
    weights: dict[str, ir.TensorProtocol], file: BinaryIO, location: str
) -> list[wire.Piece]:
    """Write the larger tensors to a data file, and return what refers to them there."""
    pieces = []
    for name, tensor in weights.items():
        if tensor.dtype == ir.DataType.STRING or tensor.nbytes < _SMALLEST_EXTERNAL:
            pieces.append(wire.piece(name, tensor))
            continue
        file.write(b"\0" * (-file.tell() % _ALIGNMENT))
        offset = file.tell()
        wire.write_payload(file, tensor, tensor.nbytes)
        reference = ir.ExternalTensor(
            location,
            offset,
            tensor.nbytes,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=name,
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props),
        )
        pieces.append(wire.piece(name, reference, by_reference=True))
    return pieces


def _invalidate(model: ir.Model, data: Path) -> None:
    """Mark tensors whose data file was replaced under them, so that reading them is an error."""
    for graph in model.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor) and Path(tensor.path) == data.absolute():
                tensor.invalidate()
