"""Sends one webhook message: a POST to a checked address, no redirects, a short answer expected."""

from __future__ import annotations

import http.client
import time

from runyard.net import addresses, connect
from runyard.store.base import Delivery

TIMEOUT_SECONDS = 10.0


def post(delivery: Delivery, *, allow_private: bool) -> str:
    """Sends it; answers "" when the receiver took it (2xx), else one sentence. Blocks up to some seconds."""
    try:
        parts = addresses.split(delivery.url)
        address = addresses.resolve(parts, allow_private=allow_private)
        connection = connect.pinned(parts, address, TIMEOUT_SECONDS)
        try:
            connection.request("POST", connect.target(parts), body=delivery.body.encode(), headers=_headers(delivery))
            status = connection.getresponse().status
        finally:
            connection.close()
    except addresses.Refused as error:
        return str(error)
    except (OSError, http.client.HTTPException) as error:
        return f"{delivery.url} could not be reached: {error or type(error).__name__}"
    return "" if 200 <= status < 300 else f"{delivery.url} answered {status}"


def _headers(delivery: Delivery) -> dict[str, str]:
    # The receiver can tell a repeated message by its id: delivery is at least once.
    return {
        "Content-Type": "application/json",
        "User-Agent": "runyard",
        "Runyard-Delivery": str(delivery.id),
        "Runyard-Event": f"run.{delivery.event}",
        "Runyard-Sent-At": str(int(time.time() * 1000)),
    }
