"""Tell what kind of file was given in place of an ONNX model, for a helpful message."""

from __future__ import annotations

__all__ = ["describe"]

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive (a torch checkpoint, a Keras model or a packed download)"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89HDF", "an HDF5 file (a Keras model?)"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (4, b"ORTM", "an onnxruntime .ort model"),
    (0, b"\x80\x02", "a Python pickle (a torch checkpoint?)"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file it stands for"),
    (0, b"<!DOCTYPE", "a web page (a failed download?)"),
    (0, b"<html", "a web page (a failed download?)"),
)


def describe(data: bytes) -> str | None:
    """Name what the bytes of a file look like.

    Args:
        data: The beginning of the file.

    Returns:
        A noun phrase, None when the bytes could well be an ONNX model.
    """
    for offset, magic, kind in _MAGIC:
        if data[offset : offset + len(magic)] == magic:
            return kind
    head = data[:512]
    if head and all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return "a text file"
    return None
