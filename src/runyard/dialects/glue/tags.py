"""Tags of jobs, triggers and workflows, by ARN. Source: AWS Glue Developer Guide, 'AWS tags in AWS Glue'."""

from __future__ import annotations

import re
from collections.abc import Callable

from runyard.core.errors import if_found, invalid
from runyard.dialects.glue import tables
from runyard.dialects.glue.call import Caller, Json, Op
from runyard.dialects.glue.errors import missing
from runyard.engine.documents import MAX_PAGE, Documents

_ARN = re.compile(r"arn:aws[^:]*:glue:([^:]*):([^:]*):([a-zA-Z]+)/(.+)", re.DOTALL)
MAX_TAGS = 50
KIND = "tags"


class Tags:
    """Handlers, and what other families keep as tags. `exists` is told by each family for its kind of resource."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.exists: dict[str, Callable[[str], bool]] = {}

    def operations(self) -> tuple[Op, ...]:
        """The operations of this family."""
        return (
            Op("TagResource", "jobs:write", self.tag),
            Op("UntagResource", "jobs:write", self.untag),
            Op("GetTags", "jobs:read", self.get),
        )

    def of(self, kind: str, name: str) -> dict[str, str]:
        """The tags of a resource."""
        kept = if_found(self._documents.get, tables.NAME, KIND, f"{kind}/{name}")
        return dict(kept.body) if kept is not None else {}

    def having(self, kind: str, wanted: dict[str, str]) -> list[str]:
        """The names of all resources of a kind that have these tags, in order."""
        names: list[str] = []
        cursor = None
        while True:
            page = self._documents.find(tables.NAME, KIND, limit=MAX_PAGE, cursor=cursor, prefix=f"{kind}/")
            names += [one.key.partition("/")[2] for one in page.items if wanted.items() <= one.body.items()]
            cursor = page.next
            if cursor is None:
                return names

    async def replace(self, kind: str, name: str, tags: dict[str, str], by: str) -> None:
        """Keeps these tags and no others."""
        if tags:
            await self._documents.put(tables.NAME, KIND, f"{kind}/{name}", tags, by)
        else:
            await self.drop(kind, name, by)

    async def drop(self, kind: str, name: str, by: str) -> None:
        """Forgets the tags of a resource that is gone."""
        await self._documents.delete(tables.NAME, KIND, f"{kind}/{name}", by)

    async def tag(self, asked: Json, who: Caller) -> Json:
        """TagResource"""
        kind, name = self._resource(asked["ResourceArn"], who)
        tags = {**self.of(kind, name), **asked["TagsToAdd"]}
        if len(tags) > MAX_TAGS:
            raise invalid(f"A resource has at most {MAX_TAGS} tags; it would have {len(tags)}.")
        await self.replace(kind, name, tags, who.by)
        return {}

    async def untag(self, asked: Json, who: Caller) -> Json:
        """UntagResource"""
        kind, name = self._resource(asked["ResourceArn"], who)
        gone = set(asked["TagsToRemove"])
        await self.replace(kind, name, {k: v for k, v in self.of(kind, name).items() if k not in gone}, who.by)
        return {}

    async def get(self, asked: Json, who: Caller) -> Json:
        """GetTags"""
        return {"Tags": self.of(*self._resource(asked["ResourceArn"], who))}

    def _resource(self, arn: str, who: Caller) -> tuple[str, str]:
        found = _ARN.fullmatch(arn)
        if found is None:
            raise invalid(f"{arn!r} is no ARN of a job, trigger or workflow: {who.arn('job', 'NAME')}.")
        kind, name = found.group(3).lower(), found.group(4)
        if kind not in self.exists or not self.exists[kind](name):
            raise missing(f"Entity not found: {arn}")
        return kind, name
