"""A face's own definitions: versions, keys, pages, and who wins when two write."""

from __future__ import annotations

import pytest

from runyard.core.errors import Code, RunyardError
from tests.engine.bench import Bench


def test_a_document_is_kept_under_its_key_and_counts_its_versions() -> None:
    bench = Bench()
    documents = bench.engine.documents
    first = documents.create("tinybird", "pipe", "top", {"nodes": [1]}, "ann").result()
    second = documents.replace("tinybird", "pipe", "top", {"nodes": []}, "bob", version=1).result()
    assert (first.version, second.version, second.updated_by) == (1, 2, "bob")
    assert second.created_at == first.created_at
    assert documents.get("tinybird", "pipe", "top") == second


def test_a_change_of_an_outdated_version_is_refused_and_changes_nothing() -> None:
    bench = Bench()
    documents = bench.engine.documents
    kept = documents.put("glue", "workflow", "nightly", {"a": 1}, "ann").result()
    with pytest.raises(RunyardError) as refused:
        documents.replace("glue", "workflow", "nightly", {"a": 2}, "ann", version=7).result()
    assert refused.value.code is Code.CONFLICT
    assert documents.get("glue", "workflow", "nightly") == kept


def test_a_taken_key_a_missing_one_and_an_empty_one_are_refused() -> None:
    documents = Bench().engine.documents
    documents.create("glue", "trigger", "t", {}, "ann").result()
    for code, ask in (
        (Code.ALREADY_EXISTS, lambda: documents.create("glue", "trigger", "t", {}, "ann").result()),
        (Code.NOT_FOUND, lambda: documents.replace("glue", "trigger", "u", {}, "ann").result()),
        (Code.NOT_FOUND, lambda: documents.get("glue", "trigger", "u")),
        (Code.INVALID, lambda: documents.put("glue", "trigger", "", {}, "ann").result()),
        (Code.INVALID, lambda: documents.find("glue", "trigger", limit=0)),
    ):
        with pytest.raises(RunyardError) as refused:
            ask()
        assert refused.value.code is code


def test_kinds_dialects_and_workspaces_do_not_see_each_other() -> None:
    documents = Bench().engine.documents
    documents.create("glue", "trigger", "t", {"n": 1}, "ann").result()
    documents.create("glue", "workflow", "t", {"n": 2}, "ann").result()
    documents.create("tinybird", "trigger", "t", {"n": 3}, "ann").result()
    documents.create("glue", "trigger", "t", {"n": 4}, "ann", workspace="other").result()
    assert [one.body["n"] for one in documents.find("glue", "trigger").items] == [1]
    assert documents.get("glue", "trigger", "t", workspace="other").body == {"n": 4}


def test_pages_follow_the_keys_and_a_prefix_narrows_them() -> None:
    documents = Bench().engine.documents
    keys = ["a", "a/1", "a/2", "a/é", "b", "Z", "ab"]
    for key in keys:
        documents.create("dbx", "file", key, {}, "ann").result()
    seen: list[str] = []
    cursor = None
    while True:
        page = documents.find("dbx", "file", limit=3, cursor=cursor)
        seen += [one.key for one in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == sorted(keys)
    assert [one.key for one in documents.find("dbx", "file", prefix="a/").items] == ["a/1", "a/2", "a/é"]


def test_a_deleted_document_is_gone_and_says_whether_it_was_there() -> None:
    documents = Bench().engine.documents
    documents.create("glue", "trigger", "t", {}, "ann").result()
    assert documents.delete("glue", "trigger", "t", "ann").result() is True
    assert documents.delete("glue", "trigger", "t", "ann").result() is False
    assert documents.create("glue", "trigger", "t", {}, "ann").result().version == 1
