"""A server of the page, on this machine only, with a private folder that ends with it."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_restore.errors import UserError
from ssl_restore.ui.restoring import Machine

HOST = "127.0.0.1"
PORT = 7860
MAX_MB = 4000.0


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
    port = _free(port)
    root = Path(tempfile.mkdtemp(prefix="ssl-restore-ui-")).resolve()
    try:
        with _environment(root):
            from ssl_restore.ui.page import build, theme  # noqa: PLC0415  (which needs gradio)
            from ssl_restore.ui.guard import guard  # noqa: PLC0415
            from ssl_restore.ui.sessions import Sessions  # noqa: PLC0415

            sessions = Sessions(root, machine or Machine())
            blocks = build(sessions)
            limit = int(max_mb * 1e6)
            try:
                blocks.launch(
                    server_name=HOST, server_port=port, prevent_thread_lock=True, quiet=True,
                    share=False, inbrowser=False, show_error=False, footer_links=[],
                    enable_monitoring=False, ssr_mode=False, mcp_server=False, pwa=False,
                    max_file_size=limit, theme=theme(), css_paths=Path(__file__).parent / "page.css",
                    app_kwargs={"middleware": [guard(sessions, limit)]},
                )  # fmt: skip
                yield f"http://{HOST}:{port}/"
            finally:
                sessions.close_all()
                blocks.close(verbose=False)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _check_installed() -> None:
    from importlib.util import find_spec  # noqa: PLC0415

    if find_spec("gradio") is None:
        raise UserError("the page needs gradio: pip install 'ssl-restore[ui]'")


def _free(port: int) -> int:
    """The port itself, or for 0 one that is free; UserError for one that is in use."""
    with socket.socket() as tried:
        if os.name == "posix":
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"{port} cannot be used ({error.strerror}); give another, or 0 for any that is free",
                parameter="port",
            ) from error
        return int(tried.getsockname()[1])


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
