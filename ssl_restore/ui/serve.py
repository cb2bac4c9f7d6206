"""A server of the page, on this machine only, with a private folder that ends with it."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssl_restore.errors import UserError
from ssl_restore.ui.restoring import Machine
from ssl_restore.ui.sessions import Sessions

HOST = "127.0.0.1"
PORT = 7860
MAX_MB = 4000.0
FOLDER = Path(__file__).parent


@contextmanager
def served(
    *, port: int = PORT, max_mb: float = MAX_MB, machine: Machine | None = None
) -> Iterator[str]:
    """The address of the page, which is there while the block lasts.

    Args:
        port: Of 127.0.0.1; 0: any that is free.
        max_mb: Most that the files of all users together may take.
        machine: Where and how it is computed.

    Raises:
        UserError: For a port in use, and where the extra `ui` is missing.
    """
    _check_installed()
    root = Path(tempfile.mkdtemp(prefix="ssl-restore-ui-")).resolve()
    try:
        with _bound(port) as listener, _environment(root):
            from ssl_restore.ui.page import build  # noqa: PLC0415  (which needs gradio)

            sessions = Sessions(root, machine or Machine())
            try:
                with _running(_application(build(sessions), sessions, max_mb), listener):
                    yield f"http://{HOST}:{listener.getsockname()[1]}/"
            finally:
                sessions.close_all()
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _application(blocks: Any, sessions: Sessions, max_mb: float) -> Any:
    """The page behind its guard."""
    import gradio  # noqa: PLC0415
    from fastapi import FastAPI  # noqa: PLC0415

    from ssl_restore.ui.guard import guard  # noqa: PLC0415
    from ssl_restore.ui.page import theme  # noqa: PLC0415

    limit, script = int(max_mb * 1e6), FOLDER.joinpath("page.js").read_text("utf-8")
    app = FastAPI(middleware=[guard(sessions, limit)], docs_url=None, redoc_url=None)
    gradio.mount_gradio_app(
        app, blocks, "/", server_name=HOST, footer_links=[], run_history=False, show_error=False,
        max_file_size=limit, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
        theme=theme(), css_paths=FOLDER / "page.css", head=f"<script>{script}</script>",
    )  # fmt: skip
    blocks.has_launched = blocks.is_running = True  # else it takes any path for an upload
    return app


@contextmanager
def _running(app: Any, listener: socket.socket) -> Iterator[None]:
    """Serve while the block lasts."""
    import uvicorn  # noqa: PLC0415

    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="page", daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def _check_installed() -> None:
    from importlib.util import find_spec  # noqa: PLC0415

    if find_spec("gradio") is None:
        raise UserError("the page needs gradio: pip install 'ssl-restore[ui]'")


@contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    """A socket at the port, or for 0 at one that is free; UserError for one that is in use."""
    with socket.socket() as bound:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, port))
            bound.listen()
        except OSError as error:
            raise UserError(
                f"`port={port}` cannot be used ({error.strerror}); give another, or 0 for any"
            ) from error
        yield bound


@contextmanager
def _environment(root: Path) -> Iterator[None]:
    """Gradio's own settings by variables of the environment put aside, and nothing sent home."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    here = ",".join(filter(None, (os.environ.get("NO_PROXY", ""), HOST, "localhost")))
    os.environ.update(
        GRADIO_TEMP_DIR=str(root), GRADIO_EXAMPLES_CACHE=str(root / "examples"),
        GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1",
        NO_PROXY=here, no_proxy=here,
    )  # fmt: skip
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
