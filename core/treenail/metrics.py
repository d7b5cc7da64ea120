"""What is measured, in Prometheus' form: never labelled with a tenant, a person or an id."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import structlog
from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

EXTENSION = "treenail.metrics"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Read = Callable[[], Mapping[str, float]]
log = structlog.get_logger("treenail.metrics")


@dataclass(frozen=True)
class Watched:
    """A number that is read when somebody looks."""

    doc: str
    label: str
    read: Read


class Metrics(Collector):
    """The measurements of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.watched: dict[str, Watched] = {}
        self.requests = Counter(
            "treenail_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "treenail_http_request_seconds",
            "How long answers took.",
            ("route", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.registry.register(self)

    def observe(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Count a request by the template of its route; None where there is no such address."""
        route = route or "unmatched"
        method = method if method in METHODS else "other"
        answered, took = self._of(route, method, status)
        answered.inc()
        took.observe(seconds)

    @lru_cache(maxsize=4096)  # noqa: B019  as long-lived as the application
    def _of(self, route: str, method: str, status: int) -> tuple[Counter, Histogram]:
        return self.requests.labels(route, method, str(status)), self.seconds.labels(route, method)

    def collect(self) -> Iterator[Metric]:
        """Read what is watched; what fails is logged and left out."""
        for name, watched in list(self.watched.items()):
            try:
                values = watched.read()
            except Exception:
                log.exception("metric_failed", metric=name)
                continue
            family = GaugeMetricFamily(name, watched.doc, labels=(watched.label,))
            for value, number in values.items():
                family.add_metric((value,), number)
            yield family

    def describe(self) -> Iterator[Metric]:
        """Nothing: what is watched is not read to be registered."""
        return iter(())

    def text(self) -> bytes:
        """All of them, as Prometheus reads it."""
        return generate_latest(self.registry)


def of(app: Flask) -> Metrics:
    """The application's measurements."""
    found: Metrics = app.extensions[EXTENSION]
    return found


def watch(app: Flask, name: str, doc: str, label: str, read: Read) -> None:
    """Show a gauge: ``read`` gives its number for each value of the label, whenever asked.

    ::

        watch(app, "treenail_open_sockets", "Open sockets.", "kind", lambda: {"collab": 3})
    """
    of(app).watched[name] = Watched(doc, label, read)
