"""The ASGI middleware under a real uvicorn, with real Starlette and FastAPI applications and real clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import queue
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.errors import ConfigurationError
from the_edge_obs.event import ENDS, validate
from the_edge_obs.handlers import RingBufferHandler
from the_edge_obs.integrations._requests import about, general
from the_edge_obs.integrations.asgi import FlowMiddleware

from .growth import assert_linear

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from starlette.applications import Starlette  # noqa: E402
from starlette.background import BackgroundTask  # noqa: E402
from starlette.exceptions import HTTPException  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse  # noqa: E402
from starlette.routing import Host, Mount, Route, WebSocketRoute  # noqa: E402
from starlette.staticfiles import StaticFiles  # noqa: E402

from .asgi_server import AsgiServer  # noqa: E402

WAIT = 20  # seconds, for what comes at once


@obs.observable("work")
def work(number: int) -> int:
    return number * 2


@obs.observable("later")
async def later(number: int) -> int:
    await asyncio.sleep(0)
    return number


class Ended:
    """The flows whose root has ended, in that order."""

    def __init__(self) -> None:
        self._ids: queue.Queue[str] = queue.Queue()

    def note(self, event: dict[str, Any]) -> None:
        if event["event_type"] in ENDS:
            self._ids.put(event["flow_id"])

    def next(self) -> obs.FlowLog:
        """Wait for the next one."""
        return obs.get_flow_log(self._ids.get(timeout=WAIT))

    @property
    def is_empty(self) -> bool:
        return self._ids.empty()


@pytest.fixture
def ended(ring: RingBufferHandler) -> Ended:
    ended = Ended()
    logging.getLogger("tea.flow").addHandler(obs.CallbackHandler(ended.note))
    return ended


def root_of(log: obs.FlowLog) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entry and the end of a flow's root."""
    entry, *_, end = (event for event in log.events if event["node"] == "flow" and event["event_type"] != "log")
    return entry["data"], end["data"]


def shape(log: obs.FlowLog) -> list[tuple[int, str, str]]:
    return [(depth, span.node, span.status) for depth, span in log.walk()]


# --- one flow per request ---


async def user(request: Any) -> JSONResponse:
    await later(1)
    return JSONResponse({"name": request.path_params["name"]})


def in_a_thread(request: Any) -> JSONResponse:
    return JSONResponse({"got": work(int(request.path_params["number"]))})


def test_a_request_is_a_flow(ended: Ended):
    """Its name is the route; the input is the method, the path and the query; the output is the status."""
    app = FlowMiddleware(Starlette(routes=[Route("/users/{name}", user)]))
    headers = {"authorization": "Bearer a1b2c3d4e5f6a7b8", "cookie": "sid=0f1e2d3c4b5a6978", "x-tenant": "acme-4711"}
    with AsgiServer(app) as server:
        answer = httpx.get(f"{server.url}/users/ada?page=2&tag=a&tag=b&api_key=sk-0f1e2d3c4b5a", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"name": "ada"})
    log = ended.next()
    entry, end = root_of(log)
    assert (log.name, shape(log)) == ("GET /users/{name}", [(0, "flow", "ok"), (1, "later", "ok")])
    query = {"page": "2", "tag": ["a", "b"], "api_key": "[REDACTED]"}
    assert entry["input"] == {"method": "GET", "path": "/users/ada", "query": query}
    assert end == {"output": {"status": 200}}
    assert 0 < log.spans[0].metrics["response_ms"] <= log.metrics["total_duration_ms"]
    for event in log.events:
        validate(event)
    text = json.dumps(log.to_dict())
    assert not [secret for secret in ("a1b2c3d4e5", "0f1e2d3c4b", "acme-4711") if secret in text]


def test_concurrent_requests_give_one_tree_each(ended: Ended):
    """Coroutines and threads of 30 requests at once: each span is below its own request."""
    app = Starlette(routes=[Route("/a/{name}", user), Route("/t/{number:int}", in_a_thread)])
    app.add_middleware(FlowMiddleware)

    async def ask(url: str) -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            await asyncio.gather(*(client.get(path) for n in range(15) for path in (f"/a/{n}", f"/t/{n}")))

    with AsgiServer(app) as server:
        asyncio.run(ask(server.url))
    logs = [ended.next() for _ in range(30)]
    assert len({log.flow_id for log in logs}) == 30
    assert {(log.name, str(shape(log))) for log in logs} == {
        ("GET /a/{name}", "[(0, 'flow', 'ok'), (1, 'later', 'ok')]"),
        ("GET /t/{number:int}", "[(0, 'flow', 'ok'), (1, 'work', 'ok')]"),
    }
    numbers = sorted(
        event["data"]["input"]["number"] for log in logs for event in obs.query(log.flow_id, node="work", event_type="entry")
    )
    assert numbers == list(range(15))


def test_a_request_continues_the_flow_of_its_client(ended: Ended):
    """The ``traceparent`` of the client makes both one tree; one that is not valid is ignored."""
    app = FlowMiddleware(Starlette(routes=[Route("/users/{name}", user)]))
    with AsgiServer(app) as server:
        with obs.flow("client") as run, obs.span("call"):
            httpx.get(f"{server.url}/users/ada", headers=obs.inject({}))
        ended.next()
        log = ended.next()
        httpx.get(f"{server.url}/users/ada", headers={"traceparent": "00-zz-01"})
        assert ended.next().flow_id != run.flow_id
    assert log.flow_id == run.flow_id
    assert [(depth, span.node) for depth, span in log.walk()] == [(0, "flow"), (1, "call"), (2, "flow"), (3, "later")]


@pytest.mark.parametrize("kind", ["inside", "outside"])
def test_other_middleware_keeps_the_flow(ended: Ended, kind: str):
    """Starlette's own base for middleware runs the application in another task."""

    async def dispatch(request: Any, call_next: Callable[[Any], Any]) -> Any:
        return await call_next(request)

    app = Starlette(routes=[Route("/users/{name}", user)])
    for middleware in [(FlowMiddleware, {}), (BaseHTTPMiddleware, {"dispatch": dispatch})][:: 1 if kind == "outside" else -1]:
        app.add_middleware(middleware[0], **middleware[1])
    with AsgiServer(app) as server:
        httpx.get(f"{server.url}/users/ada")
    assert shape(ended.next()) == [(0, "flow", "ok"), (1, "later", "ok")]


# --- names ---


def plain(request: Any) -> PlainTextResponse:
    return PlainTextResponse("ok")


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """An application without a framework."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def starlette_app(folder: Any) -> Any:
    inner = Starlette(routes=[Route("/items/{id:int}", plain), Mount("/deep", routes=[Route("/{x}/y", plain)])])
    return Starlette(
        routes=[
            Route("/", plain),
            Route("/only-post", plain, methods=["POST"]),
            Mount("/api/{version}", app=inner),
            Mount("/static", app=StaticFiles(directory=folder)),
            Mount("/other", app=bare),
            Host("shop.example", app=inner),
        ]
    )


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/", "GET /"),
        ("GET", "/only-post", "GET /only-post"),
        ("GET", "/api/v1/items/42", "GET /api/{version}/items/{id:int}"),
        ("POST", "/api/v1/items/42", "POST /api/{version}/items/{id:int}"),
        ("GET", "/api/v1/deep/a/y", "GET /api/{version}/deep/{x}/y"),
        ("GET", "/api/v1/missing", "GET /api/{version}"),
        ("GET", "/static/no.css", "GET /static"),
        ("GET", "/other/x/y", "GET /other"),
        ("GET", "/nowhere/42", "GET /nowhere/{id}"),
    ],
)
@pytest.mark.parametrize("kind", ["wrapped", "added"])
def test_starlette_gives_the_name(ended: Ended, tmp_path: Any, kind: str, method: str, path: str, name: str):
    """Routes, mounted applications and routes in them; with the middleware around the application, and added to it."""
    app = starlette_app(tmp_path)
    if kind == "wrapped":
        app = FlowMiddleware(app)
    else:
        app.add_middleware(FlowMiddleware)
    asyncio.run(asked(app, method, path))
    assert ended.next().name == name


def test_a_host_gives_the_name(ended: Ended, tmp_path: Any):
    asyncio.run(asked(FlowMiddleware(starlette_app(tmp_path)), "GET", "/items/7", host="shop.example"))
    assert ended.next().name == "GET /items/{id:int}"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/items/42", "GET /items/{item_id}"),
        ("/v1/books/42", "GET /v1/books/{book}"),
        ("/v1/inner/pages/3", "GET /v1/inner/pages/{page}"),
        ("/sub/items/42", "GET /sub/items/{item_id}"),
        ("/v1/nothing", "GET /v1/nothing"),
    ],
)
def test_fastapi_gives_the_name(ended: Ended, path: str, name: str):
    """Routes, included routers and those in them, and a mounted application."""
    fastapi = pytest.importorskip("fastapi")
    app, sub, router, inner = fastapi.FastAPI(), fastapi.FastAPI(), fastapi.APIRouter(), fastapi.APIRouter()
    for target in (app, sub):
        target.get("/items/{item_id}")(lambda item_id: {"id": work(int(item_id))})
    router.get("/books/{book}")(lambda book: {"book": book})
    inner.get("/pages/{page}")(lambda page: {"page": page})
    router.include_router(inner, prefix="/inner")
    app.include_router(router, prefix="/v1")
    app.mount("/sub", sub)
    app.add_middleware(FlowMiddleware)
    asyncio.run(asked(app, "GET", path))
    log = ended.next()
    assert (log.name, root_of(log)[1]) == (name, {"output": {"status": 404 if "nothing" in path else 200}})


def test_a_framework_that_finds_the_route_first_gives_the_name(ended: Ended):
    """Litestar routes before its middleware, and puts the route into the scope."""
    asyncio.run(asked(FlowMiddleware(bare), "GET", "/users/ada", path_template="/users/{name}"))
    assert ended.next().name == "GET /users/{name}"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "GET /"),
        ("/users/42/photos/", "GET /users/{id}/photos/"),
        ("/o/3fa85f64-5717-4562-b3fc-2c963f66afa6", "GET /o/{id}"),
        ("/blob/9f4c2e71b8", "GET /blob/{id}"),
        ("/t/eyJhbGciOiJIUzI1NiJ9.abc", "GET /t/{id}"),
        ("/to/ada@example.org/mail", "GET /to/{id}/mail"),
        ("/" + "x" * 50, "GET /{id}"),
        ("/v2/deadbeef/cafe", "GET /v2/deadbeef/cafe"),
        ("/getting-started/install", "GET /getting-started/install"),
    ],
)
def test_without_a_route_the_path_loses_its_ids(ended: Ended, path: str, name: str):
    asyncio.run(asked(FlowMiddleware(bare), "GET", path))
    assert ended.next().name == name


def test_a_name_is_no_longer_than_a_name_may_be(ended: Ended):
    asyncio.run(asked(FlowMiddleware(bare), "GET", "/a" * 30_000))
    log = ended.next()
    assert (log.name or "").startswith("GET /a/a/a")
    assert len(log.name or "") <= 256


def test_a_program_may_name_its_flows(ended: Ended):
    """By a text, by a function, and as usual where the function returns nothing or fails, which the log says."""

    def fails(scope: Any) -> str:
        raise LookupError("none")

    names = [("api", "api"), (lambda scope: "x" + scope["path"], "x/a"), (lambda scope: None, "GET /a"), (fails, "GET /a")]
    for name, expected in names:
        asyncio.run(asked(FlowMiddleware(bare, name=name), "GET", "/a"))
        log = ended.next()
        assert (log.name, log.status) == (expected, "ok")
    [warning] = obs.query(log.flow_id, level="warn")
    assert warning["message"] == "the function that names flows raised LookupError"


# --- streams ---


@obs.observable("sse")
async def events(count: int, waits: asyncio.Event | None = None) -> AsyncIterator[str]:
    for number in range(count):
        yield f"data: {await later(number)}\n\n"
    if waits is not None:
        await waits.wait()


def stream(request: Any) -> StreamingResponse:
    return StreamingResponse(events(3), media_type="text/event-stream")


def test_a_stream_belongs_to_its_request(ended: Ended):
    """The flow lasts until the last piece has been sent; what makes the pieces runs in it, in a thread too."""

    def slowly(request: Any) -> StreamingResponse:
        return StreamingResponse(str(work(number)) for number in range(2))

    app = FlowMiddleware(Starlette(routes=[Route("/sse", stream), Route("/sync", slowly)]))
    with AsgiServer(app) as server:
        assert httpx.get(f"{server.url}/sse").text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        log = ended.next()
        assert httpx.get(f"{server.url}/sync").text == "02"
    assert shape(log) == [(0, "flow", "ok"), (1, "sse", "ok"), *[(2, "later", "ok")] * 3]
    assert shape(ended.next()) == [(0, "flow", "ok"), *[(1, "work", "ok")] * 2]


def test_a_client_that_leaves_a_stream_cancels_the_flow(ended: Ended):
    """uvicorn says so by a message; Starlette cancels the stream and returns as if nothing had happened."""

    async def endless(request: Any) -> StreamingResponse:
        return StreamingResponse(events(2, asyncio.Event()), media_type="text/event-stream")

    with AsgiServer(FlowMiddleware(Starlette(routes=[Route("/sse", endless)]))) as server:
        with httpx.stream("GET", f"{server.url}/sse", timeout=WAIT) as answer:
            assert next(answer.iter_text()).startswith("data: 0")
        log = ended.next()
    assert (log.status, log.metrics["error_count"]) == ("cancelled", 0)
    assert shape(log)[:2] == [(0, "flow", "cancelled"), (1, "sse", "cancelled")]
    message = "the client disconnected before the response was complete"
    error = root_of(log)[1]["error"]
    assert (error["type"], error["message"]) == ("ClientDisconnectError", message)


def test_a_client_that_leaves_its_upload_cancels_the_flow(ended: Ended):
    """Starlette raises ClientDisconnect from the body, which the application reads and the middleware does not."""
    arrived = threading.Event()

    async def upload(request: Any) -> PlainTextResponse:
        async for _ in request.stream():
            arrived.set()
        return PlainTextResponse("ok")

    with AsgiServer(FlowMiddleware(Starlette(routes=[Route("/up", upload, methods=["POST"])]))) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsecret-body")
            assert arrived.wait(WAIT)
        log = ended.next()
    assert log.status == "cancelled"
    assert "secret-body" not in json.dumps(log.to_dict())


def test_a_send_that_fails_because_the_client_has_left_cancels_the_flow(ended: Ended):
    """Servers of ASGI 2.4 raise OSError from ``send``; Starlette makes something else of it."""

    async def ask() -> None:
        app = FlowMiddleware(Starlette(routes=[Route("/sse", stream)]))
        count = 0

        async def send(message: Any) -> None:
            nonlocal count
            count += 1
            if count == 3:
                raise ConnectionResetError("gone")

        with contextlib.suppress(Exception):  # ClientDisconnect, or a group of what was raised, by version
            await app(scope_of("GET", "/sse", asgi={"version": "3.0", "spec_version": "2.4"}), asyncio.Event().wait, send)

    asyncio.run(ask())
    log = ended.next()
    assert (log.status, root_of(log)[1]["error"]["type"]) == ("cancelled", "ClientDisconnectError")


@pytest.mark.parametrize("is_chained", [False, True])
def test_an_application_may_pass_that_failure_on(ended: Ended, is_chained: bool):
    """The OSError itself, or an own exception made from it; any other exception is a failure of the application."""

    async def sends(scope: Any, receive: Any, send: Any) -> None:
        try:
            await bare(scope, receive, send)
        except OSError as error:
            if is_chained:
                raise RuntimeError("cannot send") from error
            raise

    async def gone(message: Any) -> None:
        raise BrokenPipeError

    with pytest.raises(RuntimeError if is_chained else BrokenPipeError):
        asyncio.run(FlowMiddleware(sends)(scope_of("GET", "/"), asyncio.Event().wait, gone))
    assert ended.next().status == "cancelled"


def test_a_client_that_leaves_with_its_response_cancels_nothing(ended: Ended):
    """Servers say ``http.disconnect`` after every response, to who still listens."""

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        await bare(scope, receive, send)
        while (await receive())["type"] != "http.disconnect":
            pass

    asyncio.run(asked(FlowMiddleware(listens), "GET", "/"))
    assert ended.next().status == "ok"


# --- failures ---


def test_an_exception_fails_the_flow_and_is_raised_unchanged(ended: Ended):
    mine = ValueError("no such colour")

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise mine

    with pytest.raises(ValueError, match="no such colour") as raised:
        asyncio.run(asked(FlowMiddleware(fails), "GET", "/"))
    log = ended.next()
    assert raised.value is mine
    assert (log.status, root_of(log)[1]["error"]["type"]) == ("error", "ValueError")
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("path", "status", "outcome"),
    [("/boom", 500, "ZeroDivisionError"), ("/down", 503, "http_error"), ("/missing", 404, None), ("/denied", 403, None)],
)
def test_statuses(ended: Ended, path: str, status: int, outcome: str | None):
    """A status of 500 or more is the server's failure, one below is the client's; an exception says more than its status."""

    def fails(request: Any) -> None:
        if path == "/boom":
            work(1 // 0)
        raise HTTPException(status)

    app = Starlette(routes=[Route("/boom", fails), Route("/down", fails), Route("/denied", fails)])
    app.add_middleware(FlowMiddleware)
    with AsgiServer(app) as server:
        assert httpx.get(server.url + path).status_code == status
    log = ended.next()
    _, end = root_of(log)
    if outcome is None:
        assert (log.status, end) == ("ok", {"output": {"status": status}})
    else:
        assert (log.status, end["error"]["type"], log.metrics["error_count"]) == ("error", outcome, 1)
    if outcome == "http_error":
        assert (end["error"]["message"], end["output"]["status"]) == ("HTTP 503", 503)


def test_an_application_that_does_not_answer_fails(ended: Ended):
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    asyncio.run(asked(FlowMiddleware(silent), "GET", "/"))
    assert root_of(ended.next())[1]["error"] == {"type": "http_error", "message": "no response"}


def test_background_tasks_belong_to_the_request(ended: Ended):
    """They run after the response, in its flow; one that fails fails the flow, and the client has its answer."""
    released = threading.Event()

    def task(fails: bool) -> None:
        assert released.wait(WAIT)
        work(3)
        if fails:
            raise RuntimeError("the task failed")

    def answer(request: Any) -> PlainTextResponse:
        return PlainTextResponse("done", background=BackgroundTask(task, request.path_params["way"] == "bad"))

    with AsgiServer(FlowMiddleware(Starlette(routes=[Route("/{way}", answer)]))) as server:
        for way, status in (("good", "ok"), ("bad", "error")):
            released.clear()
            assert httpx.get(f"{server.url}/{way}").text == "done"
            assert ended.is_empty
            released.set()
            log = ended.next()
            assert shape(log) == [(0, "flow", status), (1, "work", "ok")]


# --- websockets and lifespan ---


async def chat(websocket: Any) -> None:
    await websocket.accept()
    while True:
        text = await websocket.receive_text()
        if text == "bye":
            await websocket.close(4001)
            return
        if text == "fail":
            raise ValueError("no")
        await websocket.send_text(str(work(int(text))))


async def closed(websocket: Any) -> None:
    await websocket.close()


@contextlib.contextmanager
def connected(server: AsgiServer, path: str) -> Iterator[Any]:
    client = pytest.importorskip("websockets.sync.client")
    with client.connect(f"ws://127.0.0.1:{server.port}{path}") as connection:
        yield connection


def websocket_app() -> Any:
    return FlowMiddleware(Starlette(routes=[WebSocketRoute("/chat/{room}", chat), WebSocketRoute("/closed", closed)]))


def test_a_websocket_is_a_flow(ended: Ended):
    """It lasts as long as the connection, and knows how it was closed."""
    with AsgiServer(websocket_app()) as server, connected(server, "/chat/7?token=sk-0f1e2d3c4b5a") as connection:
        connection.send("4")
        assert connection.recv() == "8"
        connection.send("bye")
        with pytest.raises(Exception, match="4001"):
            connection.recv()
    log = ended.next()
    assert (log.name, shape(log)) == ("WS /chat/{room}", [(0, "flow", "ok"), (1, "work", "ok")])
    entry, end = root_of(log)
    assert (entry["input"], end) == ({"path": "/chat/7", "query": {"token": "[REDACTED]"}}, {"output": {"code": 4001}})


@pytest.mark.parametrize(
    ("text", "status", "kind"), [("fail", "error", "ValueError"), (None, "cancelled", "ClientDisconnectError")]
)
def test_websockets_that_end_otherwise(ended: Ended, text: str | None, status: str, kind: str):
    """An exception, and a client that leaves an application that does not expect it."""
    with AsgiServer(websocket_app()) as server, connected(server, "/chat/7") as connection:
        if text is None:
            connection.close()
        else:
            connection.send(text)
        log = ended.next()
    assert (log.status, root_of(log)[1]["error"]["type"]) == (status, kind)


@pytest.mark.parametrize(("code", "status"), [(1000, "ok"), (1001, "ok"), (1005, "ok"), (4000, "ok"), (1006, "cancelled")])
def test_how_a_websocket_was_closed_decides(ended: Ended, code: int, status: str):
    """A close that the application expects is a good end; 1006 stands for a connection that was lost."""
    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": code}])

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        pass

    scope = {**scope_of("GET", "/"), "type": "websocket"}
    del scope["method"]
    asyncio.run(FlowMiddleware(patient)(scope, receive, send))
    log = ended.next()
    assert (log.status, log.name) == (status, "WS /")


def test_a_websocket_that_is_refused(ended: Ended):
    with AsgiServer(websocket_app()) as server, pytest.raises(Exception, match="403"), connected(server, "/closed"):
        pass
    assert root_of(ended.next())[1] == {"output": {"status": 403}}


def test_lifespan_passes_through(ended: Ended):
    """Starting and stopping the application opens no flow."""
    seen = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        seen.append(("start", obs.current()))
        yield
        seen.append(("stop", obs.current()))

    with AsgiServer(FlowMiddleware(Starlette(lifespan=lifespan)), lifespan="on"):
        pass
    assert seen == [("start", None), ("stop", None)]
    assert ended.is_empty


# --- what is observed ---


def test_a_request_is_one_flow_however_many_middlewares_there_are(ended: Ended):
    """Mounted applications with middleware of their own, below one that has it, and below one that has not."""
    inner = Starlette(routes=[Route("/items/{id}", plain)])
    inner.add_middleware(FlowMiddleware)
    wrapped = FlowMiddleware(Starlette(routes=[Route("/items/{id}", plain)]))
    outer = [Starlette(routes=[Route("/items/7", plain), Mount("/api", app=app)]) for app in (inner, inner, wrapped)]
    for app in (FlowMiddleware(outer[0]), outer[1], outer[2]):
        asyncio.run(asked(app, "GET", "/api/items/7"))
        log = ended.next()
        assert shape(log) == [(0, "flow", "ok")]
        assert root_of(log)[0]["input"]["path"] == "/api/items/7"
        assert log.name in ("GET /api/items/{id}", "GET /items/{id}")
        assert ended.is_empty


def test_paths_can_be_excluded(ended: Ended):
    app = FlowMiddleware(bare, exclude=["/health", "/static/*"])
    for path in ("/health", "/static/a/b.css", "/healthy"):
        asyncio.run(asked(app, "GET", path))
    assert ended.next().name == "GET /healthy"
    assert ended.is_empty


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["a=1&", "&", "%", "/a1", "@", "a-", "%41=%42&"])
def test_no_address_takes_long(piece: str):
    """Clients choose paths and queries. Names and inputs take time that grows with them at most."""
    assert_linear(lambda size: piece * size, lambda text: (general(text), about("GET", text, text, {})), 8_000)


def test_long_queries_are_cut_between_parameters(ended: Ended):
    """The log says how much is left out, and shows no part of a value."""
    query = b"page=2&filler=" + b"x" * 8_100 + b"&auth=sk-" + b"0f1e2d3c" * 20
    asyncio.run(asked(FlowMiddleware(bare), "GET", "/", query_string=query))
    logged = root_of(ended.next())[0]["input"]["query"]
    assert (logged["page"], logged["…"], list(logged)) == ("2", len(b"&auth=sk-") + 160, ["page", "filler", "…"])


def test_headers_are_logged_on_request(ended: Ended):
    app = FlowMiddleware(bare, headers=["User-Agent", "x-api-key"])
    headers = [(b"user-agent", b"curl/8"), (b"x-api-key", b"open-sesame-4711"), (b"accept", b"*/*")]
    asyncio.run(asked(app, "GET", "/", headers=headers))
    assert root_of(ended.next())[0]["input"]["headers"] == {"user-agent": "curl/8", "x-api-key": "[REDACTED]"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"headers": ["Cookie"]}, "the header 'cookie' cannot be logged"),
        ({"headers": ["accept", "AUTHORIZATION"]}, "the header 'authorization' cannot be logged"),
        ({"headers": "accept"}, "headers is 'accept'; it must be a list"),
        ({"exclude": "/health"}, "exclude is '/health'; it must be a list"),
        ({"exclude": [1]}, r"exclude is \[1\]; it must be a list"),
        ({"name": 7}, "name is 7; it must be a text"),
        ({"name": ""}, "name is ''; it must be a text"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message):
        FlowMiddleware(bare, **options)


def test_while_observability_is_off_the_application_gets_what_the_server_gave():
    """The same objects: nothing is wrapped, nothing is read."""
    seen = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    given = (scope_of("GET", "/"), object(), object())
    asyncio.run(FlowMiddleware(app)(*given))
    assert all(one is other for one, other in zip(seen, given, strict=True))


def test_where_the_root_is_filtered_errors_are_of_one_flow(ring: RingBufferHandler):
    """A dictConfig may log errors alone."""
    logging.getLogger("tea").setLevel(logging.ERROR)

    @obs.observable("fails")
    def fails() -> None:
        raise ValueError("no")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with contextlib.suppress(ValueError):
            fails()
        fails()

    with pytest.raises(ValueError, match="no"):
        asyncio.run(asked(FlowMiddleware(app), "GET", "/"))
    [flow_id] = ring.flow_ids()
    assert [event["node"] for event in ring.events(flow_id)] == ["fails", "fails", "flow"]


# --- an application, asked as a server does ---


def scope_of(method: str, path: str, host: str = "localhost", **more: Any) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "root_path": "", "scheme": "http", "query_string": b"", "client": ("127.0.0.1", 5),
        "server": (host, 80), **more, "headers": [(b"host", host.encode()), *more.get("headers", [])],
    }  # fmt: skip


async def asked(app: Any, method: str, path: str, **more: Any) -> None:
    """Ask an application, and take its answer."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    await app(scope_of(method, path, **more), receive, send)
