"""The world of a script: where it comes from, what it may import, what it finds in its environment."""

from __future__ import annotations

import http.server
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dialects.glue.world import World
from tests.live_server import live_server


def bucket(world: World, name: str) -> Path:
    folder = world.s3 / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def failed(world: World, **job: object) -> str:
    arguments = job.pop("DefaultArguments", {})
    run = world.run(world.job(DefaultArguments=arguments, **job))  # type: ignore[arg-type]  # a job's own fields
    assert run["JobRunState"] == "FAILED", run
    return str(run["ErrorMessage"])


def test_a_script_on_s3_lies_below_the_local_root(glue: World) -> None:
    (bucket(glue, "code") / "main.py").write_text("print('from s3')")
    run = glue.run(glue.job(ScriptLocation="s3://code/main.py"))
    assert glue.output(run) == ["from s3"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    handler = lambda *a: Quiet(*a, directory=str(tmp_path))  # noqa: E731 - what the server calls
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_script_comes_over_http(glue: World, served: tuple[str, Path]) -> None:
    url, folder = served
    (folder / "main.py").write_text("print(__file__.rsplit('/')[-1], __name__)")
    run = glue.run(glue.job(ScriptLocation=f"{url}/main.py"))
    assert glue.output(run) == ["main.py __main__"]
    assert "404" in failed(glue, ScriptLocation=f"{url}/none.py")


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("s3://code/none.py", "s3://code/none.py does not exist"),
        ("s3://code/../../secret", "leaves its bucket"),
        ("/not/there.py", "/not/there.py does not exist"),
        ("ftp://host/x.py", "only paths, file://, http(s):// and s3:// are known"),
        ("s3:///x.py", "names no bucket"),
        ("http://127.0.0.1:9/x.py", "cannot be read"),
    ],
)
def test_a_lost_script_fails_the_run_with_one_clear_line(glue: World, location: str, said: str) -> None:
    message = failed(glue, ScriptLocation=location)
    assert said in message
    assert "\n" not in message


def test_a_scala_script_fails_the_run_with_one_clear_line(glue: World) -> None:
    assert "Scala" in failed(glue, command="glueetl", DefaultArguments={"--job-language": "scala"})


def test_script_location_can_be_an_argument(glue: World) -> None:
    other = glue.script("print('the other')")
    run = glue.run(glue.job("print('the one')"), Arguments={"--scriptLocation": other})
    assert glue.output(run) == ["the other"]


def test_modules_beside_a_local_script_can_be_imported(glue: World) -> None:
    glue.script("WORD = 'beside'", "neighbour.py")
    assert glue.output(glue.run(glue.job("import neighbour; print(neighbour.WORD)"))) == ["beside"]


def test_extra_python_files_and_archives_can_be_imported(glue: World) -> None:
    code = bucket(glue, "libs")
    (code / "single.py").write_text("WORD = 'single'")
    with zipfile.ZipFile(code / "pack.zip", "w") as archive:
        archive.writestr("packed/__init__.py", "WORD = 'packed'")
    job = glue.job(
        "import single, packed; print(single.WORD, packed.WORD)",
        DefaultArguments={"--extra-py-files": "s3://libs/single.py, s3://libs/pack.zip"},
    )
    assert glue.output(glue.run(job)) == ["single packed"]


def test_a_bad_archive_fails_the_run_with_one_clear_line(glue: World) -> None:
    (bucket(glue, "libs") / "bad.zip").write_text("no archive")
    said = failed(glue, DefaultArguments={"--extra-py-files": "s3://libs/bad.zip"})
    assert "s3://libs/bad.zip is no zip archive" in said


def test_extra_files_lie_in_the_working_directory(glue: World) -> None:
    (bucket(glue, "conf") / "settings.json").write_text('{"a": 1}')
    job = glue.job("print(open('settings.json').read())", DefaultArguments={"--extra-files": "s3://conf/settings.json"})
    assert glue.output(glue.run(job)) == ['{"a": 1}']


def test_additional_modules_are_installed_once(glue: World) -> None:
    name = "tiny_module-1.0-py3-none-any.whl"
    with zipfile.ZipFile(bucket(glue, "wheels") / name, "w") as wheel:
        wheel.writestr("tiny_module.py", "WORD = 'tiny'")
        wheel.writestr("tiny_module-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-module\nVersion: 1.0\n")
        wheel.writestr(
            "tiny_module-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny_module-1.0.dist-info/RECORD", "")
    arguments = {
        "--additional-python-modules": f"s3://wheels/{name}",
        "--python-modules-installer-option": "--no-index --no-deps",
    }
    job = glue.job("import tiny_module; print(tiny_module.WORD, tiny_module.__file__)", DefaultArguments=arguments)
    first, second = glue.output(glue.run(job)), glue.output(glue.run(job))
    assert first[0].startswith("tiny ")
    assert first == second


@pytest.mark.long
def test_a_module_that_cannot_be_installed_fails_the_run_with_one_clear_line(glue: World) -> None:
    arguments = {
        "--additional-python-modules": "no-such-module-anywhere",
        "--python-modules-installer-option": "--no-index",
    }
    assert "no-such-module-anywhere" in failed(glue, DefaultArguments=arguments)


def test_customer_variables_are_in_the_environment_and_no_others(glue: World) -> None:
    given = 'CUSTOMER_A=1,CUSTOMER_B="2,3",OTHER=x'
    text = "import json, os; print(json.dumps([os.environ.get(x) for x in ('CUSTOMER_A', 'CUSTOMER_B', 'OTHER')]))"
    run = glue.run(glue.job(text, DefaultArguments={"--customer-driver-env-vars": given}))
    assert json.loads(glue.output(run)[0]) == ["1", "2,3", None]


def test_boto3_in_a_script_finds_this_server_for_all_that_it_answers(glue: World) -> None:
    text = """
import boto3
for service in ("glue", "logs", "sts", "iam"):
    client = boto3.client(service)
    print(client.meta.endpoint_url)
    client.close()
"""
    assert glue.output(glue.run(glue.job(text))) == [glue.url] * 4


def test_without_dev_a_script_must_lie_where_the_server_allows(tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("print('no')")
    with live_server(tmp_path, "--token", "secret") as url:
        world = World(url, tmp_path, key="operator", secret="secret")
        world.http.headers["Authorization"] = "Bearer secret"
        try:
            said = failed(world, ScriptLocation=str(outside))
            assert "outside the folders that this server allows" in said
            assert "allowed_paths" in said
            inside = tmp_path / "data" / "files" / "main.py"
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.write_text("print('yes')")
            assert world.output(world.run(world.job(ScriptLocation=str(inside)))) == ["yes"]
        finally:
            world.close()
