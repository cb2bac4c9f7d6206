"""Ray, connected to a cluster, or one started here: silent, and calling nobody."""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssl_restore.errors import UserError

ANSWER_S = 10.0  # in which the address must answer
_STORE = 256 << 20  # bytes for the weights, on a cluster that is started here


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster while the block lasts; it calls nobody."""
    local = re.fullmatch(r"local(?::([1-9]\d{0,3}))?", address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if local:
        _prepare_local()
    else:
        _check_answer(address)
        os.environ["RAY_NUM_REDIS_GET_RETRIES"] = "2"  # tries to connect; 20 take minutes
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise UserError(
            "takes Ray: pip install 'ssl-restore[cluster]'", parameter="cluster"
        ) from error
    # Its sockets are below this folder, and their names may be of about 100 characters.
    short = "/tmp" if Path("/tmp").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="ray-", dir=short, ignore_cleanup_errors=True) as logs:
        options: dict[str, Any] = {"address": address}
        if local:
            options = {
                "address": "local", "num_cpus": int(local[1] or _cores()), "_temp_dir": logs,
                "include_dashboard": False, "object_store_memory": _STORE,
            }  # fmt: skip
        try:
            with _silence():
                ray.init(log_to_driver=False, logging_level="ERROR", **options)
        except Exception as error:  # Ray has no class of its own for what fails here
            reason = str(error).strip().split("\n")[0]
            token = "" if local else "; where it takes a token, set RAY_AUTH_MODE=token"
            raise UserError(f"{reason}{token}", parameter="cluster") from error
        try:
            yield ray
        finally:
            ray.shutdown()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what libraries write to stderr from there: errors are said in one line."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _prepare_local() -> None:
    """A cluster on 127.0.0.1 alone, which takes a token that this process alone knows."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # Ray reads it once
    os.environ.setdefault("RAY_worker_niceness", "0")  # as the command without a cluster


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_answer(address: str) -> None:
    host, _, port = address.rpartition(":")
    if host in ("", "local") or not port.isdigit() or "/" in host:
        raise UserError(
            f"HOST:PORT of the head of a Ray cluster is expected, or local, got {address}",
            parameter="cluster",
        )
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"{address} does not answer ({error}); start Ray there with: ray start --head",
            parameter="cluster",
        ) from error
