"""The Django middleware in real servers: a project of one file, under WSGI and ASGI, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import the_edge_obs as obs
from the_edge_obs.event import validate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("django") is None, reason="needs django: pip install django"),
]

PROJECT = '''
import asyncio, contextlib, http.client, io, json, logging, os, socket, sys, threading
import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
import the_edge_obs as obs
from the_edge_obs.integrations.django import FlowMiddleware
import django
from django.conf import settings

KIND, HERE = sys.argv[1], sys.modules["__main__"]  # wsgi, asgi, or mixed: asgi below a middleware that knows only wsgi
LOGS = os.environ["LOGS"] + "/flow-{flow_id}.jsonl"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "flows": {"class": "the_edge_obs.FlowFileHandler", "path": LOGS},
        "null": {"class": "logging.NullHandler"},
    },
    "root": {"handlers": ["null"]},
    "loggers": {"django": {"handlers": ["null"], "propagate": False}, "tea": {"level": "INFO", "handlers": ["flows"]}},
}

class Flows(FlowMiddleware):
    exclude = ["/health/"]
    headers = ["user-agent"]

class Above:
    """Of the old kind: it knows one request at a time."""
    def __init__(self, get_response): self.get_response = get_response
    def __call__(self, request):
        response = self.get_response(request)
        response["X-File"] = str(getattr(response, "file_to_stream", None) is not None)
        return response

class Below:
    def __init__(self, get_response): self.get_response = get_response
    def __call__(self, request):
        if request.path == "/inner/": raise RuntimeError("a middleware failed")
        return self.get_response(request)
    def process_exception(self, request, exception):
        from django.http import HttpResponse
        return HttpResponse("handled") if request.path == "/handled/" else None

@obs.observable
def work(n): return n * 2

@obs.observable
async def later(n): return n

def run(more_middleware=True, **more):
    middleware = ["__main__.Flows", *(["__main__.Below"] if more_middleware else [])]
    if KIND != "asgi": middleware.insert(0, "__main__.Above")
    settings.configure(**{
        "SECRET_KEY": "x", "ALLOWED_HOSTS": ["*"], "ROOT_URLCONF": "__main__", "MIDDLEWARE": middleware, "LOGGING": LOGGING,
        **more,
    })
    django.setup()

def article(request, year):
    from django.http import HttpResponse
    return HttpResponse(str(work(year)))

async def async_article(request, year):
    from django.http import HttpResponse
    return HttpResponse(str(await later(year)))

def boom(request): raise ValueError("no such colour: " + request.GET.get("colour", ""))
def handled(request): raise ValueError("handled below")
def gone(request):
    from django.http import Http404
    raise Http404("gone")
def down(request):
    from django.http import HttpResponse
    return HttpResponse("down", status=503)
def pieces():
    for n in range(3): yield str(work(n))
async def async_pieces():
    for n in range(3): yield str(await later(n))
def broken():
    yield "a"
    raise LookupError("the stream broke")
async def async_broken():
    yield "a"
    raise LookupError("the stream broke")
def endless():
    with obs.span("endless"):
        while True: yield "x" * 65536
async def async_endless():
    async with obs.span("endless"):
        yield "x" * 65536
        await asyncio.Event().wait()
def streaming(name):
    def view(request):
        from django.http import StreamingHttpResponse
        return StreamingHttpResponse(getattr(HERE, name if KIND == "wsgi" else "async_" + name)())
    return view
def file(request):
    from django.http import FileResponse
    return FileResponse(io.BytesIO(b"of a file"))

class Urls:
    """Made when Django asks for it: it needs the settings."""
    def __iter__(self):
        from django.urls import include, path, re_path
        inner = [path("<slug:name>/", article_of)]
        return iter([
            path("articles/<int:year>/", article), path("async/<int:year>/", async_article), path("boom/", boom),
            path("gone/", gone), path("handled/", handled), path("down/", down), path("inner/", down),
            path("health/", down), path("file/", file),
            re_path("^old/(?P<year>[0-9]{4})$", article), path("shop/", include(inner)),
            *[path(name + "/", streaming(name)) for name in ("pieces", "broken", "endless")],
        ])
    def __reversed__(self): return reversed(list(self))
def article_of(request, name):
    from django.http import HttpResponse
    return HttpResponse(name)
urlpatterns = Urls()

@contextlib.contextmanager
def serving():
    if KIND == "wsgi":
        from wsgiref import simple_server
        from socketserver import ThreadingMixIn
        from django.core.wsgi import get_wsgi_application
        class Quiet(simple_server.WSGIRequestHandler):
            def log_message(self, *args): pass
            def get_stderr(self): return open(os.devnull, "w")
        class Server(ThreadingMixIn, simple_server.WSGIServer): block_on_close, daemon_threads = True, False
        server = simple_server.make_server("127.0.0.1", 0, get_wsgi_application(), Server, Quiet)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown(); server.server_close(); thread.join()
    else:
        sys.path.insert(0, os.environ["TESTS"])
        from asgi_server import AsgiServer
        from django.core.asgi import get_asgi_application
        with AsgiServer(get_asgi_application(), lifespan="off") as server: yield server.port

def ask(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    try: body = response.read().decode()
    except (http.client.HTTPException, OSError): body = "broken off"
    connection.close()
    return response.status, body, response.headers

def leave(port, path):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET %s HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" % path.encode())
        assert connection.recv(1000)
'''

ALL = """
run()
answers = {}
with serving() as port:
    for path in ("/async/7/", "/boom/?colour=red", "/missing/42/", "/gone/", "/handled/", "/down/", "/inner/", "/health/",
                 "/file/", "/old/1999", "/shop/tea/", "/pieces/", "/broken/"):
        answers[path] = ask(port, path)[:2]
    answers["file"] = ask(port, "/file/")[2].get("X-File")
    headers = {"Authorization": "Bearer a1b2c3d4e5f6a7b8", "Cookie": "sid=0f1e2d3c4b5a6978", "User_Agent": "curl/8",
               "X_Tenant": "acme-4711"}
    answers["article"] = ask(port, "/articles/2024/?page=2&api_key=sk-0f1e2d3c4b5a", **headers)[:2]
    answers["head"] = ask(port, "/pieces/?head", "HEAD")[:2]
    with obs.flow("client") as client:
        answers["traced"] = ask(port, "/shop/traced/", **obs.inject({}))[:2]
    if KIND == "wsgi" or django.VERSION >= (5,):
        leave(port, "/endless/")
print(json.dumps({"answers": answers, "client": client.flow_id, "django": django.VERSION[:2]}))
"""


def served(folder: Path, kind: str, code: str) -> dict[str, Any]:
    """Run a program with the project, and return what it prints last."""
    program, logs = folder / "program.py", folder / "logs"
    program.write_text(PROJECT + code, encoding="utf-8")
    logs.mkdir()
    environment = {**os.environ, "LOGS": str(logs), "TESTS": str(Path(__file__).parent)}
    command = [sys.executable, "-W", "error::RuntimeWarning", str(program), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**printed, "stderr": done.stderr, "logs": logs}


@pytest.fixture(scope="module", params=["wsgi", "asgi", "mixed"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a server answered, and the flows that it logged, by path and query."""
    if request.param != "wsgi" and importlib.util.find_spec("uvicorn") is None:
        pytest.skip("needs uvicorn: pip install uvicorn")
    seen = served(tmp_path_factory.mktemp(request.param), request.param, ALL)
    seen["flows"] = {}
    for path in seen["logs"].glob("*.jsonl"):
        log = obs.get_flow_log(path)
        given = next(event["data"].get("input") for event in log.events if event["parent_id"] is None or "input" in event["data"])
        if given:
            seen["flows"].setdefault(given["path"] + ("?head" if given["method"] == "HEAD" else ""), log)
    return {**seen, "kind": request.param}


def ends(log: obs.FlowLog) -> dict[str, Any]:
    """Return the data of the event that ends the flow of a request."""
    return next(event["data"] for event in log.events if event["node"] == "flow" and event["event_type"] != "entry")


def shape(log: obs.FlowLog) -> list[tuple[int, str, str]]:
    return [(depth, span.node, span.status) for depth, span in log.walk()]


def test_a_request_is_a_flow(site: dict[str, Any]) -> None:
    """Named by the resolver's route, with method, path, query and status, and without headers that nobody asked for."""
    log = site["flows"]["/articles/2024/"]
    assert site["answers"]["article"] == [200, "4048"]
    assert (log.name, shape(log)) == ("GET /articles/<int:year>/", [(0, "flow", "ok"), (1, "work", "ok")])
    query = {"page": "2", "api_key": "[REDACTED]"}
    assert log.events[0]["data"]["input"] == {
        "method": "GET", "path": "/articles/2024/", "query": query, "headers": {"user-agent": "curl/8"},
    }  # fmt: skip
    assert ends(log) == {"output": {"status": 200}}
    text = "".join(path.read_text(encoding="utf-8") for path in site["logs"].glob("*"))
    assert not [secret for secret in ("a1b2c3d4e5", "0f1e2d3c4b", "acme-4711") if secret in text]
    for event in log.events:
        validate(event)


@pytest.mark.parametrize(
    ("path", "name", "nodes"),
    [
        ("/async/7/", "GET /async/<int:year>/", ["flow", "later"]),
        ("/old/1999", "GET /^old/(?P<year>[0-9]{4})$", ["flow", "work"]),
        ("/shop/tea/", "GET /shop/<slug:name>/", ["flow"]),
        ("/missing/42/", "GET /missing/{id}/", ["flow"]),
        ("/pieces/", "GET /pieces/", ["flow", *["work"] * 3]),
    ],
)
def test_routes_give_the_names(site: dict[str, Any], path: str, name: str, nodes: list[str]) -> None:
    """Views of both kinds, regular expressions, included patterns, no route; a stream belongs to its request to its end."""
    log = site["flows"][path]
    if path == "/pieces/" and site["kind"] != "wsgi":
        nodes = [node.replace("work", "later") for node in nodes]
    assert (log.name, [span.node for _, span in log.walk()], log.status) == (name, nodes, "ok")


def test_a_stream_that_is_not_to_be_sent_is_not_cancelled(site: dict[str, Any]) -> None:
    """The answer to HEAD has no body. Some servers make it all the same, or part of it."""
    log = site["flows"]["/pieces/?head"]
    assert (log.name, log.status, log.metrics["error_count"]) == ("HEAD /pieces/", "ok", 0)


@pytest.mark.parametrize(
    ("path", "status", "kind", "message"),
    [
        ("/boom/", 500, "ValueError", "no such colour: red"),
        ("/down/", 503, "http_error", "HTTP 503"),
        ("/inner/", 500, "http_error", "HTTP 500"),
        ("/broken/", 200, "LookupError", "the stream broke"),
        ("/gone/", 404, None, None),
        ("/missing/42/", 404, None, None),
        ("/handled/", 200, None, None),
    ],
)
def test_failures(site: dict[str, Any], path: str, status: int, kind: str | None, message: str | None) -> None:
    """A view that raises, also in a stream, fails its flow; so does a status of 500. A mistake of the client does not."""
    log = site["flows"][path]
    answer = next(answer for asked, answer in site["answers"].items() if asked.startswith(path))
    assert answer[0] == status
    if kind is None:
        assert (log.status, ends(log)) == ("ok", {"output": {"status": status}})
    else:
        assert (log.status, ends(log)["error"]["type"], ends(log)["error"]["message"]) == ("error", kind, message)


def test_the_server_still_sends_files_itself(site: dict[str, Any]) -> None:
    """A wrapped stream would take that away from it."""
    assert site["answers"]["/file/"] == [200, "of a file"]
    assert site["answers"]["file"] == (None if site["kind"] == "asgi" else "True")  # None: there nobody looks
    assert shape(site["flows"]["/file/"]) == [(0, "flow", "ok")]


def test_a_client_that_leaves_a_stream_cancels_the_flow(site: dict[str, Any]) -> None:
    """The server closes the response, or cancels the task; spans in the stream end as cancelled too."""
    if site["kind"] != "wsgi" and site["django"] < [5]:
        pytest.skip("Django notices it under ASGI since version 5")
    log = site["flows"]["/endless/"]
    assert shape(log) == [(0, "flow", "cancelled"), (1, "endless", "cancelled")]


def test_a_request_continues_the_flow_of_its_client(site: dict[str, Any]) -> None:
    """By its ``traceparent``; the client is the same program here, and its flow has one file."""
    log = obs.get_flow_log(site["logs"] / f"flow-{site['client']}.jsonl")
    assert [(depth, span.node, span.name) for depth, span in log.walk()] == [
        (0, "flow", "client"), (1, "flow", "GET /shop/<slug:name>/"),
    ]  # fmt: skip


def test_excluded_paths_are_no_flows(site: dict[str, Any]) -> None:
    assert site["answers"]["/health/"] == [503, "down"]
    assert "/health/" not in site["flows"]
    assert len(list(site["logs"].glob("*"))) == 16 + (site["kind"] == "wsgi" or site["django"] >= [5])


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_a_block_and_django_s_own_logging_do_not_disturb_each_other(tmp_path: Path, kind: str) -> None:
    """``obs.configure`` before Django's dictConfig, which closes every handler: runs stay in the ring and in their files."""
    if kind == "asgi":
        pytest.importorskip("uvicorn")
    code = """
obs.configure({"handlers": [{"type": "file", "path": LOGS}]})
run(LOGGING={"version": 1, "disable_existing_loggers": False, "handlers": {"null": {"class": "logging.NullHandler"}},
             "loggers": {"django": {"handlers": ["null"]}}})
with serving() as port:
    with obs.flow("client") as client: ask(port, "/articles/2024/", **obs.inject({}))
    print(json.dumps({"trees": [[span.node for _, span in obs.get_flow_log(source).walk()]
                                for source in (client.flow_id, LOGS.replace("{flow_id}", client.flow_id))]}))
"""
    assert served(tmp_path, kind, code)["trees"] == [["flow", "flow", "work"]] * 2


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_while_observability_is_off_django_gets_what_the_view_returned(tmp_path: Path, kind: str) -> None:
    """Nothing is logged, streams are not wrapped, and the next middleware is called directly."""
    if kind == "asgi":
        pytest.importorskip("uvicorn")
    code = """
run(LOGGING_CONFIG=None)
class Request: path = "/"
request, response = Request(), object()
assert Flows(lambda request: response)(request) is response
with serving() as port: answers = [ask(port, "/pieces/")[:2], ask(port, "/boom/")[0]]
print(json.dumps({"answers": answers, "files": os.listdir(os.environ["LOGS"])}))
"""
    seen = served(tmp_path, kind, code)
    assert (seen["answers"], seen["files"]) == ([[200, "024" if kind == "wsgi" else "012"], 500], [])


def test_attributes_are_checked(tmp_path: Path) -> None:
    """When Django makes the middleware, which is when the server starts."""
    code = """
class Flows(FlowMiddleware): headers = ["Cookie"]
run()
from django.core.wsgi import get_wsgi_application
try: get_wsgi_application()
except obs.ConfigurationError as error: print(json.dumps({"said": str(error)}))
"""
    assert served(tmp_path, "wsgi", code)["said"].startswith("the header 'cookie' cannot be logged")
