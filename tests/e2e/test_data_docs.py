"""docs/data.md as a whole: its programs run, in order, against a real server, and print what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from runyard.client.client import Client
from runyard.client.jobfile import parse
from tests.live_server import environment, live_server

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
MARK = "-- the next block --\n"


def test_the_page_s_programs_print_what_it_says(tmp_path: Path) -> None:
    blocks = FENCE.findall(PAGE.read_text())
    programs = [text for kind, text in blocks if kind == "python"]
    said = [text for kind, text in blocks if kind == "text"]
    assert len(programs) == len(said) + 1 >= 7  # the first one only prepares
    whole = f"print({MARK!r}, end='')\n".join([*programs, ""])
    with live_server(tmp_path, "--dev") as url:
        done = subprocess.run(
            [sys.executable, "-c", whole],
            env=environment(RUNYARD_URL=url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split(MARK)[:-1] == ["", *said]
        with Client(url) as client:
            for text in [text for kind, text in blocks if kind == "yaml"]:
                run = client.wait(client.submit(parse(text, folder=tmp_path)).id)
                assert run.state == "succeeded", run
            assert client.query("SELECT total FROM sums ORDER BY day").rows == [["10.00"], ["65.00"]]
    assert (tmp_path / "data" / "files" / "out" / "events.csv.gz").exists()
