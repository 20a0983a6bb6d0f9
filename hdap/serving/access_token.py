"""A token that every request must carry where more than this machine can send one."""

import hmac
import ipaddress
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hdap.fleet_data.errors import InputError

ENVIRONMENT = "HDAP_TOKEN"
SHORTEST = 16
"""Characters: what `secrets.token_urlsafe` makes of 12 random bytes; nobody guesses that."""
_MAKE = "python3 -c 'import secrets; print(secrets.token_urlsafe())'"


def read_token(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The token in a file, else in HDAP_TOKEN; None where there is neither.

    Raises InputError for one that is short or cannot be sent in a header.
    """
    whose, text = ENVIRONMENT, environment.get(ENVIRONMENT)
    if file is not None:
        try:
            whose, text = str(file), file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"the token's file must be readable, but {file} is not: {error}"
            ) from error
    if text is None:
        return None
    if len(text) < SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
        raise InputError(
            f"a token must be {SHORTEST} plain characters or more without spaces, but that of "
            f"{whose} is not: make one: {_MAKE}"
        )
    return text


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_token(host: str, token: str | None) -> None:
    """Raise InputError where others reach `host` and there is no token."""
    if token is None and not is_loopback(host):
        raise InputError(
            f"where others can ask, a token must protect it, but --host {host} has none: set "
            f"{ENVIRONMENT}=... or give --token-file FILE (make one: {_MAKE}), or listen on "
            "127.0.0.1"
        )


class TokenGuard:
    """Answers 401 to every request without the token; nothing of such a request is read."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).get("authorization", "") if scope["type"] == "http" else ""
        # in constant time: how long a wrong one takes tells nothing of the right one
        if hmac.compare_digest(given.encode("utf-8", "replace"), self._expected):
            await self._app(scope, receive, send)
            return
        refused = JSONResponse(
            {"error": "a request must carry the token: Authorization: Bearer TOKEN"},
            status_code=401,
            headers={"WWW-Authenticate": "Bearer", "Connection": "close"},
        )
        await refused(scope, receive, send)
