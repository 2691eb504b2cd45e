"""gzip as a stream: in bounded memory, of any number of members, and what can be had of a torn one."""

from __future__ import annotations

import importlib
import zlib
from typing import Any, Protocol

try:  # ISA-L inflates about 1.7 times as fast as zlib; the content is the same
    inflater: Any = importlib.import_module("isal.isal_zlib")
except ImportError:
    inflater = zlib
# isal_zlib.error is its own or zlib's by version; OSError and EOFError are those of damaged headers.
ERRORS: tuple[type[Exception], ...] = (zlib.error, inflater.error, OSError, EOFError)

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31  # zlib's way to say: a gzip header and trailer around the stream
COMPRESSED_BYTES = 1 << 16
INFLATED_BYTES = 1 << 16  # at most so much is lost before damage


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Inflated:
    """The content of a gzip stream, by read(size); b'' at its end.

    torn is None, or after the end says in words why the stream ended early: cut off, damaged, or followed by bytes
    that are no gzip (zeros as padding are allowed, as gzip itself allows them).
    """

    def __init__(self, compressed: Readable) -> None:
        self.torn: str | None = None
        self._compressed = compressed
        self._pending = b""
        self._member: Any = inflater.decompressobj(GZIP_WINDOW)
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Up to size bytes, at least one before the end."""
        while not self._ended:
            if self._member.eof:
                self._next_member()
                continue
            came_to_end = False
            if not self._pending:
                self._pending = self._compressed.read(COMPRESSED_BYTES)
                came_to_end = not self._pending
            try:
                content = self._member.decompress(self._pending, min(size, INFLATED_BYTES))
            except ERRORS as error:
                self._end(f"damaged gzip stream: {error}")
                break
            self._pending = b"" if self._member.eof else self._member.unconsumed_tail
            if content:
                return content
            if came_to_end and not self._member.eof:
                self._end("the gzip stream ends early")
        return b""

    def _next_member(self) -> None:
        rest = self._member.unused_data
        while len(rest) < len(GZIP_MAGIC) or not rest.strip(b"\0"):
            more = self._compressed.read(COMPRESSED_BYTES)
            if not more:
                break
            rest = rest.lstrip(b"\0") + more
        rest = rest.lstrip(b"\0")
        if not rest:
            self._end(None)
        elif not rest.startswith(GZIP_MAGIC):
            self._end("bytes that are no gzip follow the gzip stream")
        else:
            self._pending = rest
            self._member = inflater.decompressobj(GZIP_WINDOW)

    def _end(self, torn: str | None) -> None:
        self._ended = True
        self.torn = torn
