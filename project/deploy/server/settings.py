"""Settings of the server, and its limits."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What the server accepts, so that its memory and its answers' times are bounded.

    Args:
        body_bytes: size of a request's body.
        body_seconds: time for a body to arrive.
        wait_seconds: longest estimated time from a request's samples to their answer; a request that needs more alone
            is accepted while no other waits.
        answer_seconds: time from a whole body to its answer.
        samples: number of samples in a request.
    """

    body_bytes: int = 20_000_000
    body_seconds: float = 10.0
    wait_seconds: float = 10.0
    answer_seconds: float = 30.0
    samples: int = 64


@dataclass(frozen=True)
class Settings:
    """Settings of the server.

    Args:
        model: the exported model, model.onnx.
        host: address to listen on.
        port: port; 0 takes a free one.
        max_pixels: largest width x height of a picture; None derives it from the model.
        workers: number of processes.
        cors: origin whose pages may send requests, such as https://example.org.
        token: what a client must send as `Authorization: Bearer TOKEN`; None lets everybody predict.
        limits: what is accepted.
    """

    model: Path
    host: str = "127.0.0.1"
    port: int = 8000
    max_pixels: int | None = None
    workers: int = 1
    cors: str | None = None
    token: str | None = None
    limits: Limits = field(default_factory=Limits)
