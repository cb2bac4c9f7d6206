"""Object stores, as s3:// and gs://, through fsspec: what is there, and its bytes.

A store neither appends nor renames nor locks, but an object appears only when all of it is there.
A folder of this machine is one, too: file://.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_restore.errors import UserError
from ssl_restore.io.files import replacing
from ssl_restore.io.manifest import Identity

_LOCAL = {"file", "local"}
_STORES = _LOCAL | {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}  # a put is all or nothing
_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")


def is_address(written: str) -> bool:
    """Whether the name of an input or output is an address, and no path."""
    return "://" in written


@contextmanager
def _faults(address: str) -> Iterator[None]:
    """What stores raise, each in its own way, as one line that names the address."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{address}: no such object or folder; check the address") from error
    except ImportError as error:
        package = getattr(error, "name", None) or str(error).strip().split("\n")[0]
        raise UserError(f"{address}: the package of this store is missing ({package})") from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(
            f"{address}: the store refused or did not answer ({reason}); check the address, the "
            "credentials and the network"
        ) from error


@dataclass(frozen=True)
class Place:
    """An object or a folder of a store; a path is one, too."""

    address: str
    store: Any  # fsspec's
    path: str

    @staticmethod
    def at(address: str) -> Place:
        """UserError for an address that means nothing, and where its package is missing."""
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415
        except ImportError as error:
            raise UserError(
                f"{address}: takes fsspec: pip install 'ssl-restore[cluster]'"
            ) from error
        address = address.rstrip("/")
        kind = address.partition("://")[0]
        if is_address(address) and kind not in _STORES:
            known = ", ".join(sorted(f"{name}://" for name in _STORES))
            raise UserError(f"{address}: unknown kind of address; use a path, or one of {known}")
        with _faults(address):
            store, path = url_to_fs(
                address if is_address(address) else str(Path(address).absolute()),
                use_listings_cache=False,
            )
        return Place(address, store, path.rstrip("/"))

    @property
    def is_local(self) -> bool:
        kinds = self.store.protocol
        return bool(_LOCAL & set([kinds] if isinstance(kinds, str) else kinds))

    def is_same(self, other: Place) -> bool:
        return (self.store, self.path) == (other.store, other.path)

    def holds(self, other: Place) -> bool:
        """Whether an object is in this folder or one below it."""
        return self.store == other.store and other.path.startswith(f"{self.path}/")

    def below(self, name: str) -> Place:
        return Place(f"{self.address}/{name}", self.store, f"{self.path}/{name}")

    def objects(self, *, deep: bool) -> dict[str, Identity]:
        """Name -> identity of every object of a folder, of its sub-folders where it is `deep`."""
        with _faults(self.address):
            try:
                found = self.store.find(self.path, maxdepth=None if deep else 1, detail=True)
            except FileNotFoundError:
                return {}
            return {path[len(self.path) + 1 :]: _identity(info) for path, info in found.items()}

    def identity(self) -> Identity | None:
        """Of an object; None where there is none, or a folder."""
        with _faults(self.address):
            try:
                info = self.store.info(self.path)
            except FileNotFoundError:
                return None
            return _identity(info) if info.get("type") == "file" else None

    def fetch(self, file: Path) -> None:
        """The content of the object into a file."""
        with _faults(self.address):
            self.store.get_file(self.path, str(file))

    def put(self, file: Path) -> Identity:
        """The content of a file as the object: whole, or not at all."""
        with _faults(self.address):
            if self.is_local:
                self._write(file.read_bytes())
            else:
                self.store.put_file(str(file), self.path)
            return _identity(self.store.info(self.path))

    def put_bytes(self, content: bytes) -> None:
        with _faults(self.address):
            if self.is_local:
                self._write(content)
            else:
                self.store.pipe_file(self.path, content)

    def _write(self, content: bytes) -> None:
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    def contents(self, paths: list[str]) -> list[bytes]:
        """Those of several objects of the store, fetched side by side."""
        with _faults(self.address):
            found: dict[str, bytes] = self.store.cat(paths) if paths else {}
            return [found[path] for path in paths]


def _identity(info: Mapping[str, Any]) -> Identity:
    mark = next((str(info[name]) for name in _MARKS if info.get(name)), "")
    number = hashlib.blake2b(mark.encode(), digest_size=6).digest()
    return int(info.get("size") or 0), int.from_bytes(number, "big") or 1
