"""What every answer says to the browser, and which requests are not answered."""

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Nothing from elsewhere, and no script or style but our files; recordings are blobs."""

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
"""The report holds its styles and figures itself, and needs no script."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


class Guard:
    """ASGI middleware: the headers above, and no requests that pages of other sites make."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if _from_elsewhere(scope):
            refusal = JSONResponse({"detail": "asked by another site"}, 403)
            await refusal(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)


def _from_elsewhere(scope: Scope) -> bool:
    """Whether a page of another site asks; its links may lead here all the same."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")  # sent with uploads, also where Sec-Fetch-Site is not
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
        return True
    return headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and (
        headers.get(b"sec-fetch-mode") != b"navigate" or scope["method"] != "GET"
    )
