"""Write a model as a protobuf file one tensor at a time.

The protobuf library needs a whole model in memory, twice. But a message is the concatenation of
its fields in any order, and their sizes can be told beforehand, so the graph without its
initializers is serialised by the library and the initializers are appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import onnx
import onnx_ir as ir

__all__ = ["LIMIT", "Piece", "piece", "write_model", "write_payload"]

LIMIT = 2**31 - 1
"""Bytes that a protobuf message may have."""

_MODEL_GRAPH = b"\x3a"  # field 7, length-delimited
_GRAPH_INITIALIZER = b"\x2a"  # field 5
_TENSOR_RAW_DATA = b"\x4a"  # field 9


@dataclass(frozen=True, slots=True)
class Piece:
    """One initializer on its way to a file.

    Attributes:
        head: Its serialised message without ``raw_data``.
        payload: The tensor whose bytes become the ``raw_data``, None if the head is all.
        size: How many bytes the payload has.
    """

    head: bytes
    payload: ir.TensorProtocol | None
    size: int

    @property
    def total(self) -> int:
        """The length of the message."""
        if self.payload is None:
            return len(self.head)
        return len(self.head) + len(_TENSOR_RAW_DATA) + len(_varint(self.size)) + self.size


def piece(name: str, tensor: ir.TensorProtocol, *, by_reference: bool = False) -> Piece:
    """Prepare a tensor for writing; its data are not touched.

    Args:
        name: The initializer's name.
        tensor: Its tensor. One whose data are strings is serialised right away.
        by_reference: Write where the data of an external tensor lie, not the data.

    Returns:
        The piece.
    """
    if by_reference or tensor.dtype == ir.DataType.STRING:
        proto = ir.serde.serialize_tensor(tensor)
        proto.name = name
        return Piece(proto.SerializeToString(), None, 0)
    proto = onnx.TensorProto(
        name=name, dims=list(tensor.shape.numpy()), data_type=int(tensor.dtype)
    )
    if tensor.doc_string:
        proto.doc_string = tensor.doc_string
    for key, value in tensor.metadata_props.items():
        proto.metadata_props.add(key=key, value=value)
    return Piece(proto.SerializeToString(), tensor, tensor.nbytes)


def write_model(file: BinaryIO, model: ir.Model, pieces: Sequence[Piece]) -> None:
    """Write a model.

    Args:
        file: Where to write.
        model: The model without the initializers of its main graph.
        pieces: These initializers.

    Raises:
        ValueError: If the file would be larger than protobuf allows, or a tensor has other data
            than it claims.
    """
    proto = ir.serde.serialize_model(model)
    graph = proto.graph.SerializeToString(deterministic=True)
    proto.ClearField("graph")
    rest = proto.SerializeToString(deterministic=True)
    length = len(graph) + sum(
        len(_GRAPH_INITIALIZER) + len(_varint(item.total)) + item.total for item in pieces
    )
    if len(rest) + length + 10 > LIMIT:
        raise ValueError("the model has more than 2 GB and needs external data")
    file.write(rest + _MODEL_GRAPH + _varint(length) + graph)
    for item in pieces:
        file.write(_GRAPH_INITIALIZER + _varint(item.total) + item.head)
        if item.payload is not None:
            file.write(_TENSOR_RAW_DATA + _varint(item.size))
            write_payload(file, item.payload, item.size)


def write_payload(file: BinaryIO, tensor: ir.TensorProtocol, size: int) -> None:
    """Write the bytes of a tensor.

    Args:
        file: Where to write.
        tensor: The tensor; it is evaluated, and forgotten again.
        size: How many bytes it claims to have.

    Raises:
        ValueError: If it has another number of bytes.
    """
    start = file.tell()
    if isinstance(tensor, ir.ExternalTensor):
        tensor.tofile(file)
    else:
        file.write(tensor.tobytes())
    written = file.tell() - start
    if written != size:
        raise ValueError(
            f"the tensor {tensor.name!r} has {written:,} bytes and claims to have {size:,}"
        )


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
