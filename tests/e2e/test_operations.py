"""The commands of docs/operations.md, as they stand there: stop, copy, lose everything, restore, go on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.e2e.service import Service, shell, sql
from tests.live_server import environment

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BLOCK = re.compile(r"<!-- tested: (\w+) -->\n```sh\n(.*?)```", re.DOTALL)
COMMANDS = dict(BLOCK.findall(PAGE.read_text()))


def run(name: str, data: Path, backup: Path) -> None:
    """One block of the page."""
    env = {**environment(), "DATA": str(data), "BACKUP": str(backup), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["sh", "-euc", COMMANDS[name]], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_backup_is_restored_with_its_history_tables_logs_and_tokens(tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    with Service(tmp_path, grace=1) as service:
        service.rows("create table kept (n integer)")
        service.rows("insert into kept values (7)")
        first = service.ended(service.submit(shell("echo before")))
        key = (service.data / "master.key").read_bytes()

        assert service.process is not None
        with ThreadPoolExecutor(1) as parent:  # who lets it go, as a service manager does
            ended = parent.submit(service.process.wait, 30)
            run("stop", service.data, backup)
            assert ended.result() == 0
        service.gone()
        run("backup", service.data, backup)

        service.start()
        lost = service.ended(service.submit(sql("insert into kept values (8)")))
        service.terminate()
        run("restore", service.data, backup)

        service.start()
        assert service.rows("select n from kept") == [[7]]
        assert service.run(first["id"])["state"] == "succeeded"
        assert service.log(first["tasks"][0]["id"]) == "before\n"
        assert service.http.get(f"/runs/{lost['id']}").status_code == 404
        assert (service.data / "master.key").read_bytes() == key


def test_a_database_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    import apsw

    with Service(tmp_path) as service:
        service.terminate()
        database = apsw.Connection(str(service.data / "runyard.db"))
        database.execute("INSERT INTO migration VALUES (9999, '9999_later.sql', 'x')")
        database.close()
        command = [sys.executable, "-m", "runyard", "up", "--dev", "--port", "0", "--data", str(service.data)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode not in (0, -9)
        assert "newer version" in done.stderr
