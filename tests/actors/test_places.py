"""What a path of a recipe may look like: odd characters are taken as they are, and what some read
as another place is refused with its key.
"""

from pathlib import Path

import pytest

from actors import storage
from actors.storage import StorageError
from schemas.recipe_file import load
from schemas.section import RecipeError

LAPTOP = Path("jobs/recipes/laptop.yaml")
#: One folder that has all that is allowed.
ODD = "-a b?c%20d#e;f=1 é+&'[x]{y}*~@:%"

REFUSED = {
    "~/runs": "~ stands for no directory here; write /",
    "file:///data/x": "local paths have no scheme",
    "file:x": "local paths have no scheme",
    "//data/x": "begins with two slashes",
    "s3:/bucket/x": "an address is written SCHEME://bucket/key",
    "GS:bucket/x": "an address is written SCHEME://bucket/key",
    "s3://bucket//x": "a part of the key is empty; write s3://bucket/x if it is",
    "a\nb": "a line break, a tab or another",
    "a\tb": "a line break, a tab or another",
    "a\u2028b": "a line break, a tab or another",
    "a\x7fb": "a line break, a tab or another",
    "a\udcffb": "a line break, a tab or another",
}
#: A key of each kind that holds a place, or several.
KEYS = ("root", "produce.prompts", "generator.path", "storage.cache", "produce.reuse")


@pytest.mark.parametrize(("path", "why"), REFUSED.items(), ids=ascii)
def test_what_is_another_place_to_some_is_refused_with_its_key(path: str, why: str) -> None:
    for key in KEYS:
        many = key == "produce.reuse"
        override = (
            f'{key}=["{path.encode("unicode_escape").decode()}"]' if many else f"{key}={path}"
        )
        if many and "\\u" in override:
            continue  # YAML has no lone surrogates
        with pytest.raises(RecipeError) as refused:
            load(LAPTOP, [override])
        assert f"{key}{'.0' if many else ''}: {path!r}: " in str(refused.value)
        assert why in str(refused.value)
    if not path.startswith("~"):
        with pytest.raises(StorageError, match=r"^'.*': "):
            storage.place(path)


def test_an_empty_place_is_none() -> None:
    with pytest.raises(RecipeError, match="root: '': it names nothing"):
        load(LAPTOP, ['root=""'])


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(RecipeError) as refused:
        load(LAPTOP, ["root=s3://me:secret@bucket//x"])
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "path", [ODD, f"/data/{ODD}/x", f"s3://bucket/{ODD}/x", "runs/x/", "-", "~"]
)
def test_odd_characters_are_taken_as_they_are(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    if path == "~":  # a folder of that name, where nobody has a home
        monkeypatch.setattr("os.path.expanduser", lambda given: given)
    found = storage.place(load(LAPTOP, [f"root={path}" if path != "~" else 'root="~"']).root)
    assert str(found) == path.rstrip("/")


def test_a_file_system_without_hard_links_is_refused_at_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.check_exclusive(tmp_path / "new" / "root")

    def none(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", none)
    with pytest.raises(StorageError, match=r"has no hard links \(Operation not permitted\)"):
        storage.check_exclusive(tmp_path / "new" / "root")
    assert list(tmp_path.iterdir()) == []
