"""Manifests: complete or absent, and honest about what differs."""

import json
from pathlib import Path

import pytest

from schemas import manifest
from schemas.manifest import Manifest, ManifestError, Parent

MADE = Manifest(
    "pairs@1", "pairs", "f", "d", (Parent("groups", "groups@1", "g"),), {"k": 1}, {"kept": 2}
)


def test_a_manifest_survives_being_written(tmp_path: Path) -> None:
    assert manifest.read(tmp_path) is None
    (tmp_path / manifest.FILE).write_bytes(manifest.to_bytes(MADE))
    assert manifest.read(tmp_path) == MADE


def test_a_broken_manifest_is_an_error_and_not_an_absent_one(tmp_path: Path) -> None:
    (tmp_path / manifest.FILE).write_text('{"address": "x"}')
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("name", ["a/b.bin", "../rows.bin", ".hidden", 3, None])
def test_a_file_outside_of_the_directory_is_refused(tmp_path: Path, name: object) -> None:
    raw = {**json.loads(manifest.to_bytes(MADE)), "files": ["rows.bin"]}
    assert manifest.of_bytes(json.dumps(raw).encode(), "m").files == ("rows.bin",)
    with pytest.raises(ManifestError, match="is not the name of a data file"):
        manifest.of_bytes(json.dumps({**raw, "files": ["rows.bin", name]}).encode(), "m")


def test_the_fingerprint_sees_settings_and_parents_digests() -> None:
    parents = [Parent("groups", "groups@1", "g")]
    one = manifest.fingerprint("pairs", {"a": 1, "b": 2}, parents)
    assert one == manifest.fingerprint("pairs", {"b": 2, "a": 1}, parents)
    assert one != manifest.fingerprint("pairs", {"a": 1, "b": 3}, parents)
    assert one != manifest.fingerprint(
        "pairs", {"a": 1, "b": 2}, [Parent("groups", "groups@1", "h")]
    )


def test_the_digest_sees_names_and_bytes_but_not_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    one = manifest.digest_files(tmp_path)
    (tmp_path / manifest.FILE).write_bytes(manifest.to_bytes(MADE))
    assert manifest.digest_files(tmp_path) == one
    (tmp_path / "a").rename(tmp_path / "b")
    assert manifest.digest_files(tmp_path) != one


def test_differences_name_the_key() -> None:
    found = manifest.differences(
        {"rank": {"k": 2, "s": 1}}, {"rank": {"k": 3, "s": 1}, "new": True}
    )
    assert found == ["new: None -> True", "rank.k: 2 -> 3"]
