"""A small HTTP front of a switcher, for trying it with real clients (the extra `serve`).

POST /predict   one image: raw float32, .npy or JSON -> {"variant", "ms", "output"}
GET  /status    counts, latencies, memory, the last switches
GET  /variants  what the bundle holds, and which variant runs
POST /switch    {"variant": "v1"} holds a variant, {"variant": null} follows the policy again
"""

import json
import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import anyio
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hdap.device.switcher import DeviceError, InferenceAnswer, Switcher
from hdap.fleet_data.errors import InputError
from hdap.serving.request_body import JSON, kind_of, most_bytes, read_image

LOOPBACK = ("127.0.0.1", "localhost", "::1")
AT_ONCE = 256
"""Requests that are past the network and wait for a worker."""


class _TooLarge(Exception):
    """A body that is longer than one image can be."""


def application(switcher: Switcher, hosts: tuple[str, ...] | None = LOOPBACK) -> Starlette:
    """The routes over a switcher, which stays the caller's to close.

    Only requests to `hosts` are answered (None: to any): on the loopback interface nothing else can
    be meant, and a page in a browser must not reach it under another name.
    """
    front = _Front(switcher)
    routes = [
        Route("/predict", front.predict, methods=["POST"]),
        Route("/status", front.status),
        Route("/variants", front.variants),
        Route("/switch", front.switch, methods=["POST"]),
    ]
    allowed = None if hosts is None else [f"[{h}]" if ":" in h else h for h in hosts]
    guard = [Middleware(TrustedHostMiddleware, allowed_hosts=allowed)] if allowed else []
    return Starlette(
        routes=routes,
        middleware=guard,
        exception_handlers={
            InputError: _refusal(400),
            DeviceError: _refusal(400),
            _TooLarge: _refusal(413),
        },
    )


def serve(switcher: Switcher, at: socket.socket, ready: Callable[[str], None]) -> None:
    """Answer until Ctrl-C (KeyboardInterrupt), once requests that run have ended."""
    host, port = at.getsockname()[:2]
    hosts = LOOPBACK if host in LOOPBACK else None
    config = uvicorn.Config(
        application(switcher, hosts),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=30,
    )
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    uvicorn.Server(config).run(sockets=[at])


class _Front:
    def __init__(self, switcher: Switcher) -> None:
        self.switcher = switcher
        self._threads: anyio.CapacityLimiter | None = None

    async def predict(self, request: Request) -> Response:
        shape = self.switcher.portfolio.shape
        kind = kind_of(request.headers.get("content-type"))
        body = await _body(request, most_bytes(kind, shape))
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(AT_ONCE)

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
            name = json.loads(await _body(request, 4096))["variant"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError('the body must be {"variant": "NAME"} or null for NAME') from error
        if name is None:
            self.switcher.follow()
        else:
            self.switcher.switch(str(name))
        return JSONResponse(asdict(self.switcher.stats()), status_code=202)


async def _body(request: Request, most: int) -> bytes:
    """The body, read no further than allowed."""
    parts: list[bytes] = []
    told = request.headers.get("content-length", "")
    size = int(told) if told.isdecimal() else 0
    if size <= most:
        size = 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > most:
                break
    if size > most:
        raise _TooLarge(f"a body must hold one image, {most} bytes at most; send one image")
    return b"".join(parts)


def _plain(output: Any) -> Any:
    """Nested lists; what is not finite is null, which JSON has no word for."""
    if np.isfinite(output).all():
        return output.tolist()
    return [_plain(part) for part in output] if output.ndim else None


def _refusal(status: int) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": " ".join(str(error).split())}, status_code=status)

    return answer
