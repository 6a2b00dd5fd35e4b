"""Requests signed with AWS Signature Version 4: what the header claims, and whether the signature holds.

Source: AWS General Reference, 'Signature Version 4 signing process'. The secret key of a principal is its token,
and the access key id is the token without its last part, so that nothing has to be stored for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from runyard.core.errors import Code, RunyardError
from runyard.http.request import Request

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 15 * 60
_FIELDS = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")


class Scope(NamedTuple):
    """What a signed request says of itself: `day` is YYYYMMDD."""

    key_id: str
    day: str
    region: str
    service: str


class Signed:
    """One signed request, not yet believed."""

    __slots__ = ("_headers", "_request", "_signature", "scope")

    def __init__(self, request: Request, scope: Scope, headers: str, signature: str) -> None:
        self.scope = scope
        self._request = request
        self._headers = headers.split(";")
        self._signature = signature

    @property
    def key_id(self) -> str:
        """The access key id that it names."""
        return self.scope.key_id

    def check(self, secret: str, body: bytes, now: float) -> None:
        """Raises `unauthenticated` unless this secret made the signature, not longer ago than the skew allows."""
        moment = self._request.header(b"x-amz-date") or ""
        signed_at = _seconds(moment)
        if signed_at is None or moment[:8] != self.scope.day:
            raise _refused(f"X-Amz-Date must be YYYYMMDDTHHMMSSZ, of the credential's day; it is {moment!r}.")
        if abs(now - signed_at) > SKEW_SECONDS:
            there = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            raise _refused(f"Signature expired: {moment} is more than 15 minutes from {there}. Set the clock right.")
        if "host" not in self._headers:
            raise _refused("The host header must be signed.")
        day, region, service = self.scope.day, self.scope.region, self.scope.service
        canonical = hashlib.sha256(self._canonical(body)).hexdigest()
        text = f"{ALGORITHM}\n{moment}\n{day}/{region}/{service}/aws4_request\n{canonical}"
        found = hmac.digest(_signing_key(secret, day, region, service), text.encode(), "sha256").hex()
        if not hmac.compare_digest(found, self._signature):
            raise _refused(
                "The request signature we calculated does not match the signature you provided. "
                "Check your secret access key and signing method."
            )

    def _canonical(self, body: bytes) -> bytes:
        request = self._request
        raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        path = quote(raw.partition(b"?")[0], safe="/~")
        pairs = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        query = "&".join(f"{key}={value}" for key, value in sorted((_encoded(k), _encoded(v)) for k, v in pairs))
        headers = "".join(f"{name}:{self._value(name)}\n" for name in self._headers)
        digest = hashlib.sha256(body).hexdigest()
        return f"{request.method}\n{path}\n{query}\n{headers}\n{';'.join(self._headers)}\n{digest}".encode("latin-1")

    def _value(self, name: str) -> str:
        wanted = name.encode("latin-1")
        values = [str(value, "latin-1") for key, value in self._request.scope["headers"] if key == wanted]
        return ",".join(" ".join(value.split()) for value in values)


def signed(request: Request) -> Signed | None:
    """Reads `Authorization: AWS4-HMAC-SHA256 ...`; None when the request is not signed this way."""
    value = request.header(b"authorization")
    if value is None or not value.startswith(ALGORITHM):
        return None
    fields = dict(_FIELDS.findall(value))
    scope = _scope(fields.get("Credential", ""))
    if len(fields) != 3 or scope is None:
        raise RunyardError(
            Code.UNAUTHENTICATED,
            "The Authorization header must hold Credential=KEY/DAY/REGION/SERVICE/aws4_request, SignedHeaders and "
            "Signature.",
            auth="incomplete",
        )
    return Signed(request, scope, fields["SignedHeaders"], fields["Signature"])


def scope_of(request: Request) -> Scope | None:
    """What a signed request says of itself, believed or not; None when it is not signed."""
    value = request.header(b"authorization") or ""
    return _scope(dict(_FIELDS.findall(value)).get("Credential", "")) if value.startswith(ALGORITHM) else None


def _scope(credential: str) -> Scope | None:
    parts = unquote(credential).split("/")
    return Scope(*parts[:4]) if len(parts) == 5 and parts[4] == "aws4_request" else None


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _seconds(moment: str) -> float | None:
    try:
        return datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _refused(message: str) -> RunyardError:
    return RunyardError(Code.UNAUTHENTICATED, message, auth="signature")
