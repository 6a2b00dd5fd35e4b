"""`dbutils.fs` over a folder of the server: `dbfs:/x`, `/dbfs/x` and `/x` are all `x` below it."""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

from runyard.runtime import context

HEAD_BYTES = 65_536


class FileInfo(NamedTuple):
    """One entry of a folder; `modificationTime` in milliseconds."""

    path: str
    name: str
    size: int
    modificationTime: int

    def isDir(self) -> bool:
        """Whether it is a folder."""
        return self.name.endswith("/")

    def isFile(self) -> bool:
        """Whether it is a file."""
        return not self.isDir()


class Files:
    """`dbutils.fs`. Paths that lead out of the folder, also through links, are refused with PermissionError."""

    def ls(self, path: str) -> list[FileInfo]:
        """What is in a folder, or the file itself, by name."""
        place = self._place(path)
        if os.path.isfile(place):
            return [self._info(place)]
        return [self._info(os.path.join(place, name)) for name in sorted(os.listdir(place))]

    def head(self, path: str, maxBytes: int = HEAD_BYTES) -> str:
        """The beginning of a file as text."""
        with open(self._place(path), "rb") as file:
            return file.read(int(maxBytes)).decode("utf-8", "replace")

    def put(self, path: str, contents: str, overwrite: bool = False) -> bool:
        """Writes text into a file; raises FileExistsError where there is one and `overwrite` is not set."""
        place = self._place(path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w" if overwrite else "x", encoding="utf-8", newline="") as file:
            file.write(contents)
        return True

    def mkdirs(self, path: str) -> bool:
        """Makes a folder and those above it."""
        os.makedirs(self._place(path), exist_ok=True)
        return True

    def cp(self, source: str, to: str, recurse: bool = False) -> bool:
        """Copies a file, or with `recurse` a folder; into a folder that is there under its own name."""
        here, there = self._place(source), self._target(source, to)
        if os.path.isdir(here):
            if not recurse:
                raise IsADirectoryError(f"{source} is a folder; give recurse=True to copy it.")
            shutil.copytree(here, there, symlinks=True, dirs_exist_ok=True)
        else:
            os.makedirs(os.path.dirname(there), exist_ok=True)
            shutil.copyfile(here, there)
        return True

    def mv(self, source: str, to: str, recurse: bool = False) -> bool:
        """Moves a file, or with `recurse` a folder."""
        here, there = self._place(source), self._target(source, to)
        if os.path.isdir(here) and not recurse:
            raise IsADirectoryError(f"{source} is a folder; give recurse=True to move it.")
        os.makedirs(os.path.dirname(there), exist_ok=True)
        shutil.move(here, there)
        return True

    def rm(self, path: str, recurse: bool = False) -> bool:
        """Removes a file, or with `recurse` a folder; False where there is nothing."""
        place = self._place(path)
        if place == self._root():
            raise PermissionError("The root folder itself cannot be removed.")
        if os.path.isdir(place):
            if not recurse and os.listdir(place):
                raise IsADirectoryError(f"{path} is a folder that is not empty; give recurse=True to remove it.")
            shutil.rmtree(place)
            return True
        if not os.path.lexists(place):
            return False
        os.remove(place)
        return True

    def _root(self) -> str:
        root: str | None = context.fact("files")
        if not root:
            raise RuntimeError("dbutils.fs works only inside an attempt: run the notebook as a task of a job.")
        os.makedirs(root, exist_ok=True)
        return os.path.realpath(root)

    def _place(self, path: str) -> str:
        """Where a path leads on this machine."""
        bare = path.removeprefix("dbfs:")
        if ":" in bare.partition("/")[0]:
            raise ValueError(f"{path!r} is not on this file system; paths read dbfs:/..., or /...")
        bare = bare.removeprefix("/dbfs") if bare.startswith("/dbfs/") else bare
        root = self._root()
        place = os.path.realpath(os.path.join(root, bare.lstrip("/")))
        if place != root and not place.startswith(root + "/"):
            raise PermissionError(f"{path!r} leads out of the folder of dbfs:/.")
        return place

    def _target(self, source: str, to: str) -> str:
        place = self._place(to)
        name = os.path.basename(source.rstrip("/"))
        return os.path.join(place, name) if os.path.isdir(place) and name else place

    def _info(self, place: str) -> FileInfo:
        about = os.stat(place, follow_symlinks=False)
        end = "/" if os.path.isdir(place) else ""
        path = "/" + os.path.relpath(place, self._root()) if place != self._root() else "/"
        size = 0 if end else about.st_size
        return FileInfo(f"dbfs:{path}{end}", os.path.basename(place) + end, size, about.st_mtime_ns // 1_000_000)
