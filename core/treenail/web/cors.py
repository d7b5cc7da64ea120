"""Pages of other origins that may call (the Fetch standard's CORS protocol).

Only origins named in ``CORS_ORIGINS``, letter by letter, and never with credentials: tokens
travel in a header, there are no cookies.
"""

from collections.abc import Collection

from flask import Flask, Response, request

METHODS = "GET, POST, PUT, PATCH, DELETE"
SENT = (
    "Authorization, Content-Type, X-Tenant-Id, X-Request-Id, Idempotency-Key, If-Match, "
    "If-None-Match"
)
EXPOSED = (
    "ETag, X-Request-Id, Retry-After, Idempotency-Replayed, RateLimit-Limit, "
    "RateLimit-Remaining, RateLimit-Reset"
)
PREFLIGHT_SECONDS = "600"


def install(app: Flask, origins: Collection[str]) -> None:
    """Let pages of these origins call the application."""
    if not origins:
        return

    @app.before_request
    def _preflight() -> Response | None:
        asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asked or request.headers.get("Origin") not in origins:
            return None
        headers = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": SENT,
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
        }
        return Response(status=204, headers=headers)

    @app.after_request
    def _allow(response: Response) -> Response:
        response.vary.add("Origin")  # whoever keeps an answer keeps it for this origin
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
        return response
