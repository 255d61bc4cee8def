from pathlib import Path

import pytest

from jobs.rounds import lineage
from schemas import manifest
from schemas.manifest import Manifest, ManifestError, Parent


def make(
    root: Path, address: str, *parents: Parent, folder: str = "data", digest: str = ""
) -> None:
    directory = root / folder / address
    directory.mkdir(parents=True, exist_ok=True)
    kind = address.partition("@")[0]
    digest = digest or f"digest-{address}"
    made = Manifest(address, kind, "fp", digest, tuple(parents), {})
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))


def parent(address: str, role: str = "") -> Parent:
    return Parent(role or address.partition("@")[0], address, f"digest-{address}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A round as the loop leaves it: prompts -> groups -> pairs -> generator."""
    make(tmp_path, "labels@1", Parent("prompts", "prompts/labels.txt", "aaaa"))
    make(tmp_path, "judge@1", parent("labels@1"), folder="models")
    prompts = Parent("prompts", "prompts/train.txt", "bbbb")
    make(tmp_path, "groups@1", prompts, parent("judge@1"), parent("generator@0"))
    make(tmp_path, "pairs@1", parent("groups@1"), parent("judge@1"))
    make(tmp_path, "generator@1", parent("pairs@1"), parent("generator@0"), folder="models")
    return tmp_path


def test_a_model_is_traced_to_its_prompts(root):
    node = lineage.trace(root, "generator@1")
    assert [one.address for one in lineage.lineage(root, "generator@1")] == [
        "generator@1",
        "pairs@1",
        "groups@1",
        "judge@1",
        "labels@1",
    ]
    assert {one.address for one in lineage.inputs(node)} == {
        "generator@0",
        "prompts/train.txt",
        "prompts/labels.txt",
    }
    assert {one.state for one in lineage.walk(node)} == {"made", "given"}


def test_the_tree_is_printed_with_repeats_named_once(root):
    text = lineage.as_text(lineage.trace(root, "generator@1"))
    lines = text.splitlines()
    assert lines[0] == "generator@1  digest-generator@1"
    assert "├─ pairs: pairs@1  digest-pairs@1" in lines
    assert "│  │  ├─ prompts: prompts/train.txt  bbbb (given)" in lines
    assert text.count("prompts/labels.txt") == 1
    assert "│  └─ judge: judge@1  digest-judge@1 (see above)" in lines


def test_a_changed_parent_is_shown(root):
    make(root, "groups@1", digest="other")
    node = lineage.trace(root, "pairs@1")
    assert [one.state for one in node.parents] == ["changed", "made"]
    assert "groups@1  digest-groups@1 CHANGED, is now other" in lineage.as_text(node)


def test_a_missing_parent_is_shown(root):
    (root / "data" / "groups@1" / manifest.FILE).unlink()
    node = lineage.trace(root, "generator@1")
    missing = [one.address for one in lineage.walk(node) if one.state == "missing"]
    assert missing == ["groups@1"]
    assert "groups@1  digest-groups@1 MISSING" in lineage.as_text(node)


def test_no_artifact_no_lineage(root):
    with pytest.raises(ManifestError, match="pairs@9: no complete artifact"):
        lineage.trace(root, "pairs@9")


def test_a_circle_is_refused(root):
    make(root, "labels@1", parent("generator@1"))
    with pytest.raises(ManifestError, match="made from itself"):
        lineage.trace(root, "generator@1")


def test_a_foreign_manifest_is_refused(root):
    make(root, "pairs@2")
    (root / "data" / "pairs@2").rename(root / "data" / "pairs@3")
    with pytest.raises(ManifestError, match="holds the manifest of 'pairs@2'"):
        lineage.find(root, "pairs@3")


@pytest.mark.parametrize("address", ["../x@1", "a/b@1", "/etc@1", "x@1/..", "x", "x@"])
def test_an_address_is_never_used_as_a_raw_path(tmp_path, address):
    (tmp_path / "data").mkdir()
    assert lineage.directory_of(tmp_path / "data", address) is None
