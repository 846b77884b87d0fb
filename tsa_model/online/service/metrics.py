"""What the service tells Prometheus."""

from __future__ import annotations

from collections import deque
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tsa_model.online.scorer import Scored

LATENCIES = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
AGES = (60.0, 600.0, 3600.0, 6 * 3600.0, 86_400.0, 3 * 86_400.0, 7 * 86_400.0, 30 * 86_400.0, 90 * 86_400.0)


class Metrics:
    """Counters and histograms of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._uncounted: deque[list[Scored]] = deque()
        self._children: dict[Any, Any] = {}
        self.seconds = Histogram(
            "tsa_request_seconds",
            "Time from a whole request to its answer.",
            ["endpoint"],
            buckets=LATENCIES,
            registry=self.registry,
        )
        self.requests = Counter(
            "tsa_requests", "Answered requests.", ["endpoint", "status"], registry=self.registry
        )
        self.orders = Counter(
            "tsa_orders",
            "Orders, labels and rows of requests that succeeded.",
            ["what"],
            registry=self.registry,
        )
        self._scores = Histogram(
            "tsa_score",
            "Scores given.",
            buckets=[place / 20 for place in range(1, 21)],
            registry=self.registry,
        )
        self._earlier = Histogram(
            "tsa_history_orders",
            "Earlier orders that a score was made from.",
            ["history"],
            buckets=(0, 1, 2, 5, 10, 20, 30, 40, 50, 100),
            registry=self.registry,
        )
        self._age = Histogram(
            "tsa_history_age_seconds",
            "Time from the latest earlier order to the order that was scored.",
            ["history"],
            buckets=AGES,
            registry=self.registry,
        )
        self._model = Gauge(
            "tsa_model", "1 for the model in use.", ["model_digest", "gate_id"], registry=self.registry
        )
        self._refused = Gauge(
            "tsa_champion_refused",
            "1 while the champion fails its verification and the model before it goes on.",
            registry=self.registry,
        )

    def refused(self, is_refused: bool) -> None:
        """Say whether the champion is refused and another model goes on."""
        self._refused.set(is_refused)

    def model(self, digest: str, gate_id: str) -> None:
        """Say which model is in use."""
        self._model.clear()
        self._model.labels(digest, gate_id).set(1)

    def scored(self, answers: list[Scored]) -> None:
        """Note answers, which are counted when they are sent."""
        self._uncounted.append(answers)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request whose answer was sent, and all answers that were noted."""
        self._child(self.seconds, endpoint).observe(seconds)
        self._child(self.requests, endpoint, status).inc()
        self._count()

    def counted(self, what: str, n: int) -> None:
        """Count orders, labels or rows of a request that succeeded."""
        self._child(self.orders, what).inc(n)

    def _count(self) -> None:
        """Count answers; one that was given before counts once."""
        while self._uncounted:
            try:
                answers = self._uncounted.popleft()
            except IndexError:  # another thread has just taken it
                return
            n_new = 0
            for answer in answers:
                if answer.repeated:
                    continue
                n_new += 1
                self._scores.observe(answer.score)
                for whose, history in answer.history.items():
                    self._child(self._earlier, whose).observe(history["orders"])
                    if history["newest_s"] is not None:
                        self._child(self._age, whose).observe(history["newest_s"])
            self.counted("scored", n_new)

    def _child(self, metric: Any, *labels: object) -> Any:
        """The metric of some labels; looked up once."""
        child = self._children.get((metric, labels))
        if child is None:
            self._children[metric, labels] = child = metric.labels(*labels)
        return child

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        self._count()
        return generate_latest(self.registry)
