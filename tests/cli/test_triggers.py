"""Triggers and schedules from the command line: kept from a file, shown with their next times, tried, filled up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Run

JOBS = """\
job: cli-load
tasks: {{only: {{shell: "true"}}}}
---
job: cli-report
parameters: {{mode: fast}}
{schedule}
tasks: {{only: {{shell: "true"}}}}
"""
FILE = """\
trigger: cli-after
description: when it is loaded
after_runs: {watch: [cli-load], by_hand: true}
start: [cli-report]
---
trigger: cli-clock
schedule: {cron: 0 6 1 * *, time_zone: Europe/Berlin}
start:
  - {job: cli-report, parameters: {mode: full}, timeout: 1h}
---
trigger: cli-held
paused: true
manual:
start: cli-load
"""


def _applied(here: Run, path: Path, text: str, noun: str = "triggers") -> dict[str, dict[str, object]]:
    path.write_text(text)
    answer = here(noun, "apply", str(path), "-o", "json")
    assert answer.returncode == 0, answer.stderr
    return {one["key"]: one for one in json.loads(answer.stdout)}


def test_triggers_are_kept_changed_shown_tried_and_paused_from_the_command_line(here: Run, tmp_path: Path) -> None:
    jobs = _applied(here, tmp_path / "jobs.yaml", JOBS.format(schedule=""), "jobs")
    file = tmp_path / "triggers.yaml"
    kept = _applied(here, file, FILE)
    assert [one["change"] for one in kept.values()] == ["created"] * 3
    assert [one["change"] for one in _applied(here, file, FILE).values()] == ["unchanged"] * 3
    assert str(kept["cli-clock"]["next_at"]).endswith(("T04:00:00.000Z", "T05:00:00.000Z"))  # six in Berlin
    changed = _applied(here, file, FILE.replace("mode: full", "mode: slow"))
    assert [one["change"] for one in changed.values()] == ["unchanged", "updated", "unchanged"]
    after, clock, held = (str(kept[key]["id"]) for key in ("cli-after", "cli-clock", "cli-held"))
    listed = {one["key"]: one for one in json.loads(here("triggers", "-o", "json").stdout)}
    assert [listed[key]["active"] for key in kept] == [True, True, False]
    shown = here("triggers", "show", clock).stdout
    assert shown.count("-01 ") >= 3, shown  # its next three fire times
    assert "slow" in shown
    run = here("submit", str(jobs["cli-load"]["id"])).stdout.strip()
    tried = here("triggers", "dry-run", after, "--run", run)
    assert (tried.returncode, "cli-report" in tried.stdout) == (0, True), tried.stderr
    assert "active" in here("triggers", "resume", held).stdout
    assert "paused" in here("triggers", "pause", held).stdout


def test_a_schedule_is_backfilled_from_the_command_line(here: Run, tmp_path: Path) -> None:
    text = JOBS.format(schedule="schedule: {cron: 0 6 * * *, paused: true}")
    job = str(_applied(here, tmp_path / "jobs.yaml", text, "jobs")["cli-report"]["id"])
    asked = ("jobs", "backfill", job, "--from", "2026-01-01", "--to", "2026-01-03")
    planned = here(*asked, "--dry-run").stdout
    assert planned.count("06:00") == 2
    assert len(json.loads(here(*asked, "-o", "json").stdout)["ids"]) == 2
    assert json.loads(here(*asked, "-o", "json").stdout)["ids"] == []  # each tick has its run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trigger: x\nmanual:\n", "2:1: a trigger file needs 'start'"),
        ("manual:\nstart: a\n", "a trigger file needs 'trigger'"),
        ("trigger: x\nstart: a\n", "exactly one of schedule, after_runs"),
        ("trigger: x\nmanual:\ncontinuous:\nstart: a\n", "found manual and continuous"),
        ("trigger: x\nmanual:\nstart: [{parameters: {a: 1}}]\n", "3:9: an entry of start needs 'job'"),
        ("trigger: x\nmanaul:\nstart: a\n", "manual"),
        ("", "the file is empty"),
    ],
)
def test_a_wrong_trigger_file_says_where_and_why(text: str, said: str, here: Run, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(text)
    answer = here("triggers", "apply", str(file))
    assert answer.returncode == 2
    assert said.replace("2:1: a", "1:1: a") in answer.stderr
