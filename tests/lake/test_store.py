"""The object store: the folder and the bucket keep the same promises, so one suite asks both.

The bucket is moto's, which honours If-Match and If-None-Match on writes. Its check and its write are two steps, so
races are tried on the folder only, where the promise is ours; on S3 it is Amazon's.
"""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlake.lake.store import Conflict, FolderStore, NoSuchObject, ObjectStore, S3Store, StoreError, open_store


@pytest.fixture(params=["folder", "bucket/with/prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store(tmp_path / "lake")
    bucket = request.getfixturevalue("bucket")
    return open_store(f"s3://{bucket}{request.param.removeprefix('bucket')}")


def keys(store: ObjectStore, *arguments: Any, **named: Any) -> list[str]:
    return [info.key for info in store.list(*arguments, **named)]


def put_quickly(store: ObjectStore, key: str) -> None:
    if isinstance(store, S3Store):  # moto runs in this process: no need to ask it over HTTP a thousand times
        from moto.s3.models import s3_backends

        prefix = store.root.removeprefix(f"s3://{store.bucket}").strip("/")
        s3_backends["123456789012"]["aws"].put_object(store.bucket, f"{prefix}/{key}".strip("/"), b"")
    else:
        store.put(key, b"")


def test_what_was_put_is_read_back(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    etag = store.put("a/b.txt", b"hello")
    assert store.get("a/b.txt") == b"hello"
    assert store.get_with_etag("a/b.txt") == (b"hello", etag)
    info = store.head("a/b.txt")
    assert info is not None
    assert (info.key, info.size, info.etag) == ("a/b.txt", 5, etag)
    assert before <= info.modified <= datetime.now(UTC) + timedelta(seconds=2)
    assert list(store.list()) == [info]


def test_the_same_content_has_the_same_etag_and_other_content_another(store: ObjectStore) -> None:
    first, second, third = store.put("k", b"one"), store.put("k", b"two"), store.put("other", b"one")
    assert first == third != second


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""
    with store.open("empty") as stream:
        assert stream.read() == b""


def test_open_streams_and_seeks(store: ObjectStore) -> None:
    data = bytes(range(256)) * 20_000  # 5 MB, more than any buffer on the way
    store.put("big", data)
    with store.open("big") as stream:
        assert stream.read(3) == data[:3]
        assert stream.seek(-1000, 2) == len(data) - 1000
        assert stream.read() == data[-1000:]
        assert stream.read() == b""
        stream.seek(1_000_001)
        assert stream.read(10) == data[1_000_001:1_000_011]
        stream.seek(0)
        assert stream.read() == data


def test_what_is_not_there_is_said(store: ObjectStore) -> None:
    store.put("a/b", b"")
    for missing in ("a", "a/b/c", "nothing"):
        assert store.head(missing) is None
        for read in (store.get, store.get_with_etag, store.open):
            with pytest.raises(NoSuchObject, match=f"{store.root}/{missing}"):
                read(missing)
    store.delete(["nothing"])


def test_lists_in_the_order_of_the_keys_bytes(store: ObjectStore) -> None:
    names = ["a/c", "a-b", "a/b/x", "a", "a0", "b/é", "b/z", "b/~", "B"]
    if isinstance(store, FolderStore):
        names.remove("a")  # a folder can't be a file too
    for name in names:
        store.put(name, b"x")
    assert keys(store) == sorted(names, key=str.encode)
    assert keys(store, "a/") == ["a/b/x", "a/c"]
    assert keys(store, "a/b") == ["a/b/x"]
    assert keys(store, "b/") == ["b/z", "b/~", "b/é"]
    assert keys(store, "none/") == []


def test_start_after_leaves_out_all_keys_up_to_it(store: ObjectStore) -> None:
    for name in ("h/00/x", "h/01/x", "h/01/y", "h/02/x"):
        store.put(name, b"x")
    assert keys(store, "h/", start_after="h/01/x") == ["h/01/y", "h/02/x"]
    assert keys(store, "h/", start_after="h/01") == ["h/01/x", "h/01/y", "h/02/x"]
    assert keys(store, "h/", start_after="h/01/zzz") == ["h/02/x"]
    assert keys(store, start_after="h/02/x") == []


@given(
    names=st.sets(st.lists(st.sampled_from(["a", "b", "a-", "é", "0"]), min_size=1, max_size=4).map("/".join)),
    prefix=st.text("ab-/é0", max_size=4),
    after=st.text("ab-/é0~", max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_a_folder_lists_as_s3_would(names: set[str], prefix: str, after: str, tmp_path_factory: Any) -> None:
    leaves = {name for name in names if not any(other.startswith(name + "/") for other in names)}
    store = FolderStore(tmp_path_factory.mktemp("lake"))
    for name in leaves:
        store.put(name, b"")
    expected = sorted(
        (n for n in leaves if n.startswith(prefix) and n.encode() > after.encode()), key=lambda n: n.encode()
    )
    assert keys(store, prefix, after) == expected


def test_pages_of_more_than_a_thousand(store: ObjectStore) -> None:
    names = [f"many/{i:04d}" for i in range(1005)]
    for name in names:
        put_quickly(store, name)
    assert keys(store, "many/") == names
    store.delete(names[1:])
    assert keys(store) == names[:1]


def test_folders_are_what_follows_up_to_the_next_slash(store: ObjectStore) -> None:
    for name in ("t/dt=1/hour=0/f", "t/dt=1/hour=1/f", "t/dt=2/f", "t/file"):
        store.put(name, b"")
    assert store.folders("t/") == ["t/dt=1/", "t/dt=2/"]
    assert store.folders("t/dt=1/") == ["t/dt=1/hour=0/", "t/dt=1/hour=1/"]
    assert store.folders("t/dt=") == ["t/dt=1/", "t/dt=2/"]
    assert store.folders() == ["t/"]
    assert store.folders("u/") == []
    store.delete(["t/dt=2/f"])
    assert store.folders("t/") == ["t/dt=1/"]


def test_if_none_match_writes_once_only(store: ObjectStore) -> None:
    store.put("k", b"first", if_none_match=True)
    with pytest.raises(Conflict):
        store.put("k", b"second", if_none_match=True)
    assert store.get("k") == b"first"


def test_if_match_writes_only_over_what_was_seen(store: ObjectStore) -> None:
    seen = store.put("k", b"one")
    store.put("k", b"two", if_match=seen)
    with pytest.raises(Conflict):
        store.put("k", b"three", if_match=seen)
    assert store.get("k") == b"two"


def test_if_match_of_what_is_not_there_conflicts(store: ObjectStore) -> None:
    with pytest.raises(Conflict):
        store.put("k", b"one", if_match="0" * 32)
    assert store.head("k") is None


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.flowlake-x"])
def test_a_key_that_leads_elsewhere_is_none(store: ObjectStore, key: str) -> None:
    for use in (store.get, store.head, store.open, lambda k: store.put(k, b""), lambda k: store.delete([k])):
        with pytest.raises(StoreError, match="is no key"):
            use(key)


def test_a_store_can_be_pickled(store: ObjectStore) -> None:
    store.put("k", b"v")
    other = pickle.loads(pickle.dumps(store))
    assert other.root == store.root
    assert other.get("k") == b"v"


@pytest.mark.parametrize("place", ["", "gs://bucket/x", "s3://", "s3:///prefix"])
def test_what_is_no_place_is_said(place: str) -> None:
    with pytest.raises(StoreError):
        open_store(place)


def test_roots_have_no_slash_at_their_end(tmp_path: Path) -> None:
    assert open_store("s3://b").root == open_store("s3://b/").root == "s3://b"
    assert open_store("s3://b/p/q/").root == "s3://b/p/q"
    assert open_store(f"{tmp_path}/x/").root == f"{tmp_path}/x"


def test_a_lake_may_be_a_whole_bucket(bucket: str) -> None:
    store = open_store(f"s3://{bucket}")
    store.put("a/b", b"v")
    assert keys(store) == ["a/b"]
    assert store.folders() == ["a/"]
    assert keys(open_store(f"s3://{bucket}/a")) == ["b"]


def test_a_consoles_mark_of_a_folder_is_no_object(bucket: str) -> None:
    store = S3Store(f"s3://{bucket}")
    for key, content in (("raw/", b""), ("raw/day/", b""), ("raw/day/a.log", b"x")):
        store.client.put_object(Bucket=bucket, Key=key, Body=content)
    assert keys(store) == ["raw/day/a.log"]


def test_a_missing_bucket_is_said(aws: str) -> None:
    for use in (lambda s: list(s.list()), lambda s: s.put("k", b""), lambda s: s.get("k")):
        with pytest.raises(StoreError, match="there is no bucket nowhere"):
            use(open_store("s3://nowhere/x"))


def test_without_credentials_the_error_says_so(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match=r"s3://b.*[Cc]redentials"):
        list(open_store("s3://b").list())


def test_a_broken_connection_is_taken_up_where_it_stopped(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ReadTimeoutError
    from botocore.response import StreamingBody

    data = bytes(range(256)) * 8_000  # 2 MB: two buffers
    store = S3Store(f"s3://{bucket}")
    store.put("k", data)
    read, reads = StreamingBody.read, []

    def breaking(self: Any, amt: Any = None) -> Any:
        reads.append(amt)
        if len(reads) == 2:
            raise ReadTimeoutError(endpoint_url="s3")
        return read(self, amt if amt is None else min(amt, 1_500_000))

    monkeypatch.setattr(StreamingBody, "read", breaking)
    with store.open("k") as stream:
        assert stream.read(1_000_000) + stream.read(1_048_000) == data
    assert len(reads) > 2


def test_a_write_whose_answer_was_lost_does_not_conflict_with_itself(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    store = S3Store(f"s3://{bucket}")
    put = store.client.put_object

    def answer_lost(**arguments: Any) -> Any:
        put(**arguments)
        answer = {
            "Error": {"Code": "PreconditionFailed"},
            "ResponseMetadata": {"HTTPStatusCode": 412, "RetryAttempts": 1},
        }
        raise ClientError(answer, "PutObject")

    monkeypatch.setattr(store.client, "put_object", answer_lost)
    etag = store.put("k", b"mine", if_none_match=True)
    assert store.get_with_etag("k") == (b"mine", etag)


# ---- the folder alone ------------------------------------------------------------------------------------------------


def test_unfinished_writes_are_not_listed_and_leave_nothing_behind(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a/k", b"v")
    (tmp_path / "a" / ".flowlake-unfinished").write_bytes(b"half")
    assert keys(store) == ["a/k"]
    with pytest.raises(Conflict):
        store.put("b/k", b"v", if_match="something else")
    assert not [
        p for p in tmp_path.rglob(".flowlake-*") if p.is_file() and "locks" not in str(p) and p.parent.name != "a"
    ]


def test_a_deleted_folder_is_gone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a/b/c/k", b"v")
    store.delete(["a/b/c/k"])
    assert not (tmp_path / "a").exists()
    assert tmp_path.exists()


def test_an_etag_follows_a_change_made_behind_the_stores_back(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    before = store.put("k", b"one")
    (tmp_path / "k").write_bytes(b"two")
    after = store.head("k")
    assert after is not None
    assert after.etag != before


def _count_up(root: str, times: int) -> None:
    store = open_store(root)
    for _ in range(times):
        while True:
            data, etag = store.get_with_etag("counter")
            try:
                store.put("counter", str(int(data) + 1).encode(), if_match=etag)
                break
            except Conflict:
                continue


def test_no_conditional_write_is_lost_between_processes_and_threads(tmp_path: Path) -> None:
    # 2 processes x 100 and 2 threads x 100, each adding one to what it read: 400, or one was lost.
    FolderStore(tmp_path).put("counter", b"0")
    spawn = multiprocessing.get_context("spawn")
    workers: list[Any] = [spawn.Process(target=_count_up, args=(str(tmp_path), 100)) for _ in range(2)]
    workers += [threading.Thread(target=_count_up, args=(str(tmp_path), 100)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert FolderStore(tmp_path).get("counter") == b"400"


def test_only_one_of_many_creates(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    won: list[int] = []

    def create(number: int) -> None:
        try:
            store.put("once", str(number).encode(), if_none_match=True)
            won.append(number)
        except Conflict:
            pass

    threads = [threading.Thread(target=create, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get("once") == str(won[0]).encode()
