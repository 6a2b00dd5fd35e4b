"""What the tests of the Glue face share: clients, scripts, waiting, and the check of answers against the model."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.model import Shape

TERMINAL = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR"}
ACCOUNT, REGION = "123456789012", "eu-central-1"
_numbers = itertools.count(1)


class World:
    """One server, with a Glue client and the few sentences that tests repeat."""

    def __init__(self, url: str, folder: Path, key: str = "any", secret: str = "thing") -> None:
        self.url = url
        self.folder = folder
        self.files = folder / "scripts"
        self.files.mkdir(exist_ok=True)
        self.s3 = folder / "data" / "s3"
        self._keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        self.made: dict[str, Any] = {}
        self.client = self.new("glue")
        self.started: list[tuple[str, str]] = []
        self.http = httpx.Client(base_url=url, timeout=20)

    def new(self, service: str) -> Any:
        """A client of a service, made once; answers of glue are checked."""
        if service in self.made:
            return self.made[service]
        made = boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            config=Config(retries={"max_attempts": 0}, read_timeout=30),
            **self._keys,
        )
        if service == "glue":
            made.meta.events.register("before-parse.glue", check_answer)
        self.made[service] = made
        return made

    def close(self) -> None:
        self.stop_all()
        self.http.close()
        for one in self.made.values():
            one.close()

    # --- sentences ---

    def script(self, text: str, name: str = "") -> str:
        """A script on disk; its path."""
        path = self.files / (name or f"script{next(_numbers)}.py")
        path.write_text(text)
        return str(path)

    def job(self, text: str = "print('done')", command: str = "pythonshell", **more: Any) -> str:
        """A job with this script; its name."""
        name = str(more.pop("Name", f"job {next(_numbers)}"))
        location = more.pop("ScriptLocation", None) or self.script(text)
        self.client.create_job(Name=name, Role="role", Command={"Name": command, "ScriptLocation": location}, **more)
        return name

    def start(self, job: str, **more: Any) -> str:
        """Starts a run; its id."""
        run_id: str = self.client.start_job_run(JobName=job, **more)["JobRunId"]
        self.started.append((job, run_id))
        return run_id

    def run(self, job: str, **more: Any) -> dict[str, Any]:
        """Starts a run and waits for its end."""
        return self.ended(job, self.start(job, **more))

    def get(self, job: str, run_id: str) -> dict[str, Any]:
        """One run."""
        found: dict[str, Any] = self.client.get_job_run(JobName=job, RunId=run_id)["JobRun"]
        return found

    def ended(self, job: str, run_id: str) -> dict[str, Any]:
        """The run once it is over."""
        return dict(self.until(lambda: self.get(job, run_id), lambda run: run["JobRunState"] in TERMINAL))

    def in_state(self, job: str, run_id: str, *states: str) -> dict[str, Any]:
        """The run once it is in one of these states."""
        return dict(self.until(lambda: self.get(job, run_id), lambda run: run["JobRunState"] in states))

    def until(self, ask: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 20) -> Any:
        """Asks until the answer is good."""
        deadline = time.monotonic() + seconds
        while not good(found := ask()):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def output(self, run: dict[str, Any], kind: str = "output") -> list[str]:
        """What a run wrote, line by line."""
        logs = self.new("logs")
        group = f"{run['LogGroupName']}/{kind}"
        events = logs.get_log_events(logGroupName=group, logStreamName=run["Id"], startFromHead=True)["events"]
        return [event["message"] for event in events]

    def stop_all(self) -> None:
        """Ends what tests left running."""
        for job, run_id in self.started:
            self.client.batch_stop_job_run(JobName=job, JobRunIds=[run_id])
        self.started.clear()

    def raw(self, operation: str, body: Any, **headers: str) -> httpx.Response:
        """A request as no client of AWS would send it."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"X-Amz-Target": f"AWSGlue.{operation}", "Content-Type": "application/x-amz-json-1.1", **headers}
        return self.http.post("/", content=content, headers=sent)

    def refused(self, exception: str, call: Callable[..., Any], **asked: Any) -> str:
        """Calls, checks the typed exception, gives its message."""
        with pytest.raises(self.client.exceptions.ClientError) as caught:
            call(**asked)
        found = caught.value.response["Error"]
        assert found["Code"] == exception, caught.value
        assert type(caught.value).__name__ in (exception, "ClientError")
        return str(found["Message"])

    def arn(self, kind: str, name: str) -> str:
        return f"arn:aws:glue:{REGION}:{ACCOUNT}:{kind}/{name}"


def check_answer(response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
    """Every answer of 200 is what botocore's model says: members, types, enums, what is required."""
    if response_dict["status_code"] == 200 and operation_model.output_shape is not None:
        assert "x-amzn-requestid" in {name.lower() for name in response_dict["headers"]}
        check_value(operation_model.output_shape, json.loads(response_dict["body"]), operation_model.name)


def check_value(shape: Shape, value: Any, at: str) -> None:
    """Raises AssertionError with the place."""
    kind = shape.type_name
    if kind == "structure":
        assert isinstance(value, dict), at
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{at}: {unknown}"
        for name in shape.required_members:
            assert name in value, f"{at}.{name} is missing"
        for name, item in value.items():
            check_value(shape.members[name], item, f"{at}.{name}")
    elif kind == "list":
        assert isinstance(value, list), at
        for item in value:
            check_value(shape.member, item, f"{at}[]")
    elif kind == "map":
        assert isinstance(value, dict), at
        for item in value.values():
            check_value(shape.value, item, f"{at}{{}}")
    else:
        wanted = {"string": str, "integer": int, "boolean": bool}.get(kind, (int, float))
        assert isinstance(value, wanted), f"{at}: {value!r} is no {kind}"
        enum = shape.metadata.get("enum")
        assert not enum or value in enum, f"{at}: {value!r} is none of {enum}"
