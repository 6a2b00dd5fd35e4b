"""What the tasks of one job are compiled with. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from runyard.core.actions import Checkout
from runyard.core.errors import invalid
from runyard.dialects.databricks import paths, refs
from runyard.dialects.databricks.refs import Around

Settings = dict[str, Any]


class Spark(msgspec.Struct, frozen=True):
    """An installation of Spark, from the options of the same names."""

    spark_home: str
    spark_master: str = "local[*]"
    java_home: str = ""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition is compiled with: where files lie, what the server is called, what its settings allow."""

    roots: paths.Roots
    url: str = ""
    one_time: bool = False
    mail: bool = False
    """Whether there is a mail server."""
    destinations: dict[str, dict[str, Any]] = {}
    """Where webhooks go, by the ids that settings name."""
    record_only: bool = False
    """Accept tasks that cannot run here; they are kept, shown and passed over."""
    spark: Spark | None = None


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What the tasks of one job share."""

    surroundings: Surroundings
    parameters: tuple[str, ...]
    """Names of the job's parameters: pushed to every task that takes named values."""
    clusters: frozenset[str]
    environments: dict[str, Settings]
    variables: dict[str, dict[str, str]]
    """Environment variables by the key that tasks name."""
    git: Settings | None
    location: str
    """Where the job's file arrival trigger looks."""
    continuous: bool

    @classmethod
    def of(cls, settings: Settings, surroundings: Surroundings) -> Parts:
        """Those of a job."""
        return cls(
            surroundings=surroundings,
            parameters=tuple(one["name"] for one in settings.get("parameters", [])),
            clusters=frozenset(one["job_cluster_key"] for one in settings.get("job_clusters", [])),
            environments={one["environment_key"]: one.get("spec", {}) for one in settings.get("environments", [])},
            variables={
                one.get("environment_variables_key", ""): one.get("spec", {}).get("variables", {})
                for one in settings.get("environment_variables", [])
            },
            git=settings.get("git_source"),
            location=settings.get("trigger", {}).get("file_arrival", {}).get("url", ""),
            continuous="continuous" in settings or any("continuous" in one for one in settings.get("triggers", [])),
        )

    def refs(self, value: Any, **more: Any) -> Any:
        """The value with its references turned into the core's."""
        ours = self.surroundings
        return refs.compiled(value, Around(url=ours.url, one_time=ours.one_time, location=self.location, **more))

    def checkout(self, given: Settings) -> Checkout | None:
        """The repository of a task whose file is in one: those of a job with git_source, unless they say otherwise."""
        source = given.get("source", "GIT" if self.git else "WORKSPACE")
        if source != "GIT":
            return None
        if self.git is None:
            raise invalid("source is GIT, but the job has no git_source.")
        refs_of = {"branch": "git_branch", "tag": "git_tag", "commit": "git_commit"}
        named = {ours: self.git[theirs] for ours, theirs in refs_of.items() if self.git.get(theirs)}
        return Checkout(url=self.git["git_url"], **named)

    def environment(self, settings: Settings) -> dict[str, str]:
        """The environment variables that a task names."""
        key = settings.get("environment_variables_key")
        if key is not None and key not in self.variables:
            raise invalid(f"environment_variables_key {key!r} names no entry of environment_variables.")
        found: dict[str, str] = self.refs(self.variables.get(key or "", {}))
        return found

    def packages(self, settings: Settings) -> tuple[list[str], list[str]]:
        """Requirements and wheels that a task asks for: its libraries, and those of its environment."""
        requirements, wheels = [], []
        for one in settings.get("libraries", []):
            if "whl" in one:
                wheels.append(self._file(one["whl"]))
            elif "pypi" in one:
                requirements.append(one["pypi"].get("package", ""))
        environment = self.environments.get(settings.get("environment_key", ""), {})
        for text in environment.get("dependencies", []):
            is_file = text.startswith(("/", "dbfs:", "file:")) and text.endswith(".whl")
            (wheels if is_file else requirements).append(self._file(text) if is_file else text)
        return requirements, wheels

    def _file(self, path: str) -> str:
        return path if path.startswith(("http://", "https://")) else paths.file(self.surroundings.roots, path)

    def named(self, own: dict[str, str], **more: Any) -> dict[str, str]:
        """A task's named values with the job's parameters over them: those win."""
        return {**self.refs(own, **more), **{name: f"{{{{ parameters.`{name}` }}}}" for name in self.parameters}}
