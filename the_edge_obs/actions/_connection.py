"""Connections with one deadline for everything: the name lookup, connecting, TLS, and every byte that is read.

The timeouts of ``socket`` and ``urllib`` apply to each wait separately: a server that sends a byte now and then, or one
``100 Continue`` after the other, never times out. Here each wait gets the rest of the deadline.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
import urllib.request
from functools import cache, partial
from typing import Any, Final

# One TLS record: how much is sent between two checks of the deadline (RFC 8446, section 5.1).
_PIECE: Final = 16_384
# The longest timeout of a socket, in seconds: it is stored as an int of milliseconds.
_LONGEST_WAIT: Final = 2_000_000.0


class Deadline:
    """The time at which something must be done.

    Args:
        seconds: The time limit, from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.renew()

    def renew(self) -> None:
        """Start the time limit again."""
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Return the seconds that are left, as a timeout for a socket.

        Raises:
            TimeoutError: No time is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not done within {self.seconds} s")
        return min(left, _LONGEST_WAIT)


def open_request(request: urllib.request.Request, deadline: Deadline) -> http.client.HTTPResponse:
    """Send a request, through the environment's proxy where there is one, and return the answer with its body unread.

    Redirects and error statuses are returned like any other answer.

    Raises:
        OSError, http.client.HTTPException: No answer came within the deadline, or it violates the protocol.
    """
    request.deadline = deadline  # type: ignore[attr-defined]  # the only way from here to the handlers
    answer: http.client.HTTPResponse = _opener().open(request)
    return answer


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, req: Any) -> http.client.HTTPResponse:
        return self.do_open(partial(_Connection, deadline=req.deadline), req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: Any) -> http.client.HTTPResponse:
        return self.do_open(partial(_SecureConnection, deadline=req.deadline), req)


@cache
def _opener() -> urllib.request.OpenerDirector:
    # urllib's default opener would also open file:, ftp: and data: URLs, and follow redirects by its own rules.
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _HTTPHandler(), _HTTPSHandler()):
        opener.add_handler(handler)
    return opener


class _Timed(http.client.HTTPConnection):
    """Base of both kinds of connection: each wait gets the rest of the deadline."""

    def __init__(self, host: str, *, deadline: Deadline, **options: Any) -> None:
        super().__init__(host, **options)
        self._deadline = deadline
        self._create_connection = self._dial
        self.response_class = partial(_Response, deadline)  # type: ignore[assignment]

    def _dial(self, address: tuple[str, int], *_: Any) -> socket.socket:
        addresses = _addresses(*address, self._deadline)
        for index, (family, kind, protocol, _, target) in enumerate(addresses):
            connection = socket.socket(family, kind, protocol)
            try:
                # Leaves time for the next address when this one drops every packet.
                connection.settimeout(self._deadline.left() / (len(addresses) - index))
                connection.connect(target)
                connection.settimeout(self._deadline.left())
            except OSError as error:
                connection.close()
                if index == len(addresses) - 1:
                    raise
                del error
            else:
                return connection
        raise OSError(f"{address[0]} has no address")

    def send(self, data: Any) -> None:
        """Send the bytes within the deadline, also to a server that reads slowly."""
        if not isinstance(data, bytes):
            data = bytes(data)
        for start in range(0, len(data), _PIECE):
            if self.sock is not None:
                self.sock.settimeout(self._deadline.left())
            super().send(data[start : start + _PIECE])


class _Connection(_Timed):
    pass


class _SecureConnection(_Timed, http.client.HTTPSConnection):
    pass


def _addresses(host: str, port: int, deadline: Deadline) -> list[Any]:
    """Look up a name in its own thread: this call cannot set the timeouts of the resolver."""
    results: list[Any] = []

    def look_up() -> None:
        try:
            results.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:  # a ValueError for a name that IDNA cannot encode
            results.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=look_up, name="dns", daemon=True)
    thread.start()
    thread.join(deadline.left())
    if not results:
        raise TimeoutError(f"the lookup of {host} did not end")
    if isinstance(results[0], OSError):
        raise results[0]
    addresses: list[Any] = results[0]
    return addresses


class _Response(http.client.HTTPResponse):
    """An answer that is read from a socket within the deadline."""

    def __init__(self, deadline: Deadline, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Incoming(self.fp.detach(), sock, deadline))


class _Incoming(io.RawIOBase):
    """The incoming bytes of a socket: each read waits for the rest of the deadline, however many reads there are."""

    def __init__(self, raw: Any, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._raw, self._sock, self._deadline = raw, sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        count: int = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
