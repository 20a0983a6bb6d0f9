"""A small HTTP front of a switcher, for trying it with real clients (the extra `serve`).

POST /predict   one image: raw float32, .npy or JSON -> {"variant", "ms", "output"}
GET  /status    counts, latencies, memory, the last switches
GET  /variants  what the bundle holds, and which variant runs
POST /switch    {"variant": "v1"} holds a variant, {"variant": null} follows the policy again

Everything that a client can make it hold is bounded: connections and the time of a request
(`patient_protocol`), bytes of a body, bytes of all bodies, requests that wait.
"""

import json
import resource
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

import anyio
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hdap.device.messages import TurnedAway
from hdap.device.switcher import DeviceError, InferenceAnswer, Switcher
from hdap.fleet_data.errors import InputError
from hdap.serving.access_token import TokenGuard, is_loopback, require_token
from hdap.serving.patient_protocol import EndingServer, PatientProtocol
from hdap.serving.request_body import JSON, kind_of, most_bytes, read_image

LOOPBACK = ("127.0.0.1", "localhost", "::1")
AT_ONCE = 256
"""Requests that are past the network and wait for a worker; more are asked to come later."""
BODIES = 256 * 2**20
"""Bytes of all bodies together."""
CONNECTIONS = 512
"""At most; half of the files that a process may usually have open."""
_LATER = {"Retry-After": "1", "Connection": "close"}
_BUSY = "too many requests wait: ask again in a second"
_ONE_IMAGE = "a body must hold one image, {} bytes at most; send one image"


class _TooLarge(Exception):
    """A body that is longer than one image can be."""


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Who may ask: only requests to `hosts` are answered (None: to any), only with `token`.

    On the loopback interface nothing else can be meant, and a page in a browser must not reach it
    under another name. A request must come in whole within `patience_s`.
    """

    hosts: tuple[str, ...] | None = LOOPBACK
    token: str | None = None
    patience_s: float = 10.0


HERE = Doors()


def application(switcher: Switcher, doors: Doors = HERE) -> Starlette:
    """The routes over a switcher, which stays the caller's to close."""
    front = _Front(switcher)
    routes = [
        Route("/predict", front.predict, methods=["POST"]),
        Route("/status", front.status),
        Route("/variants", front.variants),
        Route("/switch", front.switch, methods=["POST"]),
    ]
    guards = []
    if doors.hosts is not None:
        allowed = [f"[{host}]" if ":" in host else host for host in doors.hosts]
        guards.append(Middleware(TrustedHostMiddleware, allowed_hosts=allowed))
    if doors.token is not None:
        guards.append(Middleware(TokenGuard, token=doors.token))
    return Starlette(
        routes=routes,
        middleware=guards,
        exception_handlers={
            InputError: _refusal(400),
            DeviceError: _refusal(400),
            TurnedAway: _refusal(503, _LATER),
            # the rest of it is not read
            _TooLarge: _refusal(413, {"Connection": "close"}),
            # nobody is there to read the answer
            ClientDisconnect: _refusal(408),
        },
    )


def serve(
    switcher: Switcher, at: socket.socket, ready: Callable[[str], None], doors: Doors = HERE
) -> None:
    """Answer until Ctrl-C (KeyboardInterrupt), once requests that run have ended.

    What waits then, for a worker or for the rest of itself, has a second.
    """
    host, port = at.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    server_of(switcher, doors).run(sockets=[at])


def server_of(switcher: Switcher, doors: Doors = HERE) -> EndingServer:
    """The server that `serve` runs; it says nothing but what failed in hdap itself."""

    class Protocol(PatientProtocol):
        patience_s, most_connections = doors.patience_s, _most_connections()

    config = uvicorn.Config(
        application(switcher, doors),
        http=Protocol,
        ws="none",
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=30,
    )
    return EndingServer(config, switcher.turn_away)


def doors_of(host: str, token: str | None, patience_s: float) -> Doors:
    """Who may ask on `host`. Raises InputError where others reach it and there is no token."""
    require_token(host, token)
    hosts = tuple(dict.fromkeys((*LOOPBACK, host))) if is_loopback(host) else None
    return Doors(hosts=hosts, token=token, patience_s=patience_s)


def _most_connections() -> int:
    """A quarter of the files that may be open stays for other things."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if files < 0 else min(CONNECTIONS, files * 3 // 4)


class _Front:
    def __init__(self, switcher: Switcher) -> None:
        self.switcher = switcher
        self._threads: anyio.CapacityLimiter | None = None
        self._held = 0

    async def predict(self, request: Request) -> Response:
        shape = self.switcher.portfolio.shape
        kind = kind_of(request.headers.get("content-type"))
        most = most_bytes(kind, shape)
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(AT_ONCE)
        if self._threads.available_tokens < 1:
            raise TurnedAway(_BUSY)
        async with self._body(request, most) as body:

            def work() -> InferenceAnswer:
                return self.switcher.answer(read_image(body, kind, shape))

            answer = await anyio.to_thread.run_sync(work, limiter=self._threads)
        outputs = [_plain(output) for output in answer.outputs]
        output = outputs[0] if len(outputs) == 1 else outputs
        return JSONResponse({"variant": answer.variant, "ms": answer.ms, "output": output})

    async def status(self, request: Request) -> Response:
        return JSONResponse(asdict(self.switcher.stats()))

    async def variants(self, request: Request) -> Response:
        portfolio = self.switcher.portfolio
        costs = self.switcher.costs()
        rows = [
            {
                "name": variant.name,
                "current": variant.name == self.switcher.current,
                "parameters": variant.parameters,
                "bytes": variant.bytes,
                "flops": variant.flops,
                "kept_importance": variant.kept_importance,
                "accuracy": variant.accuracy,
                "core_ms": costs[place].ms,
                "core_ms_measured": costs[place].measured,
            }
            for place, variant in enumerate(portfolio.variants)
        ]
        shape = list(portfolio.shape)
        return JSONResponse(
            {
                "model": portfolio.model,
                "simulated": portfolio.simulated,
                "input": shape,
                "variants": rows,
            }
        )

    async def switch(self, request: Request) -> Response:
        # A page in a browser cannot send this type to another origin without being asked first.
        if kind_of(request.headers.get("content-type")) != JSON:
            raise InputError(f"Content-Type must be {JSON}; send " + '{"variant": "NAME"}')
        try:
            async with self._body(request, 4096) as body:
                name = json.loads(body)["variant"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError('the body must be {"variant": "NAME"} or null for NAME') from error
        if name is None:
            self.switcher.follow()
        else:
            self.switcher.switch(str(name))
        return JSONResponse(asdict(self.switcher.stats()), status_code=202)

    @asynccontextmanager
    async def _body(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The body, read no further than allowed; it counts from when it came until it is used. One
        that is alone may be of any size that an image has."""
        told = request.headers.get("content-length", "")
        own, parts = 0, list[bytes]()
        try:
            if told.isdecimal() and int(told) > most:
                raise _TooLarge(_ONE_IMAGE.format(most))
            async for part in request.stream():
                parts.append(part)
                own += len(part)
                self._held += len(part)
                if own > most:
                    raise _TooLarge(_ONE_IMAGE.format(most))
                if self._held > max(BODIES, own):
                    raise TurnedAway(_BUSY)
            body = b"".join(parts)
            parts.clear()
            yield body
        finally:
            self._held -= own


def _plain(output: Any) -> Any:
    """Nested lists; what is not finite is null, which JSON has no word for."""
    if np.isfinite(output).all():
        return output.tolist()
    return [_plain(part) for part in output] if output.ndim else None


def _refusal(
    status: int, headers: Mapping[str, str] | None = None
) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        text = " ".join(str(error).split())
        return JSONResponse({"error": text}, status_code=status, headers=headers)

    return answer
