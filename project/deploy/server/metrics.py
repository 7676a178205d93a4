"""Counters of the server, as Prometheus reads them."""

from collections import Counter


class Metrics:
    """Counters of requests and batches."""

    def __init__(self) -> None:
        self._answered: Counter[int] = Counter()

    def count_answer(self, status: int, seconds: float) -> None:
        """Count a request to /predict that was answered with a status."""
        self._answered[status] += 1

    def to_text(self) -> str:
        """Return the counters in the text format of Prometheus."""
        lines = [f'requests_total{{status="{status}"}} {count}' for status, count in sorted(self._answered.items())]
        return "\n".join(lines) + "\n"
