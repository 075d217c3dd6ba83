"""A real HTTP server on this machine, for tests of what asks one."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet of a client that has left: it may be another test's stderr by then."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class LocalServer:
    """A server on a free port, which answers in threads of its own until it is closed, and prints nothing.

    Args:
        handler: What answers a request.

    Attributes:
        url: Its address, without a slash at the end.
        release: Set when it closes: what an answer may wait for that is to take longer than its client waits.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        class Quiet(handler):  # type: ignore[misc, valid-type]
            def log_message(self, *args: Any) -> None:
                pass

        self.release = threading.Event()
        self._server = _Server(("127.0.0.1", 0), Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop it, and wait until it has."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class RawServer:
    """A server that sends what no HTTP server would: each connection is answered by a function with the bytes at hand.

    Args:
        answer: Called with a function that sends bytes, and an event that is set when the server closes.
        reads: Whether the request is read first.
        seen: Where each request is put, up to its first blank line or further.

    Attributes:
        url: Its address.
        release: Set when it closes.
    """

    def __init__(
        self,
        answer: Callable[[Callable[[bytes], None], threading.Event], object],
        *,
        reads: bool = True,
        seen: list[bytes] | None = None,
    ) -> None:
        self._answer, self._reads, self._seen = answer, reads, [] if seen is None else seen
        self.release = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client leaves
            if self._reads:
                received = b""
                while b"\r\n\r\n" not in received and (piece := connection.recv(65536)):
                    received += piece
                self._seen.append(received)
            self._answer(connection.sendall, self.release)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
