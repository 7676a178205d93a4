"""The socket that a server listens on."""

import socket

from project.deploy.server.running import _listen


def test_answers_are_sent_at_once() -> None:
    """Else each answer after the first of a connection would wait 40 ms for the client's acknowledgement."""
    with _listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
