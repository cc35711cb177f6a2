"""Check that every constant holds as much data as its shape claims, without reading any of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx
import onnx_ir as ir

from onnxprune.errors import LoadError
from onnxprune.graph.guards import MOST_RANK

__all__ = ["bind", "check_tensors"]

_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def bind(model: ir.Model, folder: Path | None) -> None:
    """Tell external tensors where their data files are.

    Args:
        model: The model.
        folder: The absolute path of the folder that the model was read from, None if it was not.

    Raises:
        LoadError: If there is no folder and there are external tensors.
    """
    for tensor in _tensors(model):
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        if folder is None:
            raise LoadError(
                f"its tensor {tensor.name!r} lies in the external data file "
                f"{os.fspath(tensor.location)!r} and a model object does not say in which folder; "
                "give its path instead"
            )
        tensor.base_dir = str(folder)


def check_tensors(model: ir.Model) -> None:
    """Check the sizes of all constants, and where external ones lie.

    Args:
        model: The model; external tensors get an absolute base directory.

    Raises:
        LoadError: If data are missing, too short, or outside of the model's folder.
    """
    sizes: dict[Path, int] = {}
    for tensor in _tensors(model):
        dims = [size if isinstance(size, int) else -1 for size in tensor.shape]
        if any(size < 0 for size in dims):
            raise LoadError(f"its tensor {tensor.name!r} has a negative size; export it again")
        if len(dims) > MOST_RANK:
            raise LoadError(
                f"its tensor {tensor.name!r} has {len(dims):,} axes; at most {MOST_RANK} are "
                "supported"
            )
        if isinstance(tensor, ir.ExternalTensor):
            _check_external(tensor, prod(dims), sizes)
        elif isinstance(tensor, ir.serde.TensorProtoTensor):
            _check_inline(tensor, prod(dims))
        elif isinstance(tensor, ir.StringTensor) and len(tensor.string_data()) != prod(dims):
            raise _mismatch(tensor.name, prod(dims), "strings", len(tensor.string_data()))


def _check_inline(tensor: ir.serde.TensorProtoTensor, count: int) -> None:
    proto: onnx.TensorProto = tensor.raw
    dtype = tensor.dtype
    if dtype == ir.DataType.UNDEFINED:
        raise LoadError(f"its tensor {tensor.name!r} has no data type; export it again")
    if proto.HasField("raw_data"):
        expected, found, unit = _bytes(dtype, count), len(proto.raw_data), "bytes"
    else:
        expected = _entries(dtype, count)
        found, unit = max(len(getattr(proto, field)) for field in _FIELDS), "values"
    if expected != found:
        raise _mismatch(tensor.name, expected, unit, found)


def _check_external(tensor: ir.ExternalTensor, count: int, sizes: dict[Path, int]) -> None:
    base = Path(os.fspath(tensor.base_dir)).absolute()
    path = _contained(base, os.fspath(tensor.location), tensor.name)
    if path not in sizes:
        sizes[path] = _file_size(path, tensor.name)
    needed = _bytes(tensor.dtype, count)
    offset, length = tensor.offset or 0, tensor.length
    if length is not None and length != needed:
        raise _mismatch(tensor.name, needed, "bytes", length)
    if offset < 0 or offset + needed > sizes[path]:
        raise LoadError(
            f"its tensor {tensor.name!r} needs bytes {offset:,} to {offset + needed:,} of the "
            f"external data file {path}, which has {sizes[path]:,}; the file is cut short or of "
            "another model, copy it again"
        )
    tensor.base_dir = str(base)


def _contained(base: Path, location: str, name: str | None) -> Path:
    """Resolve the place of an external data file; it may not lead out of the model's folder."""
    if "\0" in location:
        raise LoadError(f"its tensor {name!r} lies in {location!r}, which is no file name")
    path = Path(os.path.normpath(base / location))
    real, root = Path(os.path.realpath(path)), Path(os.path.realpath(base))
    inside = path.is_relative_to(os.path.normpath(base)) and real.is_relative_to(root)
    if not location or Path(location).is_absolute() or not inside:
        raise LoadError(
            f"its tensor {name!r} lies in {location!r}, outside of the model's folder {base}, "
            "which is refused for safety; put the data file beside the model"
        )
    return real


def _file_size(path: Path, name: str | None) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise LoadError(
            f"its tensor {name!r} lies in the external data file {path}, which cannot be read "
            f"({error.strerror}); put the file beside the model"
        ) from None
    if not path.is_file() or status.st_nlink > 1:
        raise LoadError(
            f"its tensor {name!r} lies in {path}, which is not a plain file of its own (a folder, "
            "a device, or hard-linked elsewhere) and is refused for safety; copy it"
        )
    if not os.access(path, os.R_OK):
        raise LoadError(f"reading its external data file {path} is not permitted")
    return status.st_size


def _bytes(dtype: ir.DataType, count: int) -> int:
    return (count * dtype.bitwidth + 7) // 8


def _entries(dtype: ir.DataType, count: int) -> int:
    """Count the entries of a protobuf field that hold so many elements."""
    if dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        return 2 * count
    if dtype.bitwidth in (2, 4):
        return _bytes(dtype, count)
    return count


def _mismatch(name: str | None, expected: int, unit: str, found: int) -> LoadError:
    return LoadError(
        f"its tensor {name!r} should hold {expected:,} {unit} by its shape and holds {found:,}; "
        "the model is damaged, export it again"
    )


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield value.const_value
    nodes = list(model.graph.all_nodes())
    for function in model.functions.values():
        nodes.extend(function.all_nodes())
        for graph in function.subgraphs():
            for value in graph.initializers.values():
                if value.const_value is not None:
                    yield value.const_value
    for node in nodes:
        for attribute in node.attributes.values():
            if attribute.is_ref() or attribute.value is None:
                continue
            if attribute.type == ir.AttributeType.TENSOR:
                yield attribute.value
            elif attribute.type == ir.AttributeType.TENSORS:
                yield from attribute.value
