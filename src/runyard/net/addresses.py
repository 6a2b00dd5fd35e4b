"""Which addresses a download or a webhook may connect to: public ones, checked after the name was resolved.

The caller connects to the address that was checked, never to the name again, so that a name that changes
between the check and the connection gains nothing. Forms such as `http://2130706433/` resolve like names.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(Exception):
    """A URL that may not be used; the message is one sentence."""


def split(url: str) -> SplitResult:
    """The parts of an http(s) URL; raises `Refused` for anything else."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is no number
    except ValueError as error:
        raise Refused(f"The URL {url!r} is not valid: {error}.") from None
    if parts.scheme not in {"http", "https"}:
        raise Refused(f"Only http and https URLs are allowed, not {parts.scheme or 'a URL without a scheme'}.")
    if not parts.hostname or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise Refused(f"The URL {url!r} has no valid host.")
    if parts.username is not None or parts.password is not None:
        raise Refused("A URL with a user name or password in it is refused.")
    return parts


def resolve(parts: SplitResult, *, allow_private: bool) -> str:
    """The address to connect to; raises `Refused` when any address of the name is not public."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OSError(f"The host {host} cannot be resolved: {error}.") from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not allow_private and not public(address):
            sentence = f"The host {host} has the address {address}, which is not public"
            raise Refused(f"{sentence}; the setting allow_private_urls opens those.")
    return addresses[0]


def public(address: str) -> bool:
    """Whether an address is a public unicast one, also when an IPv4 address hides in an IPv6 one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return all(one.is_global and not _special(one) for one in _faces(parsed))


def _special(address: _Address) -> bool:
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_multicast or address.is_reserved or site_local


def _faces(address: _Address) -> list[_Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    hidden = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    # A mapped address is judged by what it maps to; Python calls some of the wrappers reserved.
    inner: list[_Address] = [one for one in hidden if one is not None]
    return inner or [address]
