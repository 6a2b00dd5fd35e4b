"""Jobs and their versions, queues, principals, submissions, bookmarks, deliveries."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from runyard.core.errors import Code, RunyardError
from runyard.core.model import Bookmark, Document, Principal, Queue
from runyard.core.query import JobFilter
from runyard.store.base import Delivery, Store, Submission
from tests.store.make import NOW, SPEC, a_job, transaction, write

# --- jobs ---


def test_a_job_is_given_back_with_its_newest_definition(store: Store) -> None:
    job = a_job(key="etl", extras={"glue": {"WorkerType": "G.1X"}})
    newer = replace(job, version=2, spec=replace(SPEC, name="renamed"), updated_at=NOW + 1, owner="bob", key="elt")
    write(store, job)
    write(store, newer)
    with store.reading() as reads:
        assert reads.job(job.id) == newer
        assert reads.job(job.id + 1) is None
        assert [one.version for one in reads.job_versions(job.id, None)] == [2, 1]
        assert [one.spec for one in reads.job_versions(job.id, 1)] == [SPEC]
        assert reads.job_versions(job.id, 3) == []


def test_a_jobs_key_is_unique_within_its_workspace_and_origin(store: Store) -> None:
    job = a_job(key="etl")
    write(store, job)
    write(store, a_job(key="etl", origin="glue"), a_job(key="etl", workspace="other"), a_job(), a_job())
    with pytest.raises(RunyardError) as refused:
        write(store, a_job(key="etl"))
    assert refused.value.code is Code.ALREADY_EXISTS
    with store.reading() as reads:
        assert reads.job_by_key("default", "native", "etl") == job
        assert reads.job_by_key("default", "native", "nothing") is None


def test_a_deleted_job_frees_its_key_and_is_not_listed(store: Store) -> None:
    gone = a_job(key="etl")
    write(store, gone)
    with transaction(store) as session:
        session.put(replace(gone, deleted_at=NOW))
    fresh = a_job(key="etl")
    write(store, fresh)
    with store.reading() as reads:
        assert reads.job_by_key("default", "native", "etl") == fresh
        assert reads.jobs(JobFilter(), 10, None) == [fresh]
        found = reads.job(gone.id)
        assert found is not None
        assert found.deleted_at == NOW


def test_jobs_are_listed_newest_first_by_any_filters(store: Store) -> None:
    jobs = [
        a_job(key=f"{name}-{origin}-{workspace}", origin=origin, workspace=workspace, spec=replace(SPEC, name=name))
        for name in ("a", "b")
        for origin in ("native", "glue")
        for workspace in ("default", "other")
    ]
    write(store, *jobs)
    filters = [
        JobFilter(name=name, origin=origin, workspace=workspace, key=key)
        for name in (None, "a")
        for origin in (None, "glue")
        for workspace in (None, "other")
        for key in (None, "a-glue-other", "nothing")
    ]
    with store.reading() as reads:
        for where in filters:
            wanted = [
                job
                for job in reversed(jobs)
                if where.name in (None, job.spec.name)
                and where.origin in (None, job.origin)
                and where.workspace in (None, job.workspace)
                and where.key in (None, job.key)
            ]
            assert reads.jobs(where, 100, None) == wanted
        assert reads.jobs(JobFilter(), 3, jobs[5].id) == [jobs[4], jobs[3], jobs[2]]


# --- queues and principals ---


def test_a_queue_is_changed_in_place_and_removed(store: Store) -> None:
    write(store, Queue(name="b", slots=2), Queue(name="a"))
    write(store, Queue(name="b", slots=None, priority=-3, paused=True))
    with store.reading() as reads:
        assert reads.queues() == [Queue(name="a"), Queue(name="b", priority=-3, paused=True)]
    with transaction(store) as session:
        session.delete(Queue(name="b"))
    with store.reading() as reads:
        assert reads.queues() == [Queue(name="a")]


def test_a_principal_is_changed_in_place_and_removed(store: Store) -> None:
    ann = Principal(id=1, name="ann", scopes=["runs:read", "runs:write"], created_at=NOW)
    bob = Principal(id=2, name="bob", scopes=[], created_at=NOW, expires_at=NOW + 1)
    write(store, bob, ann)
    ann = replace(ann, version=2, disabled=True, scopes=["admin"], expires_at=NOW + 5)
    write(store, ann)
    with store.reading() as reads:
        assert reads.principals() == [ann, bob]
    with transaction(store) as session:
        session.delete(bob)
    with store.reading() as reads:
        assert reads.principals() == [ann]


def test_two_principals_never_share_a_name(store: Store) -> None:
    write(store, Principal(id=1, name="ann", scopes=[], created_at=NOW))
    with pytest.raises(RunyardError) as refused:
        write(store, Principal(id=2, name="ann", scopes=["admin"], created_at=NOW))
    assert refused.value.code is Code.ALREADY_EXISTS


# --- submissions ---


def test_an_idempotency_key_is_found_in_its_own_scope(store: Store) -> None:
    first, second = Submission("a", "key", b"\x00\xff", 11, NOW), Submission("b", "key", b"other", 12, NOW + 1)
    write(store, first, second)
    with store.reading() as reads:
        assert reads.submission("a", "key") == first
        assert reads.submission("b", "key") == second
        assert reads.submission("c", "key") is None


def test_an_idempotency_key_is_used_once(store: Store) -> None:
    first = Submission("a", "key", b"1", 11, NOW)
    write(store, first)
    with pytest.raises(RunyardError) as refused:
        write(store, Submission("a", "key", b"2", 12, NOW))
    assert refused.value.code is Code.ALREADY_EXISTS
    with store.reading() as reads:
        assert reads.submission("a", "key") == first


# --- bookmarks ---


def test_a_bookmark_is_read_at_its_newest_or_as_of_a_run(store: Store) -> None:
    versions = [
        Bookmark(job_key="etl", version=n, run_id=100 * run, attempt=n, state={"n": n, "ä": [None]}, created_at=NOW)
        for n, run in enumerate([1, 1, 2, 4], 1)
    ]
    write(store, *versions, Bookmark(job_key="other", version=9, run_id=1, attempt=0, state={}, created_at=NOW))
    with store.reading() as reads:
        assert reads.bookmark("etl", None) == versions[3]
        assert reads.bookmark("etl", 100) == versions[1]
        assert reads.bookmark("etl", 399) == versions[2]
        assert reads.bookmark("etl", 99) is None
        assert reads.bookmark("nothing", None) is None


def test_two_commits_of_one_bookmark_version_are_refused(store: Store) -> None:
    one = Bookmark(job_key="etl", version=1, run_id=1, attempt=0, state={}, created_at=NOW)
    write(store, one)
    with pytest.raises(RunyardError) as refused:
        write(store, replace(one, run_id=2))
    assert refused.value.code is Code.ALREADY_EXISTS


# --- deliveries ---


def test_deliveries_are_due_in_order_until_they_are_settled(store: Store) -> None:
    later = Delivery(1, 10, "http://a/", "start", "{}", 0, NOW + 2)
    now = Delivery(2, 11, "http://b/", "failure", '{"x":1}', 3, NOW, "refused")
    write(store, later, now)
    with store.reading() as reads:
        assert reads.deliveries(NOW - 1) == []
        assert reads.deliveries(NOW) == [now]
        assert reads.deliveries(NOW + 2) == [now, later]
        assert reads.next_due() == NOW
    write(store, replace(now, attempts=4, due_at=None, error=""))
    with store.reading() as reads:
        assert reads.deliveries(NOW + 9) == [later]
        assert reads.next_due() == NOW + 2


# --- documents ---


def test_a_document_is_given_back_changed_in_place_and_removed(store: Store) -> None:
    first = Document(
        workspace="default", dialect="glue", kind="workflow", key="n/ä", version=1, body={"a": [None, "ü"]},
        created_at=NOW, updated_at=NOW, updated_by="ann",
    )  # fmt: skip
    newer = replace(first, version=2, body={}, updated_at=NOW + 1, updated_by="bob")
    write(store, first)
    write(store, newer, replace(first, key="other"))
    with store.reading() as reads:
        assert reads.document("default", "glue", "workflow", "n/ä") == newer
        assert reads.document("default", "glue", "trigger", "n/ä") is None
        assert [one.key for one in reads.documents("default", "glue", "workflow", "", None, 10)] == ["n/ä", "other"]
        assert reads.documents("default", "glue", "workflow", "n/", "n/ä", 10) == []
        assert [one.key for one in reads.documents("default", "glue", "workflow", "", "n/ä", 1)] == ["other"]
    with transaction(store) as session:
        session.delete(newer)
    with store.reading() as reads:
        assert reads.document("default", "glue", "workflow", "n/ä") is None
