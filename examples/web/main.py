"""A web application whose requests are runs, with work in another process: ``python examples/web/main.py``.

Needs starlette and uvicorn; without them it only says so.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import the_edge_obs as obs
from the_edge_obs.integrations.asgi import FlowMiddleware

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    print(f"{error.name} is not installed: python -m pip install starlette uvicorn")
    sys.exit()


def configure() -> None:
    obs.configure({"handlers": [{"type": "file", "path": "logs/flow-{flow_id}.jsonl"}]})


@obs.observable("thumbnail")
def thumbnail(picture: str, width: int) -> str:
    time.sleep(0.02)
    return f"{picture}-{width}.webp"


def application(pool: Executor) -> Any:
    async def resize(request: Request) -> Response:
        loop, picture = asyncio.get_running_loop(), request.path_params["picture"]
        calls = [loop.run_in_executor(pool, obs.wrap(thumbnail), picture, width) for width in (80, 320)]
        return JSONResponse(await asyncio.gather(*calls))

    async def health(request: Request) -> Response:
        return Response("ok")

    app = Starlette(routes=[Route("/pictures/{picture}", resize), Route("/health", health)])
    app.add_middleware(FlowMiddleware, exclude=["/health"])
    return app


@contextmanager
def served(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def main() -> None:
    configure()
    # Spawned workers know nothing of this process, so each configures its own logging.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=configure) as pool, served(application(pool)) as url:
        with obs.flow("client") as run:
            call = urllib.request.Request(f"{url}/pictures/sea?token=tk-81f09a4471", headers=obs.inject({}))
            print(urllib.request.urlopen(call).read().decode())
        urllib.request.urlopen(f"{url}/health").close()
    print(obs.get_flow_log(run.flow_id))


if __name__ == "__main__":
    main()
