"""The application: routes, and what they answer."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import TypeVar

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response

from project.deploy.predictor import Predictor
from project.deploy.server import strict_json
from project.deploy.server.answers import describe_prediction, find_pictures, prefers_png, to_png
from project.deploy.server.batching import Batcher
from project.deploy.server.bodies import HeldMemory, Memory, UnreadBodyMiddleware, read_body
from project.deploy.server.description import describe_model, find_name
from project.deploy.server.docs_page import add_docs
from project.deploy.server.headers import HeaderMiddleware, HostMiddleware
from project.deploy.server.metrics import Metrics
from project.deploy.server.pages import add_pages
from project.deploy.server.problems import Problem, add_problems
from project.deploy.server.samples import check_content_type, read_samples
from project.deploy.server.settings import Settings
from project.deploy.server.uploads import largest_pixels
from project.deploy.server.waiting import Arrays

_MEMORY = 256_000_000  # bytes of bodies and decoded samples of all requests
_GONE = 499  # status in the counters if the client is gone, as nginx counts it
_FEW_VALUES = 10_000  # are written as JSON faster than a thread begins
_MAX_VALUES = 2_000_000  # of an answer: as JSON, they need 200 MB while they are written

_Result = TypeVar("_Result")


class Server:
    """What the routes share.

    Args:
        settings: settings of the server.
        metrics: counters of this process; None makes some for it alone.

    Attributes:
        is_ready: whether `/readyz` tells a load balancer to send requests.
        pictures: answers that are pictures.
        memory: bytes that requests hold.
    """

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self.settings, self.is_ready = settings, False
        self.predictor = Predictor(settings.model)
        self.pictures = find_pictures(self.predictor)
        self.max_pixels = settings.max_pixels or largest_pixels(self.predictor.card)
        self.metrics = metrics or Metrics(1).for_worker(0)
        self.batcher = Batcher(self.predictor, settings.limits, self.metrics)
        self.decoders, self.encoders = ThreadPoolExecutor(2, "decode"), ThreadPoolExecutor(2, "encode")
        self.memory = Memory(_MEMORY)

    async def predict(self, request: Request) -> Response:
        """Answer a request to `/predict`, and count it."""
        start, status = perf_counter(), 500
        try:
            response = await self._predict(request)
            status = response.status_code
            return response
        except Problem as problem:
            status = problem.status
            raise
        except ClientDisconnect:
            status = _GONE
            raise
        finally:
            self.metrics.count_answer(status, perf_counter() - start)

    async def _predict(self, request: Request) -> Response:
        # What the head of the request tells is checked before its body is read.
        self._check_token(request)
        kind, limits = request.headers.get("content-type", ""), self.settings.limits
        check_content_type(self.predictor.card, kind, request.headers.get("content-encoding", ""))
        self.batcher.check_wait()
        with HeldMemory(self.memory) as held:
            body = await read_body(request, limits, held)
            start = perf_counter()
            samples, outputs = await _unless_gone(request, self._compute(kind, body, held))
            return await self._answer(request, samples, outputs, start)

    async def _compute(self, kind: str, body: bytes, held: HeldMemory) -> tuple[Sequence[Arrays], Sequence[Arrays]]:
        """Return the samples in a body, and all outputs of the graph for each."""
        limits, loop = self.settings.limits, asyncio.get_running_loop()
        reading = read_samples(self.predictor, kind, body, limits.samples, self.max_pixels)
        samples, left = list[Arrays](), 1
        try:
            async with asyncio.timeout(limits.answer_seconds):
                while left:  # one by one, so that requests take turns: 64 pictures may need 20 s
                    sample, left = await loop.run_in_executor(self.decoders, next, reading)
                    held.add(sum(array.nbytes for array in sample.values()))
                    samples.append(sample)
                return samples, await self.batcher.predict(samples)
        except TimeoutError:
            raise Problem(504, f"there was no answer within {limits.answer_seconds:g} s") from None
        finally:  # the queue of the threads may still have it, and the body would stay in memory
            with suppress(ValueError):  # a thread reads a sample, and drops it
                reading.close()

    async def _answer(
        self, request: Request, samples: Sequence[Arrays], outputs: Sequence[Arrays], start: float
    ) -> Response:
        """Return the response: a picture if the client prefers one, and there is exactly one; else JSON."""
        loop, card = asyncio.get_running_loop(), self.predictor.card
        values = {name: [each[output] for each in outputs] for name, output in card.answers.items()}
        pictures = [value for name in self.pictures for value in values[name] if value.size]
        if len(outputs) == len(pictures) == 1 and prefers_png(request.headers.get("accept", "")):
            return Response(await loop.run_in_executor(self.encoders, to_png, pictures[0]), media_type="image/png")

        numbers = sum(value.size for name in values.keys() - self.pictures for value in values[name])
        if numbers > _MAX_VALUES:
            detail = f"the answer has {numbers} numbers, and may have {_MAX_VALUES}: send fewer or smaller samples"
            raise Problem(413, detail)

        def to_json() -> bytes:
            predictions = [
                describe_prediction(card, self.pictures, *pair) for pair in zip(samples, outputs, strict=True)
            ]
            milliseconds = round(1000 * (perf_counter() - start), 3)
            return strict_json.dumps(
                {"predictions": predictions, "milliseconds": milliseconds, "sha256": self.predictor.sha256}
            )

        is_fast = not pictures and sum(value.size for each in outputs for value in each.values()) < _FEW_VALUES
        content = to_json() if is_fast else await loop.run_in_executor(self.encoders, to_json)
        return Response(content, media_type="application/json")

    def _check_token(self, request: Request) -> None:
        token = self.settings.token
        if token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Compared as bytes: Starlette decodes headers as Latin-1, and UTF-8 is what a terminal sends.
        is_right = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
        if not (is_right and scheme.lower() == "bearer"):
            raise Problem(
                401,
                "the token is missing or wrong; send it as `Authorization: Bearer TOKEN`",
                {"WWW-Authenticate": "Bearer"},
            )


async def _unless_gone(request: Request, work: Awaitable[_Result]) -> _Result:
    """Return the result of work, which is cancelled if the client is gone; the body must have been read.

    Raises:
        ClientDisconnect: it is.
    """
    done, gone = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((done, gone), return_when=asyncio.FIRST_COMPLETED)
        if not done.done() and gone.result()["type"] == "http.disconnect":
            raise ClientDisconnect
        return await done
    finally:
        done.cancel()
        gone.cancel()


def create_app(server: Server) -> FastAPI:
    """Return the application of a server.

    Only `/predict` needs the token: the other routes tell nothing about requests, and load balancers, Prometheus and
    the page ask them without one.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await server.batcher.start()
        server.is_ready = True
        yield
        await server.batcher.drain()
        for pool in (server.decoders, server.encoders):
            pool.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    add_problems(app)
    if server.settings.token is None:
        app.add_middleware(HostMiddleware)
    app.add_middleware(UnreadBodyMiddleware)
    if server.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[server.settings.cors],
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(HeaderMiddleware)
    _add_routes(app, server)
    add_docs(app, server.predictor, server.settings)
    add_pages(app)
    return app


def _add_routes(app: FastAPI, server: Server) -> None:
    """Add the routes of programs, as routes of Starlette: FastAPI's would look for parameters in each request."""
    # Also reads the checksum, which is that of the file at the start from then on.
    description = strict_json.dumps(describe_model(server.predictor, server.settings, server.max_pixels))

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        if not server.is_ready:
            raise Problem(503, "the server is stopping")
        return PlainTextResponse("ok")

    async def metrics(request: Request) -> Response:
        text = server.metrics.to_text(find_name(server.predictor), server.predictor.sha256)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def model(request: Request) -> Response:
        return Response(description, media_type="application/json")

    app.add_route("/predict", server.predict, methods=["POST"])
    for route in (livez, readyz, metrics, model):
        app.add_route(f"/{route.__name__}", route, methods=["GET"])
