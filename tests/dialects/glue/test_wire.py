"""The wire itself: targets, request ids, error bodies, signatures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from runyard.app import build_table
from runyard.engine.engine import Engine
from runyard.http.card import Route
from runyard.http.counters import Counters
from runyard.http.policy import ADMIN, SCOPES, SIGNED_IN
from runyard.http.streams import Streams
from runyard.http.tokens import Tokens, key_id
from runyard.store.sqlite import SqliteStore
from tests.dialects.glue.world import REGION, World

UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
JSON = "application/x-amz-json-1.1"


def test_an_answer_has_the_media_type_and_a_request_id(world: World) -> None:
    answer = world.raw("ListJobs", {})
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    assert UUID.fullmatch(answer.headers["x-amzn-requestid"])


def test_a_refusal_has_its_type_in_body_and_header(world: World) -> None:
    answer = world.raw("GetJob", {"JobName": "nobody"})
    assert answer.status_code == 400
    assert answer.json() == {"__type": "EntityNotFoundException", "Message": "Job nobody not found."}
    assert answer.headers["x-amzn-errortype"] == "EntityNotFoundException"
    assert UUID.fullmatch(answer.headers["x-amzn-requestid"])


@pytest.mark.parametrize("target", ["AWSGlue.Nonsense", "AWSGlue.getjob", "Other.GetJob", "AWSGlue.CreateCrawler"])
def test_an_unknown_operation_is_refused_in_shape(world: World, target: str) -> None:
    answer = world.raw("", {}, **{"X-Amz-Target": target})
    assert (answer.status_code, answer.json()["__type"]) == (400, "UnknownOperationException")
    assert target in answer.json()["Message"]


def test_a_request_without_an_operation_is_refused_in_shape(world: World) -> None:
    answer = world.http.post("/", content=b"{}", headers={"Content-Type": JSON})
    assert answer.json()["__type"] == "UnknownOperationException"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"JobName": 1}', b'{"JobName": {}}'])
def test_a_body_that_cannot_be_read_is_a_serialization_error(world: World, body: bytes) -> None:
    answer = world.raw("GetJob", body)
    assert (answer.status_code, answer.json()["__type"]) == (400, "SerializationException")


def test_a_null_is_an_absent_member(world: World) -> None:
    assert world.raw("ListJobs", {"NextToken": None, "MaxResults": None}).status_code == 200
    answer = world.raw("GetJob", {"JobName": None})
    assert "Member must not be null" in answer.json()["Message"]


def test_an_unknown_member_is_refused_and_the_known_ones_are_told(world: World) -> None:
    answer = world.raw("GetJob", {"JobName": "x", "Colour": "red"})
    assert answer.json()["__type"] == "InvalidInputException"
    assert "colour" in answer.json()["Message"]


def test_a_body_over_the_cap_is_refused(world: World) -> None:
    answer = world.raw("GetJob", b'{"JobName": "' + b"x" * (17 * 1024 * 1024) + b'"}')
    assert answer.json()["__type"] == "InvalidInputException"
    assert answer.json()["Message"].startswith("Request size limit exceeded")


# --- a server that asks who is calling ---


class Guarded:
    """A server without --dev, and its administrator's token."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.holders: dict[str, str] = {}
        self.errors = data.with_suffix(".err")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
        environment["HOME"] = str(data.parent)  # without a user's own AWS keys
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runyard", "up", "--port", "0", "--data", str(data)],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
            )
        assert self.process.stdout
        self.url = self.process.stdout.readline().split()[1]
        found = re.search(r"\bry_\w+", self.errors.read_text())
        assert found
        self.token = found.group()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        assert self.process.stdout
        self.process.stdout.close()

    def principal(self, *scopes: str, name: str) -> dict[str, Any]:
        answer = httpx.post(
            f"{self.url}/api/v1/principals",
            json={"name": name, "scopes": list(scopes)},
            headers={"Authorization": f"Bearer {self.token}"},
        )
        return dict(answer.json())

    def holder_of_all_but(self, scope: str) -> str:
        """The token of somebody who holds every other scope."""
        if scope not in self.holders:
            made = self.principal(*sorted(SCOPES - {scope, ADMIN}), name=f"all but {scope}")
            self.holders[scope] = made["token"]
        return self.holders[scope]

    def client(self, token: str, key: str | None = None) -> Any:
        return boto3.client(
            "glue",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key or key_id(token),
            aws_secret_access_key=token,
        )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("guarded") / "data")
    yield made
    made.stop()


def refused_as(call: Any, **asked: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    return str(caught.value.response["Error"]["Code"])


def test_whoever_signs_with_an_issued_key_is_let_in(guarded: Guarded) -> None:
    client = guarded.client(guarded.token)
    assert client.list_jobs()["JobNames"] == []
    client.close()


ROUTES = [
    route
    for card, route in build_table(Engine(SqliteStore(":memory:"), []), Tokens(b""), Streams(), Counters()).routes()
    if card.name == "glue"
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: str(route.header and route.header[1]))
def test_no_operation_answers_strangers_or_those_without_its_scope(guarded: Guarded, route: Route) -> None:
    headers = dict([route.header] if route.header else [])
    assert httpx.post(guarded.url, content=b"{}", headers=headers).json()["__type"].startswith("MissingAuth")
    if route.scope == SIGNED_IN:
        return
    headers["Authorization"] = f"Bearer {guarded.holder_of_all_but(route.scope)}"
    answer = httpx.post(guarded.url, content=b"{}", headers=headers).json()
    assert (answer["__type"], route.scope in answer["Message"]) == ("AccessDeniedException", True)


def test_a_token_as_a_bearer_is_let_in_too(guarded: Guarded) -> None:
    headers = {"X-Amz-Target": "AWSGlue.ListJobs", "Authorization": f"Bearer {guarded.token}"}
    assert httpx.post(guarded.url, content=b"{}", headers=headers).status_code == 200


def test_a_request_without_a_signature_is_refused(guarded: Guarded) -> None:
    answer = httpx.post(guarded.url, content=b"{}", headers={"X-Amz-Target": "AWSGlue.ListJobs"})
    assert answer.json()["__type"] == "MissingAuthenticationTokenException"


def test_an_unknown_operation_is_not_told_to_strangers(guarded: Guarded) -> None:
    answer = httpx.post(guarded.url, content=b"{}", headers={"X-Amz-Target": "AWSGlue.Nonsense"})
    assert answer.json()["__type"] == "MissingAuthenticationTokenException"


@pytest.mark.parametrize(
    ("secret", "key", "code"),
    [
        ("wrong", None, "UnrecognizedClientException"),
        ("wrong", "AKIAIOSFODNN7EXAMPLE", "UnrecognizedClientException"),
        ("wrong", "ours", "InvalidSignatureException"),
    ],
)
def test_a_wrong_key_or_secret_is_refused(guarded: Guarded, secret: str, key: str | None, code: str) -> None:
    key = key_id(guarded.token) if key == "ours" else key
    client = guarded.client(secret, key)
    assert refused_as(client.list_jobs) == code
    client.close()


def test_a_revoked_key_is_refused(guarded: Guarded) -> None:
    made = guarded.principal("admin", name="to revoke")
    client = guarded.client(made["token"])
    client.list_jobs()
    headers = {"Authorization": f"Bearer {guarded.token}"}
    revoked = httpx.post(f"{guarded.url}/api/v1/principals/{made['principal']['id']}/revoke", headers=headers)
    assert revoked.status_code == 200
    assert refused_as(client.list_jobs) == "UnrecognizedClientException"
    client.close()


def test_each_operation_needs_its_own_scope(guarded: Guarded) -> None:
    client = guarded.client(guarded.principal("jobs:read", name="reader")["token"])
    client.list_jobs()
    assert refused_as(client.delete_job, JobName="x") == "AccessDeniedException"
    assert refused_as(client.start_job_run, JobName="x") == "AccessDeniedException"
    assert refused_as(client.get_job_runs, JobName="x") == "AccessDeniedException"
    client.close()


def signed(guarded: Guarded, body: bytes, moment: datetime | None = None) -> dict[str, str]:
    request = AWSRequest("POST", guarded.url + "/", {"X-Amz-Target": "AWSGlue.ListJobs", "Content-Type": JSON}, body)
    auth = SigV4Auth(Credentials(key_id(guarded.token), guarded.token), "glue", REGION)
    if moment is None:
        auth.add_auth(request)
    else:
        stamp = moment.strftime("%Y%m%dT%H%M%SZ")
        request.context["timestamp"] = stamp
        request.headers["X-Amz-Date"] = stamp
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        names = auth.signed_headers(auth.headers_to_sign(request))
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"
        )
    return dict(request.headers.items())


def test_the_signature_covers_the_body(guarded: Guarded) -> None:
    headers = signed(guarded, b"{}")
    assert httpx.post(guarded.url, content=b"{}", headers=headers).status_code == 200
    answer = httpx.post(guarded.url, content=b'{"MaxResults": 1}', headers=headers)
    assert answer.json()["__type"] == "InvalidSignatureException"


@pytest.mark.parametrize(("minutes", "status"), [(-14, 200), (14, 200), (-16, 400), (16, 400)])
def test_a_clock_may_be_wrong_by_fifteen_minutes(guarded: Guarded, minutes: int, status: int) -> None:
    headers = signed(guarded, b"{}", datetime.now(UTC) + timedelta(minutes=minutes))
    answer = httpx.post(guarded.url, content=b"{}", headers=headers)
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json()["__type"] == "InvalidSignatureException"
        assert answer.json()["Message"].startswith("Signature expired")


def test_a_broken_authorization_header_is_refused(guarded: Guarded) -> None:
    headers = {"X-Amz-Target": "AWSGlue.ListJobs", "Authorization": "AWS4-HMAC-SHA256 Credential=a/b"}
    answer = httpx.post(guarded.url, content=b"{}", headers=headers)
    assert answer.json()["__type"] == "IncompleteSignatureException"


def test_connect_prints_what_a_client_needs(guarded: Guarded) -> None:
    environment = {**os.environ, "RUNYARD_URL": guarded.url, "RUNYARD_TOKEN": guarded.token}
    told = subprocess.run(
        [sys.executable, "-m", "runyard", "connect", "glue"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = dict(line.removeprefix("export ").split("=", 1) for line in told.splitlines())
    script = """
import boto3
print(boto3.client("glue").list_jobs()["JobNames"])
print(boto3.client("logs").filter_log_events(logGroupName="/aws-glue/python-jobs/output")["events"])
print(len(boto3.client("sts").get_caller_identity()["Account"]))
print(boto3.client("iam").get_role(RoleName="any")["Role"]["RoleName"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **lines}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["[]", "[]", "12", "any"], done.stderr


def test_a_script_signs_with_its_attempts_own_key_and_may_read_its_workflows_properties(
    guarded: Guarded, tmp_path: Path
) -> None:
    text = """
import sys
import boto3
from awsglue.utils import getResolvedOptions
from botocore.exceptions import ClientError

args = getResolvedOptions(sys.argv, ["WORKFLOW_NAME", "WORKFLOW_RUN_ID"])
glue = boto3.client("glue")
asked = {"Name": args["WORKFLOW_NAME"], "RunId": args["WORKFLOW_RUN_ID"]}
found = glue.get_workflow_run_properties(**asked)["RunProperties"]
glue.put_workflow_run_properties(**asked, RunProperties={"seen": found["day"]})
try:
    glue.delete_job(JobName="any")
except ClientError as error:
    print(error.response["Error"]["Code"])
"""
    script = guarded.data / "files" / "main.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(text)
    client = guarded.client(guarded.token)
    client.create_workflow(Name="w", DefaultRunProperties={"day": "7"})
    client.create_job(Name="j", Role="r", Command={"Name": "pythonshell", "ScriptLocation": str(script)})
    client.create_trigger(Name="t", Type="ON_DEMAND", Actions=[{"JobName": "j"}], WorkflowName="w")
    run_id = client.start_workflow_run(Name="w")["RunId"]
    deadline = time.monotonic() + 30
    while (run := client.get_workflow_run(Name="w", RunId=run_id)["Run"])["Status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (job_run,) = client.get_job_runs(JobName="j")["JobRuns"]
    assert job_run["JobRunState"] == "SUCCEEDED", job_run
    assert run["WorkflowRunProperties"] == {"day": "7", "seen": "7"}
    client.close()
