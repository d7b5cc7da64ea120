"""Logs: one JSON object a line on standard error (in colours on a terminal), never a secret."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog

from treenail import trace
from treenail.clock import utcnow

SECRET_KEYS = re.compile(r"password|secret|token|authorization|cookie|api_key", re.I)
SECRET_TEXT = re.compile(
    r"(?i)(bearer\s+|token=|password=)[^\s&\"']+|eyJ[\w-]+\.[\w-]+\.[\w-]+"  # eyJ: a JWT
)
Fields = MutableMapping[str, Any]


def configure(level: str) -> None:
    """Send structlog's and the standard library's records through one set of processors."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, StandardError)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("alembic", "huey"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is now, not to what it was when the app was made."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        if getattr(record, "rendered", False):
            return record.getMessage()
        return super().format(record)


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _renderer() -> Any:
    if _on_terminal():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer()


def wants_requests() -> bool:
    """Whether requests are logged at all."""
    return logging.getLogger("treenail.web").isEnabledFor(logging.INFO)


def request(**fields: object) -> None:
    """Write the line of a request: one for each, so it skips the processors of the others.

    What they do is done here: who caused it, when, and no secret.
    """
    logger = logging.getLogger("treenail.web")
    if _on_terminal():
        structlog.get_logger(logger.name).info("request", **fields)
        return
    about: Fields = {**fields, "event": "request", "level": "info", "logger": logger.name}
    about["timestamp"] = utcnow().isoformat().replace("+00:00", "Z")
    line = orjson.dumps(_add_trace(None, "", about)).decode()
    record = logger.makeRecord(
        logger.name, logging.INFO, "", 0, SECRET_TEXT.sub("[redacted]", line), (), None
    )
    record.rendered = True
    logger.handle(record)


def redact(logger: Any, method: str, fields: Fields) -> Fields:
    """Blank whatever is named like a secret or looks like one."""
    for key, value in fields.items():
        fields[key] = _redacted(key, value)
    return fields


def _redacted(key: object, value: Any) -> Any:
    if SECRET_KEYS.search(str(key)):
        return "[redacted]"
    if isinstance(value, str):
        return SECRET_TEXT.sub("[redacted]", value)
    if isinstance(value, Mapping):
        return {inner: _redacted(inner, deep) for inner, deep in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item) for item in value]
    return value


def _add_trace(logger: Any, method: str, fields: Fields) -> Fields:
    cause = trace.current()
    for key in ("request_id", "actor_id", "tenant_id"):
        if value := getattr(cause, key):
            fields.setdefault(key, value)
    return fields
