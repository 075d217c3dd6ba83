"""A real HTTP server on this machine, for tests of what asks one."""

from __future__ import annotations

import sys
import threading
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
