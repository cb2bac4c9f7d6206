"""What the server refuses before the page sees it, and what it forbids the browser."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from ssl_restore.ui.sessions import Sessions

# The page's own scripts and styles, and nothing from elsewhere, whatever the page would ask for.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'self'"
)
HEADERS = {
    "content-security-policy": POLICY, "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}  # fmt: skip
NAMES = ("127.0.0.1", "localhost")
CLOSED = ("/proxy=", "/stream/", "/deep_link", "/monitoring", "/runs", "/mcp")


def guard(sessions: Sessions, most_bytes: int) -> Any:
    """A middleware of Starlette."""
    from starlette.middleware import Middleware  # noqa: PLC0415

    return Middleware(Guard, sessions=sessions, most_bytes=most_bytes)


class Guard:
    """Only this machine by its own name, only the page's own ways, only so many bytes."""

    def __init__(self, app: Any, sessions: Sessions, most_bytes: int) -> None:
        self.app, self.sessions, self.most_bytes = app, sessions, most_bytes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await _answer(send, *refused)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        await self.app(scope, receive, with_headers)

    def _refused(self, scope: Any) -> tuple[int, str] | None:
        """Status and reason; None: nothing is against it."""
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        host = headers.get("host", b"").decode("latin-1").rsplit(":", 1)[0]
        if host not in NAMES:  # a page from elsewhere whose name leads here
            return 403, "this page is for this machine only"
        path = unquote(scope["path"])
        way, _, file = path.partition("/file=")
        if "://" in file or file.startswith("http") or any(part in way for part in CLOSED):
            return 404, "there is nothing here"
        if scope["method"] == "POST" and path.endswith("/upload"):
            return self._refused_upload(headers)
        return None

    def _refused_upload(self, headers: dict[str, bytes]) -> tuple[int, str] | None:
        length = headers.get("content-length", b"").decode("latin-1")
        if not length.isdecimal():
            return 411, "the length of what is sent is missing"
        if self.sessions.used_bytes() + int(length) > self.most_bytes:
            return 413, f"too large: all files together may take {self.most_bytes / 1e6:g} MB"
        return None


async def _answer(send: Any, status: int, reason: str) -> None:
    body = reason.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
