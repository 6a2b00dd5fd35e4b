"""The AWS CLI against the same server: one short story."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.glue.world import REGION, World

AWS = shutil.which("aws", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def aws(world: World, *words: str, fails: bool = False) -> Any:
    assert AWS is not None
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(world.folder),
        "AWS_ENDPOINT_URL_GLUE": world.url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "thing",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [AWS, "glue", *words, "--output", "json"], env=environment, capture_output=True, text=True, check=False
    )
    if fails:
        assert done.returncode != 0
        return done.stderr
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


@pytest.mark.skipif(AWS is None, reason="notyet: the AWS CLI is not installed")
def test_the_aws_cli_creates_starts_lists_and_is_refused(world: World) -> None:
    script = world.script("print('from the CLI')")
    command = json.dumps({"Name": "pythonshell", "ScriptLocation": script})
    made = aws(world, "create-job", "--name", "cli job", "--role", "r", "--command", command)
    assert made == {"Name": "cli job"}
    run_id = aws(world, "start-job-run", "--job-name", "cli job", "--arguments", '{"--a": "1"}')["JobRunId"]
    world.ended("cli job", run_id)
    runs = aws(world, "get-job-runs", "--job-name", "cli job", "--max-items", "1")["JobRuns"]
    assert [(one["Id"], one["JobRunState"], one["Arguments"]) for one in runs] == [(run_id, "SUCCEEDED", {"--a": "1"})]
    said = aws(world, "start-job-run", "--job-name", "nobody", fails=True)
    assert "(EntityNotFoundException) when calling the StartJobRun operation: Job nobody not found." in said
