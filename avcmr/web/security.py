"""Security headers of every answer, and refusal of cross-site requests."""

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = "; ".join(
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
"""Only our own files; uploads and recordings are shown as blobs."""

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)
"""The report contains its styles and figures, and needs no script."""

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


class SecurityMiddleware:
    """ASGI middleware that sets the headers above and refuses requests of other sites' pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        if _is_cross_site(scope):
            refusal = JSONResponse({"detail": "asked by another site"}, 403)
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _is_cross_site(scope: Scope) -> bool:
    """Whether a page of another site makes this request; following its links is allowed."""
    headers = dict(scope["headers"])
    origin = headers.get(b"origin")  # sent with uploads even by browsers without Sec-Fetch-Site
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
        return True
    return headers.get(b"sec-fetch-site") in (b"cross-site", b"same-site") and (
        headers.get(b"sec-fetch-mode") != b"navigate" or scope["method"] != "GET"
    )
