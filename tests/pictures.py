"""Small true pictures and documents."""

import struct
import zlib
from base64 import b64decode


def png(width: int = 16, height: int = 8) -> bytes:
    """An image of one colour."""
    rows = b"".join(b"\0" + b"\x80\x40\x20" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


JPEG = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wAALCAAFAAcBAREA"
    "/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AP//Z"
)
PROGRESSIVE = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wgALCAAFAAcBAREA"
    "/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQAAAAF//8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABBQJ//8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQAGPwJ/"
    "/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPyF//9oACAEBAAAAEH//xAAUEAEAAAAAAAAAAAAAAAAAAAAA/9oACAEBAAE/EH//2Q=="
)
"""Both 7 x 5."""
GIF = b64decode("R0lGODlhBQAEAIAAAAAAAAAAACH/C05FVFNDQVBFMi4wAwEAAAAsAAAAAAUABAAACAkAAQgcSLBgwYAAOw==")
"""5 x 4."""
LOSSY = b64decode("UklGRjQAAABXRUJQVlA4ICgAAACQAQCdASoJAAYAB0CWJaACdLoAA5gA/uUK+Cepco/+N48CvJdjoAAA")
LOSSLESS = b64decode("UklGRhwAAABXRUJQVlA4TA8AAAAvCEABAAcQ/Y/+ByKi/wEA")
TRANSPARENT = b64decode(
    "UklGRlgAAABXRUJQVlA4WAoAAAAQAAAACAAABQAAQUxQSAoAAAABB1C8iAhERP8DVlA4ICgAAACQAQCdASoJAAYAB0CWJaACdLoAA5gA/uUK+Cepco/+N48CvJdjoAAA"
)
"""WebP of all three kinds, 9 x 6."""
PDF = (
    b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\nxref\n0 4\ntrailer<</Root 1 0 R/Size 4>>\nstartxref\n0\n%%EOF\n"
)
