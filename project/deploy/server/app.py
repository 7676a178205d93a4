"""The application: routes, and what they answer."""

import asyncio
import hmac
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from project.deploy.predictor import Predictor
from project.deploy.server.answers import describe_prediction, is_picture, to_png
from project.deploy.server.batching import Batcher
from project.deploy.server.bodies import read_body
from project.deploy.server.description import describe_model
from project.deploy.server.metrics import Metrics
from project.deploy.server.pages import add_pages
from project.deploy.server.problems import Problem
from project.deploy.server.samples import read_samples
from project.deploy.server.settings import Settings


class Server:
    """What the routes share.

    Args:
        settings: settings of the server.

    Attributes:
        is_ready: whether `/readyz` tells a load balancer to send requests.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.is_ready = settings, False
        self.predictor = Predictor(settings.model)
        self.metrics = Metrics()
        self.batcher = Batcher(self.predictor, settings.limits)
        self.decoders = ThreadPoolExecutor(2, "decode")

    async def predict(self, request: Request) -> Response:
        """Answer a request to `/predict`."""
        start = perf_counter()
        self._check_token(request)
        body = await read_body(request, self.settings.limits)
        loop, kind = asyncio.get_running_loop(), request.headers.get("content-type", "")
        samples = await loop.run_in_executor(self.decoders, read_samples, self.predictor, kind, body)
        outputs = await self.batcher.predict(samples)
        card = self.predictor.card
        if "image/png" in request.headers.get("accept", "") and len(outputs) == 1:
            pictures = [value for name in card.answers.values() if is_picture(value := outputs[0][name])]
            if pictures:
                return Response(await loop.run_in_executor(self.decoders, to_png, pictures[0]), media_type="image/png")
        predictions = await loop.run_in_executor(
            self.decoders, lambda: [describe_prediction(card, *pair) for pair in zip(samples, outputs, strict=True)]
        )
        return JSONResponse(
            {
                "predictions": predictions,
                "milliseconds": round(1000 * (perf_counter() - start), 3),
                "sha256": self.predictor.sha256,
            }
        )

    def _check_token(self, request: Request) -> None:
        given, token = request.headers.get("authorization", ""), self.settings.token
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise Problem(401, "send the token as `Authorization: Bearer TOKEN`", {"WWW-Authenticate": "Bearer"})


def create_app(server: Server) -> FastAPI:
    """Return the application of a server."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(server.batcher.run())
        server.is_ready = True
        yield
        task.cancel()

    app = FastAPI(title="model", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.exception_handler(Problem)
    async def answer_problem(request: Request, problem: Problem) -> Response:
        return problem.response()

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        return await server.predict(request)

    @app.get("/livez", include_in_schema=False)
    async def livez() -> Response:
        return PlainTextResponse("ok")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        return PlainTextResponse("ok") if server.is_ready else PlainTextResponse("stopping", 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return PlainTextResponse(server.metrics.to_text(), media_type="text/plain; version=0.0.4")

    @app.get("/model")
    async def model() -> dict[str, Any]:
        return describe_model(server.predictor, server.settings)

    add_pages(app)
    return app
