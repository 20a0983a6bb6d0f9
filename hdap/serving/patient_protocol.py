"""HTTP connections that cannot be held by asking slowly, or by asking a lot.

uvicorn bounds the pause between two requests and nothing else: a client that sends half a request
keeps its connection for ever. Here a request must have come in whole within some seconds, whatever
trickles; there are so many connections at most, and where there are, a new one takes the place of
the one that has waited longest for the rest of its request, or of one that takes no answer.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import Server, ServerState

LINGER_S = 2.0
"""How long an answer may take to reach a client that reads slowly."""
DEAF_S = 1.0
"""After which a client that takes no answer makes room for a new one: large answers pause, too."""
LEAST_TAKEN = 2**16
"""Bytes of an answer that a client takes in the time of a request, or is given up."""
GRACE_S = 0.7
"""What is left of a request's time once the server ends."""
_TO_COME = (h11.IDLE, h11.SEND_BODY)


class PatientState(ServerState):
    """What connections of a server share, and whether it `ends`."""

    ends = False


class PatientProtocol(H11Protocol):
    """One connection; `patience_s` and `most_connections` are those of its server."""

    patience_s: float
    most_connections: int

    def __init__(
        self,
        config: Config,
        server_state: PatientState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._state = server_state
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()
        if self._state.ends:
            self.shutdown()  # it was accepted before, so nobody else will tell it
        if len(self.connections) > self.most_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client has not taken what was written: the clock runs until it has."""
        super().pause_writing()
        self._taken()
        left = self.transport.get_write_buffer_size()
        self._unread = self.loop.call_later(self.patience_s, self._not_taken, left)

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self.loop.call_later(LINGER_S, self.transport.abort)
        elif self.conn.trailing_data[0] or self.conn.their_state is h11.SEND_BODY:
            self._watch()  # a next request has begun, or more of this one comes

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def shutdown(self) -> None:
        if self.waits_for_client and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = self.loop.call_later(GRACE_S, self._too_late)
            return
        super().shutdown()

    @property
    def waits_for_client(self) -> bool:
        """Whether a request has begun, or a connection was opened for one, and is not whole."""
        return self._deadline is not None and self.conn.their_state in _TO_COME

    @property
    def due(self) -> float:
        """When the wait for the client is over, in seconds of the loop."""
        return self._deadline.when() if self._deadline is not None else float("inf")

    def _watch(self) -> None:
        """The clock runs from the first byte until the request is whole."""
        if self.conn.their_state not in _TO_COME or self.transport.is_closing():
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.patience_s, self._too_late)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    @property
    def unread_s(self) -> float:
        """How long the client has not taken what was written."""
        if self._unread is None:
            return 0.0
        return self.loop.time() - self._unread.when() + self.patience_s

    def _taken(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _not_taken(self, before: int) -> None:
        """Who takes a large answer slowly has more time."""
        left = self.transport.get_write_buffer_size()
        if left + LEAST_TAKEN > before:
            self.transport.abort()
            return
        self._unread = self.loop.call_later(self.patience_s, self._not_taken, left)

    def _make_room(self) -> None:
        others = [c for c in self.connections if isinstance(c, PatientProtocol) and c is not self]
        waiting = [c for c in others if c.waits_for_client]
        deaf = [c for c in others if c.unread_s > DEAF_S]
        if waiting:
            min(waiting, key=lambda c: c.due)._too_late()
        elif deaf:
            max(deaf, key=lambda c: c.unread_s).transport.abort()
        else:
            self.transport.abort()  # all others are being answered

    def _too_late(self) -> None:
        self._unwatch()
        begun = self.conn.their_state is h11.SEND_BODY or bool(self.conn.trailing_data[0])
        if self.cycle is not None and not self.cycle.response_complete:
            # the application waits for the body: it learns that there will be no more
            begun = begun and not self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if begun:
            with suppress(h11.LocalProtocolError):
                self.transport.write(self._said_too_late())
        self.connections.discard(self)
        self.transport.close()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _said_too_late(self) -> bytes:
        text = b'{"error": "a request must come in whole in time, but did not; send it again"}'
        headers = [
            *(("content-type", "application/json"), ("connection", "close")),
            ("content-length", str(len(text))),
        ]
        parts = (h11.Response(status_code=408, headers=headers), h11.Data(text), h11.EndOfMessage())
        return b"".join(self.conn.send(part) or b"" for part in parts)


class EndingServer(Server):
    """A uvicorn server that tells when its end begins, `GRACE_S` after it was asked to."""

    def __init__(self, config: Config, on_end: Callable[[], None]) -> None:
        super().__init__(config)
        self.server_state: PatientState = PatientState()
        self._on_end = on_end

    async def shutdown(self, sockets: Any = None) -> None:
        self.server_state.ends = True
        asyncio.get_running_loop().call_later(GRACE_S, self._on_end)
        await super().shutdown(sockets)
