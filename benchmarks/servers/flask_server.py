"""A plain server of Flask and waitress: `python -m benchmarks.servers.flask_server RUN CHANNELS PORT`."""

import sys
from importlib import import_module
from typing import Any

from benchmarks.servers.net import Net


def serve(run: str, channels: int, port: int) -> None:
    """Serve the net of a run; the body of a request is a picture."""
    flask, waitress = import_module("flask"), import_module("waitress")  # optional, and so mypy does not need them
    net = Net(run, channels)

    def predict() -> Any:
        return flask.jsonify(net.answer(flask.request.get_data()))

    app = flask.Flask(__name__)
    app.add_url_rule("/predict", view_func=predict, methods=["POST"])
    app.add_url_rule("/readyz", view_func=lambda: "ok")
    waitress.serve(app, host="127.0.0.1", port=port)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
