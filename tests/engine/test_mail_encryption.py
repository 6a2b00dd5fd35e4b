"""E-mail over an encrypted connection, from its first byte (smtps) or from STARTTLS on, to real mail servers."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runyard.engine import mails
from runyard.store.base import Delivery

PASSWORD = "it's a/secret"
URL = "{scheme}://ann:it%27s%20a%2Fsecret@{host}:{port}"
MESSAGE = Delivery(
    id=7,
    run_id=1,
    url="mailto:bob@example.com",
    event="run.failure",
    body='{"event": "run.failure", "run": {"id": 1, "name": "nightly"}}',
    attempts=0,
    due_at=0,
)


class Inbox:
    """Keeps what it is given, with whether the connection was encrypted and who had logged in."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.passwords: list[tuple[bool, bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append((envelope.rcpt_tos, bool(server.transport.get_extra_info("ssl_object")), session.authenticated))
        return "250 OK"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        encrypted = bool(server.transport.get_extra_info("ssl_object"))
        self.passwords.append((encrypted, data.password))
        return AuthResult(success=(data.login, data.password) == (b"ann", PASSWORD.encode()), handled=False)


def _certificate(folder: Path, host: str, days: int = 1) -> Path:
    """A certificate that its own key signed, with that key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail")])
    now = datetime.datetime.now(datetime.UTC)
    begin = now - datetime.timedelta(days=2)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file = folder / f"{host} {days}.pem"
    file.write_bytes(text + made.public_bytes(serialization.Encoding.PEM))
    return file


Serve = Callable[..., tuple[Inbox, mails.MailServer]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(scheme: str, certificate: Path, password: str = URL) -> tuple[Inbox, mails.MailServer]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            with socket.create_server(("127.0.0.1", 0)) as free:  # the controller must be told its port
                port = free.getsockname()[1]
            inbox = Inbox()
            how: dict[str, Any] = (
                {"ssl_context": context, "auth_require_tls": False}  # it is encrypted all along
                if scheme == "smtps"
                else {"tls_context": context, "require_starttls": True}
            )
            controller = Controller(inbox, hostname="127.0.0.1", port=port, authenticator=inbox.login, **how)
            controller.start()
            stack.callback(controller.stop)
            url = password.format(scheme=scheme, host="127.0.0.1", port=port)
            return inbox, mails.mail_server(url, "runyard@example.com")

        yield start


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate that this machine trusts."""
    file = _certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_a_mail_goes_over_an_encrypted_connection_and_so_does_the_password(
    scheme: str, serve: Serve, trusted: Path
) -> None:
    inbox, server = serve(scheme, trusted)
    assert mails.post(MESSAGE, server) == ""
    assert inbox.got == [(["bob@example.com"], True, True)]
    assert inbox.passwords == [(True, PASSWORD.encode())]


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_a_wrong_password_is_a_sentence_that_does_not_show_it(scheme: str, serve: Serve, trusted: Path) -> None:
    inbox, server = serve(scheme, trusted, "{scheme}://ann:wrong-one@{host}:{port}")
    trouble = mails.post(MESSAGE, server)
    assert "did not let us in (535)" in trouble
    assert "wrong-one" not in trouble
    assert inbox.got == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_a_certificate_that_nobody_vouches_for_gets_neither_password_nor_mail(
    scheme: str, serve: Serve, tmp_path: Path
) -> None:
    inbox, server = serve(scheme, _certificate(tmp_path, "127.0.0.1"))
    trouble = mails.post(MESSAGE, server)
    assert "CERTIFICATE_VERIFY_FAILED" in trouble
    assert (inbox.got, inbox.passwords) == ([], [])


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
@pytest.mark.parametrize(("host", "days", "said"), [("127.0.0.9", 1, "not valid for"), ("127.0.0.1", -1, "expired")])
def test_a_certificate_of_another_host_or_time_gets_neither_password_nor_mail(
    scheme: str, host: str, days: int, said: str, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _certificate(tmp_path, host, days)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    inbox, server = serve(scheme, file)
    assert said in mails.post(MESSAGE, server)
    assert (inbox.got, inbox.passwords) == ([], [])
