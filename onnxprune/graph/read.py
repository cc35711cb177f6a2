"""Bytes of a model file -> ``ModelProto``; every way this can fail is a ``LoadError``."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import onnx

from onnxprune.errors import LoadError
from onnxprune.graph import sniff

__all__ = ["parse", "read"]

_PROTOBUF_LIMIT = 2**31 - 1


def read(path: Path) -> tuple[onnx.ModelProto, str]:
    """Read a model file, without its external data.

    Args:
        path: The file.

    Returns:
        The model and the SHA-256 of the file's bytes.

    Raises:
        LoadError: If there is no such file, it is not readable, or it is not an ONNX model.
    """
    data = _read_bytes(path)
    return parse(data, str(path)), hashlib.sha256(data).hexdigest()


def parse(data: bytes, where: str) -> onnx.ModelProto:
    """Parse the bytes of an ONNX model.

    Args:
        data: The serialised model.
        where: What to call it in an error.

    Returns:
        The model; it has a graph.

    Raises:
        LoadError: If the bytes are not an ONNX model.
    """
    if not data:
        raise LoadError(f"{where}: the file is empty; export or download the model again")
    kind = sniff.describe(data)
    if kind is not None:
        raise LoadError(f"{where}: not an ONNX model but {kind}; give the path of a .onnx file")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception:  # protobuf's DecodeError, whichever implementation is installed
        # Every ONNX writer begins with field 1, the IR version.
        if data[0] == 0x08:
            raise LoadError(
                f"{where}: the ONNX model is damaged or cut short; export or download it again"
            ) from None
        raise LoadError(f"{where}: not an ONNX model; give the path of a .onnx file") from None
    if not proto.HasField("graph"):
        raise LoadError(
            f"{where}: there is no graph in it, so it is not an ONNX model or is cut short; "
            "export or download it again"
        )
    return proto


def _read_bytes(path: Path) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise LoadError(f"{path}: this is a directory; give the path of the .onnx file in it")
        if not stat.S_ISREG(status.st_mode):
            raise LoadError(f"{path}: not a regular file; give the path of a .onnx file")
        if status.st_size > _PROTOBUF_LIMIT:
            raise LoadError(
                f"{path}: the file has {status.st_size:,} bytes and a protobuf file may have at "
                "most 2 GiB; export the model with external data"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise LoadError(f"{path}: no such file; check the path") from None
    except PermissionError:
        raise LoadError(
            f"{path}: reading it is not permitted; change its permissions or copy it"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise LoadError(f"{str(path)!r}: cannot be read ({reason}); check the path") from None
