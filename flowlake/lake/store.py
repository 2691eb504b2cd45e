"""The object store: a bucket or a folder, behind one small face.

Keys are relative to the store's root and have '/' between their parts. A write is seen whole or not at all, and can be
made to depend on what was there before (if_match, if_none_match): that is how pointers move without losing a race.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, TypeVar, cast

_OURS = ".flowlake-"
"""Files and folders whose names begin so are the folder store's own (unfinished writes, locks): no keys."""
_LOCKS = 64
_RACY_NS = 2_000_000_000
_DELETE_AT_ONCE = 1000
_REOPEN = 4
_READ_AHEAD = 1 << 20
_NEARLY_S3 = re.compile(r"s3[an]?:", re.IGNORECASE)
_T = TypeVar("_T")
_Keys = list[str]  # the stores' own list would hide it below


class StoreError(Exception):
    """The store could not do it; the message names the place and the reason."""


class NoSuchObject(StoreError):
    """There is nothing under this key."""


class Conflict(StoreError):
    """A conditional write did not hold: what is there is not what the writer had seen."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object: size in bytes, etag (opaque, without quotes; changes with the content), when it was written (UTC)."""

    key: str
    size: int
    etag: str
    modified: datetime


class ObjectStore(ABC):
    """What every store can do. Stores can be pickled: each process opens its own connection.

    root is 's3://bucket/prefix' or an absolute folder, without a slash at its end.
    """

    root: str

    @abstractmethod
    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with prefix and comes after start_after, in the order of their keys' UTF-8 bytes."""

    @abstractmethod
    def folders(self, prefix: str = "") -> _Keys:
        """What follows prefix up to the next '/', whole and each once: folders('a/') may be ['a/b/', 'a/c/']."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """A seekable stream of the object, read as it is asked for. Raises NoSuchObject."""

    @abstractmethod
    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """The object whole, and the etag of just these bytes. Raises NoSuchObject."""

    @abstractmethod
    def head(self, key: str) -> ObjectInfo | None:
        """What list would say of this key; None where there is nothing."""

    @abstractmethod
    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        """Writes the object and returns its etag.

        With if_match only if the object there has this etag, with if_none_match only if there is none; else raises
        Conflict and changes nothing.
        """

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Deletes these objects; one that isn't there is no error."""

    def get(self, key: str) -> bytes:
        """The object whole. Raises NoSuchObject."""
        return self.get_with_etag(key)[0]

    def place(self, key: str) -> str:
        """Where the key lies, as a user would write it: s3://… or a path."""
        return f"{self.root}/{key}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.root})"


def open_store(place: str | os.PathLike[str], **client_args: Any) -> ObjectStore:
    """The store at s3://bucket/prefix or at a folder (made when first written to).

    client_args go to boto3's client (region_name, endpoint_url, …) and mean nothing to a folder. Raises StoreError
    where the text is no place.
    """
    text = os.fspath(place)
    if text.startswith("s3://"):
        return S3Store(text, **client_args)
    scheme, colon, _ = text.partition("://")
    if colon or _NEARLY_S3.match(text):
        there = f"{scheme}://" if colon else text
        raise StoreError(f"'{text}': a lake lies at s3://bucket/prefix or in a folder, not at {there}")
    if not text:
        raise StoreError("the place is empty: write s3://bucket/prefix or a folder")
    return FolderStore(text)


def _checked(key: str) -> str:
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") or part.startswith(_OURS) for part in parts) or "\0" in key:
        raise StoreError(f"'{key}' is no key")
    return key


# ---- a folder ----------------------------------------------------------------------------------------------------


_blake2 = partial(hashlib.blake2b, digest_size=16)
"""MD5 takes half as long again, and every object of an hour is read for it."""


class FolderStore(ObjectStore):
    """A folder of files. An etag is the BLAKE2 digest of the content, in hex.

    Conditional writes hold among processes of one machine (flock). Writes are atomic for readers, not synced to disk:
    a power cut may lose the latest ones.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(folder)
        self._etags: dict[tuple[str, int, int, int], str] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"])  # type: ignore[misc]

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        after = start_after.encode()
        for key in self._keys("", prefix.encode(), after):
            info = self.head(key)
            if info is not None:  # deleted since the folder was read
                yield info

    def folders(self, prefix: str = "") -> _Keys:
        parent = prefix[: prefix.rfind("/") + 1]
        found = [parent + name for name in self._entries(parent) if name.endswith("/")]
        wanted = [folder for folder in found if folder.startswith(prefix)]
        return [folder for folder in wanted if next(self._keys(folder, b"", b""), None) is not None]

    def open(self, key: str) -> BinaryIO:
        with self._saying(key):
            return open(self._path(key), "rb")

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        with self._saying(key):
            data = self._path(key).read_bytes()
        return data, _digest(data)

    def head(self, key: str) -> ObjectInfo | None:
        try:
            stat = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{self.place(key)} can't be read: {error.strerror}") from error
        return _FileInfo(self, key, stat) if S_ISREG(stat.st_mode) else None

    def etag(self, key: str) -> str:
        """The digest of what is there now, remembered by the file's identity unless it is so young that it may change
        unnoticed. Raises NoSuchObject."""
        with self._saying(key), open(self._path(key), "rb") as file:
            stat = os.fstat(file.fileno())
            identity = (key, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            known = self._etags.get(identity)
            if known is None:
                known = hashlib.file_digest(file, _blake2).hexdigest()
                if time.time_ns() - stat.st_mtime_ns > _RACY_NS:
                    self._etags[identity] = known
            return known

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        path = self._path(key)
        with self._saying(key):
            unfinished = self._write_aside(path, data)
            try:
                with self._locked(key):
                    if if_none_match and path.exists():
                        raise Conflict(f"{self.place(key)} is there already")
                    if if_match is not None:
                        there = _digest(path.read_bytes()) if path.is_file() else "nothing"
                        if there != if_match:
                            raise Conflict(f"{self.place(key)} has changed: expected {if_match}, found {there}")
                    os.replace(unfinished, path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        return _digest(data)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with suppress(FileNotFoundError, NotADirectoryError), self._locked(key):
                path.unlink()
            self._remove_empty_folders(path.parent)

    def _keys(self, folder: str, prefix: bytes, after: bytes) -> Iterator[str]:
        for name in self._entries(folder):
            key = folder + name
            as_bytes = os.fsencode(key)
            if name.endswith("/"):
                may_match = as_bytes.startswith(prefix) or prefix.startswith(as_bytes)
                may_follow = as_bytes > after or after.startswith(as_bytes)
                if may_match and may_follow:
                    yield from self._keys(key, prefix, after)
            elif as_bytes.startswith(prefix) and as_bytes > after:
                yield key

    def _entries(self, folder: str) -> Iterable[str]:
        """Names in a folder, in key order: a sub-folder sorts by its name with the slash ('a-b' before 'a/')."""
        try:
            with os.scandir(os.path.join(self.root, folder)) as entries:
                names = [
                    entry.name + "/" if entry.is_dir() else entry.name
                    for entry in entries
                    if not entry.name.startswith(_OURS)
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"{self.place(folder)} can't be listed: {error.strerror}") from error
        return sorted(names, key=os.fsencode)

    def _path(self, key: str) -> Path:
        return Path(self.root, _checked(key))

    def _write_aside(self, path: Path, data: bytes) -> Path:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle, name = tempfile.mkstemp(prefix=_OURS, dir=path.parent)
            except FileNotFoundError:  # another process has just deleted the empty folder
                continue
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), 0o644)
            return Path(name)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """One of a few lock files stands for the key: two keys may share one, which only makes them wait."""
        folder = Path(self.root, f"{_OURS}locks")
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{int(_digest(key.encode()), 16) % _LOCKS:02d}", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _remove_empty_folders(self, folder: Path) -> None:
        while str(folder) != self.root and folder.is_relative_to(self.root):
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    @contextmanager
    def _saying(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise NoSuchObject(f"there is no {self.place(key)}") from error
        except OSError as error:
            raise StoreError(f"{self.place(key)}: {error.strerror}") from error


class _FileInfo(ObjectInfo):
    """A file's ObjectInfo. Its etag needs the whole file read, so that is done when it is first asked for."""

    def __init__(self, store: FolderStore, key: str, stat: os.stat_result) -> None:
        said = {"key": key, "size": stat.st_size, "modified": _moment(stat.st_mtime_ns), "_store": store}
        self.__dict__.update(said)

    @cached_property
    def etag(self) -> str:
        store: FolderStore = self.__dict__["_store"]
        return store.etag(self.key)


def _digest(data: bytes) -> str:
    return _blake2(data).hexdigest()


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


# ---- a bucket ----------------------------------------------------------------------------------------------------


class S3Store(ObjectStore):
    """A bucket, or what lies under a prefix of it. The client is made when first used, anew in each process."""

    def __init__(self, place: str, **client_args: Any) -> None:
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        if not bucket:
            raise StoreError(f"'{place}' names no bucket: write s3://bucket/prefix")
        self.bucket = bucket
        prefix = prefix.strip("/")
        self.root = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        self._prefix = f"{prefix}/" if prefix else ""
        self._client_args = client_args
        self._client: Any = None
        self._client_of = 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_client": None, "_client_of": 0}

    def list(self, prefix: str = "", start_after: str = "") -> Iterator[ObjectInfo]:
        request = {"Bucket": self.bucket, "Prefix": self._prefix + prefix}
        if start_after:
            request["StartAfter"] = self._prefix + start_after
        for page in self._pages(request):
            for item in page.get("Contents", ()):
                if item["Key"].endswith("/"):
                    continue  # a console's mark that there is a folder: empty, and no object of anybody's
                yield self._info(item["Key"][len(self._prefix) :], item["Size"], item)

    def folders(self, prefix: str = "") -> _Keys:
        request = {"Bucket": self.bucket, "Prefix": self._prefix + prefix, "Delimiter": "/"}
        found = [folder["Prefix"] for page in self._pages(request) for folder in page.get("CommonPrefixes", ())]
        return [folder[len(self._prefix) :] for folder in found]

    def open(self, key: str) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_S3Reader(self, key), _READ_AHEAD))

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        reader = _S3Reader(self, key)
        with reader:
            return reader.readall(), reader.etag

    def head(self, key: str) -> ObjectInfo | None:
        try:
            found = self._call("head_object", key)
        except NoSuchObject:
            return None
        return self._info(key, found["ContentLength"], found)

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        conditions = {}
        if if_match is not None:
            conditions["IfMatch"] = if_match
        if if_none_match:
            conditions["IfNoneMatch"] = "*"
        try:
            answer = self._call("put_object", key, Body=data, **conditions)
        except NoSuchObject as error:  # If-Match on what is not there
            raise Conflict(f"{self.place(key)} has changed: expected {if_match}, found nothing") from error
        except Conflict as conflict:
            return self._written_all_the_same(key, data, conflict)
        return str(answer["ETag"]).strip('"')

    def delete(self, keys: Iterable[str]) -> None:
        names = [{"Key": self._prefix + _checked(key)} for key in keys]
        for first in range(0, len(names), _DELETE_AT_ONCE):
            batch = {"Objects": names[first : first + _DELETE_AT_ONCE], "Quiet": True}
            request = partial(self.client.delete_objects, Bucket=self.bucket, Delete=batch)
            answer: Any = self._asked(request, self.root)
            for error in answer.get("Errors", ()):
                raise StoreError(f"s3://{self.bucket}/{error['Key']} can't be deleted: {error['Code']}")

    @property
    def client(self) -> Any:
        """boto3's S3 client of this process. AWS_ENDPOINT_URL is honoured, by boto3 itself."""
        if self._client is None or self._client_of != os.getpid():
            import boto3
            from botocore.config import Config

            elsewhere = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} & os.environ.keys() or self._client_args.get(
                "endpoint_url"
            )
            config = Config(
                retries={"mode": "standard", "max_attempts": 8},
                max_pool_connections=32,
                s3={"addressing_style": "path"} if elsewhere else {},
            )
            make = partial(boto3.session.Session().client, "s3", config=config, **self._client_args)
            self._client = self._asked(make, self.root)
            self._client_of = os.getpid()
        return self._client

    def _call(self, operation: str, key: str, **arguments: Any) -> Any:
        name = self._prefix + _checked(key)
        request = partial(getattr(self.client, operation), Bucket=self.bucket, Key=name, **arguments)
        return self._asked(request, self.place(key))

    def _pages(self, request: dict[str, str]) -> Iterator[Any]:
        pages = self._asked(lambda: iter(self.client.get_paginator("list_objects_v2").paginate(**request)), self.root)
        while (page := self._asked(lambda: next(pages, None), self.root)) is not None:
            yield page

    def _info(self, key: str, size: int, item: dict[str, Any]) -> ObjectInfo:
        return ObjectInfo(key, size, str(item["ETag"]).strip('"'), item["LastModified"].astimezone(UTC))

    def _asked(self, call: Callable[[], _T], place: str) -> _T:
        """Makes the call and says its errors in the store's own words."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if code == "NoSuchBucket":
                raise StoreError(f"there is no bucket {self.bucket}") from error
            if code in ("PreconditionFailed", "ConditionalRequestConflict") or status in (409, 412):
                raise Conflict(f"{place} has changed: {code or status}") from error
            if code in ("NoSuchKey", "NotFound", "404") or status == 404:
                raise NoSuchObject(f"there is no {place}") from error
            raise StoreError(f"{place}: {code or status} ({error})") from error
        except BotoCoreError as error:
            raise StoreError(f"{place}: {error}") from error

    def _written_all_the_same(self, key: str, data: bytes, conflict: Conflict) -> str:
        """A write whose answer was lost is sent again by boto3 and conflicts with itself: look before giving up."""
        cause = conflict.__cause__
        metadata = getattr(cause, "response", {}).get("ResponseMetadata", {})
        if metadata.get("RetryAttempts"):
            with suppress(NoSuchObject):
                there, etag = self.get_with_etag(key)
                if there == data:
                    return etag
        raise conflict


class _S3Reader(io.RawIOBase):
    """One version of one object, as a stream. A connection that breaks is taken up again where it stopped."""

    def __init__(self, store: S3Store, key: str) -> None:
        super().__init__()
        self._store, self._key = store, key
        self._at = 0
        self._body: Any = None
        first = self._request({})
        self.etag = str(first["ETag"]).strip('"')
        self._size = int(first["ContentLength"])
        self._body = first["Body"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        target = max(0, start + offset)
        if target != self._at:
            self._drop()
            self._at = target
        return target

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        data = self._read(wanted)
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        parts = []
        while data := self._read(None):
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        self._drop()
        super().close()

    def _read(self, wanted: int | None) -> bytes:
        from botocore.exceptions import BotoCoreError

        if self._at >= self._size or wanted == 0:
            return b""
        for attempt in range(1, _REOPEN + 1):
            try:
                if self._body is None:
                    self._body = self._request({"Range": f"bytes={self._at}-", "IfMatch": self.etag})["Body"]
                data: bytes = self._body.read(wanted)
            except (BotoCoreError, OSError) as error:
                self._drop()
                if attempt == _REOPEN:
                    raise StoreError(f"{self._store.place(self._key)} broke off at byte {self._at}: {error}") from error
                time.sleep(0.1 * 2**attempt)
                continue
            self._at += len(data)
            return data
        raise AssertionError("the last attempt returns or raises")

    def _request(self, arguments: dict[str, str]) -> Any:
        return self._store._call("get_object", self._key, **arguments)

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
