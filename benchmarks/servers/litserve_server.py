"""A plain server of LitServe: `python -m benchmarks.servers.litserve_server RUN CHANNELS PORT`."""

import base64
import sys
from importlib import import_module
from typing import Any

from benchmarks.servers.net import Net

litserve = import_module("litserve")  # optional, and so mypy does not need it


class Api(litserve.LitAPI):  # type: ignore[misc,name-defined]
    """What LitServe asks of a server; the body of a request is JSON with a picture in base64.

    Args:
        run: directory of the run.
        channels: channels of the picture.
    """

    def __init__(self, run: str, channels: int) -> None:
        super().__init__()
        self.run, self.channels = run, channels

    def setup(self, device: str) -> None:
        self.net = Net(self.run, self.channels)

    def decode_request(self, request: dict[str, str]) -> bytes:
        return base64.b64decode(request["image"])

    def predict(self, picture: bytes) -> dict[str, Any]:
        return self.net.answer(picture)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(sys.argv[1], int(sys.argv[2])), accelerator="cpu", healthcheck_path="/readyz")
    server.run(host="127.0.0.1", port=int(sys.argv[3]), generate_client_file=False, log_level="warning")
