"""Sends one webhook message: a POST to a checked address, signed, no redirects, a short answer expected.

The signature is HMAC-SHA256 over the time of sending, a full stop and the body, so that a receiver can tell a message
of ours from anybody's, and one that was sent again by somebody else from a new one.
"""

from __future__ import annotations

import hmac
import http.client
import time
from collections.abc import Callable

import msgspec

from runyard.net import addresses, connect
from runyard.store.base import Delivery

TIMEOUT_SECONDS = 10.0

Key = Callable[[str], str]
"""The signing key of the messages to one URL, as text."""


def post(delivery: Delivery, *, allow_private: bool, key: Key | None = None) -> str:
    """Sends it; answers "" when the receiver took it (2xx), else one sentence. Blocks up to some seconds."""
    try:
        parts = addresses.split(delivery.url)
        address = addresses.resolve(parts, allow_private=allow_private)
        connection = connect.pinned(parts, address, TIMEOUT_SECONDS)
        try:
            body = _body(delivery)
            headers = _headers(delivery, body, key)
            connection.request("POST", connect.target(parts), body=body.encode(), headers=headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except addresses.Refused as error:
        return str(error)
    except (OSError, http.client.HTTPException) as error:
        return f"{delivery.url} could not be reached: {error or type(error).__name__}"
    return "" if 200 <= status < 300 else f"{delivery.url} answered {status}"


def signature(key: str, sent_at: str, body: str) -> str:
    """What a receiver compares with the header `Runyard-Signature`."""
    return f"sha256={hmac.new(key.encode(), f'{sent_at}.{body}'.encode(), 'sha256').hexdigest()}"


def _body(delivery: Delivery) -> str:
    """Our message, or the form that was asked for in its place, which is kept inside of it."""
    told = msgspec.json.decode(delivery.body)
    return msgspec.json.encode(told["send"]).decode() if "send" in told else delivery.body


def _headers(delivery: Delivery, body: str, key: Key | None) -> dict[str, str]:
    # The receiver can tell a repeated message by its id: delivery is at least once.
    sent_at = str(int(time.time() * 1000))
    signed = {"Runyard-Signature": signature(key(delivery.url), sent_at, body)} if key else {}
    return {
        "Content-Type": "application/json",
        "User-Agent": "runyard",
        "Runyard-Delivery": str(delivery.id),
        "Runyard-Event": delivery.event,
        "Runyard-Sent-At": sent_at,
        **signed,
    }
