"""A real uvicorn on this machine, for tests of what serves web applications. Only tests that have uvicorn import this."""

from __future__ import annotations

import threading
from typing import Any

import uvicorn


class _Told(uvicorn.Server):
    """A server that says when it accepts connections, or that it never will."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_settled = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.is_settled.set()


class AsgiServer:
    """A server on a free port, in a thread of its own. It prints nothing.

    Args:
        app: The application.
        options: Those of ``uvicorn.Config``.

    Attributes:
        port: Its port on 127.0.0.1.
        url: Its address, without a slash at the end.
    """

    def __init__(self, app: Any, **options: Any) -> None:
        config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5, **options)
        self._server = _Told(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._server.is_settled.wait(30)
        assert self._server.started
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        try:
            self._server.run()
        finally:
            self._server.is_settled.set()

    def __enter__(self) -> AsgiServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
