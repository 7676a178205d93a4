"""Running the server: sockets, signals and the end."""

import asyncio
import signal

import uvicorn

from project.deploy.server.app import Server, create_app
from project.deploy.server.settings import Settings


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; answer what has arrived; return the exit code."""
    server = Server(settings)
    config = uvicorn.Config(
        create_app(server), host=settings.host, port=settings.port, log_level="warning", timeout_keep_alive=5
    )
    asyncio.run(_run(uvicorn.Server(config), server))
    return 0


async def _run(runner: uvicorn.Server, server: Server) -> None:
    def stop() -> None:
        server.is_ready = False
        runner.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await runner._serve()
