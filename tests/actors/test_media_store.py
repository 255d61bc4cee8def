"""Media out of their tables: written once, found again by range, and never another's."""

import hashlib
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow.fs import LocalFileSystem

from actors import media_pack, media_store
from actors.media_pack import whereabouts
from actors.media_store import MediaReferenceError, MediaStore, without_bytes
from schemas.arrow import groups_from_table, groups_to_table, pairs_to_table
from schemas.digests import digest_rows
from schemas.rows import Candidate, Group, Media, Pair, Prompt

PNG = b"\x89PNG" + bytes(range(200)) * 20
JPEG = b"\xff\xd8\xff" + b"jpeg" * 900
CLIP = b"\0\0\0\x20ftypisom" + b"clip" * 900
SMALL = b"\x89PNG small"


def table_of(*data: bytes | None) -> pa.Table:
    """One group whose candidates have these media, and one without any."""
    candidates = [
        Candidate(f"c{number}", "g@0", number, None if one is None else Media(one, 8, 8))
        for number, one in enumerate(data)
    ]
    empty = Group(Prompt.of("nothing drawn"), (), error="no", failed_stage="generate")
    return groups_to_table([Group(Prompt.of("a cross"), tuple(candidates)), empty])


def media_of(table: pa.Table) -> list[Media]:
    groups = groups_from_table(table)
    return [one.media for group in groups for one in group.candidates if one.media]


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(str(tmp_path / "root"), 1000)


def test_large_media_lie_in_one_pack_that_stock_tools_open(store: MediaStore) -> None:
    table = table_of(PNG, SMALL, CLIP, None, PNG, JPEG)
    out = store.put_out(table)
    [file] = files_of(Path(store.root))
    assert file.name == f"{hashlib.sha256(file.read_bytes()).hexdigest()}.tar"
    with tarfile.open(file) as pack:
        members = {one.name: pack.extractfile(one) for one in pack}
        found = {name: data.read() for name, data in members.items() if data is not None}
    named = [(PNG, "png"), (CLIP, "mp4"), (JPEG, "jpg")]
    wanted = {f"{hashlib.sha256(one).hexdigest()}.{end}": one for one, end in named}
    assert found == wanted
    assert [one.stored for one in media_of(out)] == [None, SMALL, None, None, None]
    paths = [one.path for one in media_of(out)]
    assert paths[0] == paths[3]
    assert paths[1] is None
    assert store.bring_in(out).equals(table)
    assert store.bring_in(out.slice(0, 1)).equals(table.slice(0, 1))


def test_the_same_table_is_the_same_pack_and_what_is_referred_to_is_not_written(
    store: MediaStore,
) -> None:
    kept = store.keep(table_of(PNG, SMALL))
    assert [one.stored for one in media_of(kept)] == [PNG, SMALL]
    assert media_of(kept)[0].path is not None
    assert store.put_out(table_of(PNG, SMALL)).equals(without_bytes(kept))
    assert store.put_out(kept).equals(without_bytes(kept))
    assert store.bring_in(without_bytes(kept), with_references=True).equals(kept)
    assert store.bring_in(kept).equals(table_of(PNG, SMALL))
    assert len(files_of(Path(store.root))) == 1


def test_a_digest_is_the_same_wherever_media_lie(store: MediaStore) -> None:
    table = table_of(PNG, SMALL, CLIP)
    digest = hashlib.sha256(PNG).hexdigest()
    first, *others = groups_from_table(table)
    alone = Media(None, 8, 8, path=f"objects/{digest[:2]}/{digest}")
    candidates = (replace(first.candidates[0], media=alone), *first.candidates[1:])
    as_before = groups_to_table([replace(first, candidates=candidates), *others])
    kept = store.keep(table)
    wanted = digest_rows([table])
    assert {digest_rows([one]) for one in (kept, without_bytes(kept), as_before)} == {wanted}
    assert digest_rows([table_of(CLIP, SMALL, PNG)]) != wanted


def test_small_media_keep_their_rows_and_any_name_beside_their_bytes(store: MediaStore) -> None:
    group = Group(Prompt.of("x"), (Candidate("c", "g@0", 0, Media(SMALL, 8, 8, path="a.png")),))
    table = groups_to_table([group])
    assert store.put_out(table).equals(table)
    assert store.bring_in(table).equals(table)
    assert files_of(Path(store.root)) == []


def test_objects_of_older_roots_are_read(store: MediaStore) -> None:
    digest = hashlib.sha256(PNG).hexdigest()
    path = f"objects/{digest[:2]}/{digest}"
    target = Path(store.root) / path
    target.parent.mkdir(parents=True)
    target.write_bytes(PNG)
    row = Group(Prompt.of("x"), (Candidate("c", "g@0", 0, Media(None, 8, 8, path=path)),))
    assert media_of(store.bring_in(groups_to_table([row])))[0].data == PNG


def test_packs_have_a_good_size(store: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_pack, "PACK_BYTES", 5000)
    media = [bytes([number]) * size for number, size in enumerate([2000, 2000, 2000, 9000, 1500])]
    out = store.put_out(table_of(*media))
    files = [where.file for one in media_of(out) if (where := whereabouts(str(one.path)))]
    assert [files.index(one) for one in files] == [0, 0, 2, 3, 4]
    assert [one.data for one in media_of(store.bring_in(out))] == media


def test_a_table_is_streamed_in_by_what_its_media_take(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def side(number: int) -> Candidate:
        return Candidate(f"c{number}", "g@0", number, Media(bytes([number]) * 1500, 8, 8))

    groups = [Group(Prompt.of(f"p{number}"), (side(number), side(0))) for number in range(7)]
    prompt = Prompt.of("x")
    numbers = (0.2, 0.3, 0.5)  # none that is unlike itself
    pairs = [
        Pair(f"{one}", prompt, side(one), side(one + 1), "j@1", 1.0, *numbers, False, "kept")
        for one in range(7)
    ]
    monkeypatch.setattr(media_store, "_BYTES_AT_ONCE", 6000)
    for table in (groups_to_table(groups), pairs_to_table(pairs)):
        out = store.put_out(table)
        tables = list(store.stream_in(out))
        assert [one.num_rows for one in tables] == [1, 2, 2, 2]
        assert pa.concat_tables(tables).equals(table)
        few = store.stream_in(out.slice(3, 2), with_references=True)
        assert pa.concat_tables(map(without_bytes, few)).equals(out.slice(3, 2))


class Counting:
    """A file system that says which ranges of a file were read."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self.ranges = ranges

    def open_input_file(self, path: str) -> Any:
        return CountingFile(LocalFileSystem().open_input_file(path), self.ranges)


class CountingFile:
    def __init__(self, file: Any, ranges: list[tuple[int, int]]) -> None:
        self.file, self.ranges = file, ranges

    def __enter__(self) -> "CountingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def size(self) -> int:
        return int(self.file.size())

    def seek(self, at: int) -> None:
        self.file.seek(at)

    def read_buffer(self, num: int) -> pa.Buffer:
        self.ranges.append((self.file.tell(), num))
        return self.file.read_buffer(num)


def test_only_what_is_asked_for_is_read_and_neighbours_at_once(
    store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = [bytes([number]) * 200_000 for number in range(6)]
    out = store.put_out(table_of(*media))
    rows = [one.path for one in media_of(out)]
    few = [Media(None, 8, 8, path=rows[at]) for at in (5, 1, 0)]
    group = Group(Prompt.of("x"), tuple(Candidate(f"{one.path}", "g@0", 0, one) for one in few))
    ranges: list[tuple[int, int]] = []
    monkeypatch.setattr(media_store, "arrow_path", lambda at: (Counting(ranges), str(at)))
    found = media_of(store.bring_in(groups_to_table([group])))
    assert [one.data for one in found] == [media[5], media[1], media[0]]
    step = 512 + 200_192  # a header, and the medium up to the next block
    assert ranges == [(512, step + 200_000), (512 + 5 * step, 200_000)]


def test_a_pack_that_is_not_what_the_table_says_is_refused(store: MediaStore) -> None:
    out = store.put_out(table_of(PNG, CLIP))
    [file] = files_of(Path(store.root))
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"clip", b"clap", 1))
    with pytest.raises(MediaReferenceError, match="not those of"):
        store.bring_in(out)
    file.write_bytes(whole[:3000])
    with pytest.raises(MediaReferenceError, match="not those of"):
        store.bring_in(out)
    file.unlink()
    with pytest.raises(MediaReferenceError, match="are missing"):
        store.bring_in(out)


def test_a_reference_beyond_the_end_costs_no_memory(store: MediaStore) -> None:
    [one, _] = media_of(store.put_out(table_of(PNG, CLIP)))
    reference = str(one.path).partition("+")[0] + "+" + "9" * 15
    far = Group(Prompt.of("x"), (Candidate("c", "g@0", 0, Media(None, 8, 8, path=reference)),))
    with pytest.raises(MediaReferenceError, match="not those of"):
        store.bring_in(groups_to_table([far]))


def test_packs_of_another_root_are_linked_and_read_from_here(
    store: MediaStore, tmp_path: Path
) -> None:
    out = store.put_out(table_of(PNG, SMALL, CLIP))
    here = MediaStore(str(tmp_path / "here"), 1000)
    [pack] = files_of(Path(store.root))
    os.utime(pack, (0, 0))
    for _ in range(2):
        assert here.take_over(out, store).equals(out)
    [linked] = files_of(tmp_path / "here")
    assert linked.samefile(pack)
    assert linked.stat().st_mtime > 0  # as young as if it had been written here
    pack.unlink()
    assert here.bring_in(out).equals(table_of(PNG, SMALL, CLIP))
    with pytest.raises(MediaReferenceError, match="are missing"):
        MediaStore(str(tmp_path / "third"), 1000).take_over(out, store)


def test_where_links_cannot_be_a_copy_is_made(
    store: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    out = store.put_out(table_of(PNG))
    here = MediaStore(str(tmp_path / "here"), 1000)
    here.take_over(out, store)
    assert len(files_of(tmp_path / "here")) == 1
    assert here.bring_in(out).equals(table_of(PNG))
