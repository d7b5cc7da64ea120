"""What can go wrong, as RFC 9457 problems: raised anywhere, answered by the web face."""

from collections.abc import Mapping
from typing import Any


class Problem(Exception):
    """An error with a stable machine word.

    ``code`` is what clients switch on, ``detail`` is for people, ``extra`` are further
    members of the problem document (RFC 9457, section 3.2).
    """

    status = 500
    title = "Internal Server Error"
    code = "internal_error"

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.code = code or self.code
        self.headers = dict(headers or {})
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """The body of an ``application/problem+json`` answer."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }


class BadRequest(Problem):
    """The request can't be understood (malformed JSON, a bad header)."""

    status, title, code = 400, "Bad Request", "bad_request"


class Unauthenticated(Problem):
    """No credential, or one that is not, or no longer, valid."""

    status, title, code = 401, "Unauthorized", "unauthenticated"

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"}, **extra)


class PermissionDenied(Problem):
    """The caller may see the thing but not do this with it."""

    status, title, code = 403, "Forbidden", "permission_denied"

    def __init__(self, permission: str, detail: str = "", **extra: Any) -> None:
        super().__init__(
            detail or f"This needs the permission {permission}.", permission=permission, **extra
        )


class Forbidden(Problem):
    """Refused for a reason that no permission would change."""

    status, title, code = 403, "Forbidden", "forbidden"


class NotFound(Problem):
    """Nothing is there, or nothing that the caller may see."""

    status, title, code = 404, "Not Found", "not_found"


class Conflict(Problem):
    """The request doesn't fit the present state."""

    status, title, code = 409, "Conflict", "conflict"


class PreconditionFailed(Problem):
    """The resource is no longer the one that ``If-Match`` names."""

    status, title, code = 412, "Precondition Failed", "precondition_failed"


class TooLarge(Problem):
    """The body is larger than the limit."""

    status, title, code = 413, "Content Too Large", "content_too_large"


class UnsupportedMediaType(Problem):
    """A body that is not JSON."""

    status, title, code = 415, "Unsupported Media Type", "unsupported_media_type"


class Invalid(Problem):
    """Input of the right form whose content is refused; ``errors`` maps fields to messages."""

    status, title, code = 422, "Unprocessable Content", "invalid"

    def __init__(self, errors: Mapping[str, Any], detail: str = "", **extra: Any) -> None:
        super().__init__(detail or "Some fields are not valid.", errors=dict(errors), **extra)


class TooManyRequests(Problem):
    """Too often; ``after`` is how many seconds to wait, ``limit`` what is free of waiting."""

    status, title, code = 429, "Too Many Requests", "too_many_requests"

    def __init__(self, after: int, limit: int, detail: str = "", **extra: Any) -> None:
        headers = {
            "Retry-After": str(after),
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(after),
        }
        super().__init__(detail or f"Try again in {after} seconds.", headers=headers, **extra)


class Unavailable(Problem):
    """Something Treenail needs does not answer now."""

    status, title, code = 503, "Service Unavailable", "unavailable"


class ConfigurationError(Exception):
    """The deployment is set up wrongly; the start stops with this one line."""
