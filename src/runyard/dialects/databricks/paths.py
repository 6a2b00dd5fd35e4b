"""Where this service's paths lie on our disk. Pure: texts in, texts out."""

from __future__ import annotations

import posixpath

import msgspec

from runyard.core.errors import RunyardError, invalid

_WORKSPACE = ("Workspace", "Users", "Repos", "Shared")


class Roots(msgspec.Struct, frozen=True):
    """The folders of DBFS, of the workspace's files and of stored queries, absolute."""

    dbfs: str
    workspace: str
    queries: str

    @classmethod
    def below(cls, folder: str) -> Roots:
        """Those of a data folder. DBFS is the folder of shared files, which programs reach as `dbutils.fs`."""
        return cls(f"{folder}/files", f"{folder}/databricks/workspace", f"{folder}/databricks/queries")


def inside(root: str, path: str) -> str:
    """A path below a root; what would leave it, or could not be a name, is refused."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path:
        raise invalid(f"The path {path!r} is not allowed: it may not hold '..'.")
    return posixpath.join(root, *parts)


def dbfs(roots: Roots, path: str) -> str:
    """`dbfs:/x`, `/dbfs/x` or, in calls on DBFS itself, `/x`."""
    plain = path.removeprefix("dbfs:")
    if not plain.startswith("/"):
        raise _absolute(path)
    return inside(roots.dbfs, plain.removeprefix("/dbfs/") if plain.startswith("/dbfs/") else plain)


def workspace(roots: Roots, path: str) -> str:
    """`/Users/x` and the same below `/Workspace`."""
    if not path.startswith("/"):
        raise _absolute(path)
    return inside(roots.workspace, path.removeprefix("/Workspace/") if path.startswith("/Workspace/") else path)


def file(roots: Roots, path: str) -> str:
    """A program's file: on DBFS, in the workspace, or an absolute path on the server."""
    if path.startswith(("dbfs:", "/dbfs/")):
        return dbfs(roots, path)
    if path.startswith("file:/"):
        return "/" + path.removeprefix("file:").lstrip("/")
    if path.startswith("/"):
        first = path.split("/")[1]
        return workspace(roots, path) if first in _WORKSPACE else path
    scheme = path.split(":")[0] if ":" in path else ""
    if scheme:
        raise invalid(f"{path!r} cannot be read here: files lie on dbfs:/, in the workspace, or on the server's disk.")
    raise _absolute(path)


def _absolute(path: str) -> RunyardError:
    return invalid(f"Path must be absolute: {path}")
