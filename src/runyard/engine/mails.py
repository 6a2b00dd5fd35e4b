"""Sends one message by e-mail, through the mail server of the settings."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from runyard.core.errors import invalid
from runyard.engine.notices import MAILTO
from runyard.store.base import Delivery

TIMEOUT_SECONDS = 20.0
SCHEMES = {"smtp": 25, "smtps": 465}


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where mail is handed over, and in whose name."""

    host: str
    port: int
    encrypted: bool
    """Whether the connection is encrypted from its first byte; else it is as soon as the server offers that."""
    user: str = ""
    password: str = ""
    sender: str


def mail_server(url: str, sender: str) -> MailServer:
    """The server of `smtp://USER:PASSWORD@HOST:PORT`, or `smtps://`; raises invalid."""
    parts = _split(url)
    if not sender:
        raise invalid("smtp_url is set, but mail_from is not: say in whose name mail is sent.", field="mail_from")
    return MailServer(
        host=parts.hostname or "",
        port=parts.port or SCHEMES[parts.scheme],
        encrypted=parts.scheme == "smtps",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        sender=sender,
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in SCHEMES or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:  # the URL itself is not shown: it may hold a password
        raise invalid("smtp_url must read smtp://HOST:PORT or smtps://USER:PASSWORD@HOST:PORT.", field="smtp_url")
    return parts


def post(delivery: Delivery, server: MailServer) -> str:
    """Hands it over; answers "" when the mail server took it, else one sentence. Blocks up to some seconds."""
    place = f"The mail server {server.host}:{server.port}"
    try:
        with _connected(server) as connection:
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(_message(delivery, server.sender))
    except smtplib.SMTPAuthenticationError as error:
        return f"{place} did not let us in ({error.smtp_code})."
    except smtplib.SMTPException as error:
        return f"{place} refused the message: {error}"
    except (OSError, ssl.SSLError) as error:
        return f"{place} cannot be reached: {error or type(error).__name__}"
    return ""


def _connected(server: MailServer) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if server.encrypted:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.ehlo()
        if connection.has_extn("starttls"):
            connection.starttls(context=context)
        elif server.user:
            raise smtplib.SMTPNotSupportedError("it offers no encryption, so the password is not sent")
    except BaseException:
        connection.close()
        raise
    return connection


def _message(delivery: Delivery, sender: str) -> EmailMessage:
    told = msgspec.json.decode(delivery.body)
    run, task_run = told["run"], told.get("task_run")
    what = _one_line(f"Task {task_run['key']} of {run['name']}" if task_run else str(run["name"]))
    message = EmailMessage()
    message["Subject"] = f"{what}: {_happened(told)} (run {run['id']})"
    message["From"] = sender
    message["To"] = delivery.url.removeprefix(MAILTO)
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{delivery.id}@runyard.invalid>"  # the same for a message that is sent again
    facts = {**run, **({f"task {name}": value for name, value in task_run.items()} if task_run else {})}
    lines = [_one_line(f"{name}: {value}", 2000) for name, value in facts.items() if value not in (None, "", {})]
    message.set_content("\n".join([f"{what}: {_happened(told)}.", "", *lines, ""]))
    return message


def _happened(told: dict[str, Any]) -> str:
    point = str(told["event"]).partition(".")[2]
    if point == "duration":
        return f"still running after {told['limit_seconds']:g} s"
    return {"start": "started", "success": "succeeded", "failure": "failed"}.get(point, point)


def _one_line(text: str, length: int = 200) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:length]
