"""The shape of the code is a promise too: which way imports run, what the core may do, how long things get."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "runyard"
CORE = SOURCE / "core"

# Sizes that the best code bases of this field keep.
MODULE_LINES = 600
FUNCTION_LINES = 65
LINES_PER_TYPE_IGNORE = 1000

# A pure decision reads no clock, draws no number, waits for nothing and tells nobody.
MODULES_BANNED_IN_CORE = {
    "asyncio", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil", "socket",
    "sqlite3", "subprocess", "sys", "tempfile", "threading", "time",
}  # fmt: skip
CALLS_BANNED_IN_CORE = {"open", "print", "eval", "exec", "__import__", "uuid1", "uuid4"}
CLOCK_READS = {"now", "utcnow", "today", "uuid1", "uuid4"}
VENDORS = ("aws", "databricks", "dataiku", "dremio", "glue", "tinybird")
VENDOR_WORD = re.compile(rf"(?<![a-z])({'|'.join(VENDORS)})(?![a-z])", re.IGNORECASE)

TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore")
TYPE_IGNORE_WITH_CODE_AND_REASON = re.compile(r"#\s*type:\s*ignore\[[a-z, -]+\]\s+#\s*\w+")

# Assembled from halves, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(r"(?<![\w.*)}$~-])/(?:wor" + r"k|roo" + r"t|opt/py" + r"pi)/")
REGISTRY_HOST = re.compile(
    "pythonhos" + r"ted\.org|py" + r"pi\.org/simple|registry\.np" + r"mjs|deb\.debi" + r"an\.org"
    "|--(?:extra-)?index" + "-url|--find" + "-links"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_imports_keep_to_the_contracts() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "import os.path",
        "from time import monotonic",
        "import datetime\nnow = datetime.datetime.now()",
        "from datetime import datetime\nnow = datetime.utcnow()",
        "import uuid\nkey = uuid.uuid4()",
        "from uuid import uuid4\nkey = uuid4()",
        "read = open",
        "print('done')",
    ],
)
def test_the_lint_of_the_core_finds_what_is_banned(text: str) -> None:
    assert list(_impurities(ast.parse(text)))


def test_the_core_reads_no_clock_and_does_no_io() -> None:
    found = [f"{_name(path)}:{finding}" for path in _modules(CORE) for finding in _impurities(_tree(path))]
    assert not found, _report("the core must stay pure", found)


def test_the_core_names_no_vendor() -> None:
    found = [
        f"{_name(path)}:{number}: {match.group()}"
        for path in sorted(CORE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := VENDOR_WORD.search(line)) and not line.startswith("SqlDialect = ")
    ]
    assert not found, _report("the core knows no vendor; the word belongs in a dialect", found)


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in _modules(SOURCE)}
    found = [f"{_name(path)}: {lines} lines" for path, lines in lengths.items() if lines > MODULE_LINES]
    assert not found, _report(f"a module has at most {MODULE_LINES} lines", found)


def test_no_function_is_longer_than_a_screen() -> None:
    found = [
        f"{_name(path)}:{function.lineno}: {function.name} has {_lines(function)} lines"
        for path in _modules(SOURCE)
        for function in _functions(_tree(path))
        if _lines(function) > FUNCTION_LINES
    ]
    assert not found, _report(f"a function has at most {FUNCTION_LINES} lines", found)


def test_every_type_ignore_has_its_code_and_its_reason() -> None:
    found = [where for where, line in _type_ignores() if not TYPE_IGNORE_WITH_CODE_AND_REASON.search(line)]
    assert not found, _report("write `type: ignore[code]  # why it is right`", found)


def test_type_ignores_stay_rare() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in _modules(SOURCE))
    allowed = max(1, lines // LINES_PER_TYPE_IGNORE)
    found = [where for where, _ in _type_ignores()]
    assert len(found) <= allowed, _report(f"{lines} lines may hold {allowed}", found)


def test_every_direct_dependency_has_a_lower_and_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"].get("optional-dependencies", {}).values()
    groups = [project["project"]["dependencies"], *extras, *project["dependency-groups"].values()]
    found = [text for group in groups for text in group if ">=" not in text or "<" not in text]
    assert not found, _report("one unbounded dependency is enough to break a release", found)


def test_no_tracked_file_names_a_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in _tracked_files()
        for number, line in enumerate(_text(path).splitlines(), 1)
        if (match := MACHINE_PATH.search(line) or REGISTRY_HOST.search(line))
    ]
    assert not found, _report("a clone must work on any machine and with any registry", found)


def _impurities(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                banned = {alias.name.split(".")[0] for alias in names} & MODULES_BANNED_IN_CORE
            case ast.ImportFrom(module=str(module), names=names):
                banned = {module.split(".")[0]} & MODULES_BANNED_IN_CORE
                banned |= {alias.name for alias in names} & CALLS_BANNED_IN_CORE
            case ast.Name(id=name):
                banned = {name} & CALLS_BANNED_IN_CORE
            case ast.Attribute(value=value, attr=attribute):
                banned = {ast.unparse(node)} if attribute in CLOCK_READS and _is_clock(value) else set()
            case _:
                continue
        for name in banned:
            yield f"{node.lineno}: {name}"


def _is_clock(value: ast.expr) -> bool:
    return ast.unparse(value) in {"datetime", "datetime.datetime", "date", "datetime.date", "uuid"}


def _type_ignores() -> Iterator[tuple[str, str]]:
    for path in _modules(SOURCE):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if TYPE_IGNORE.search(line):
                yield f"{_name(path)}:{number}: {line.strip()}", line


def _functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def _tracked_files() -> list[Path]:
    """What git tracks or is about to; a copy without its history has nothing to say here."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    run = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in run.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def _text(path: Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode()


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE.parent))


def _report(promise: str, found: list[str]) -> str:
    return "\n  ".join([f"{promise}:", *found])
