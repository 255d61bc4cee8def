"""Words of a recipe have one meaning: what YAML 1.1 and 1.2 read differently is a fault with its
key, in a file and on the command line, whatever kind of value the key wants.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from schemas.plain_yaml import dump, read, read_word
from schemas.recipe_file import load
from schemas.section import RecipeError

LAPTOP = Path("jobs/recipes/laptop.yaml")
RECIPES = sorted([*Path("jobs/recipes").glob("*.yaml"), *Path("tests/fixtures").rglob("*.yaml")])

#: A word, and what the message says that it would be.
AMBIGUOUS = {
    "1:30": "is 90 by",
    "1:30.5": "is 90.5 by",
    "010": "is 8 by the rules of YAML 1.1 and 10 by",
    "08": "text by the rules of YAML 1.1 and 8 by",
    "0o10": "and 8 by those of 1.2",
    "0b11": "is 3 by",
    "1_000": "is 1000 by",
    "yes": "is true by",
    "No": "is false by",
    "ON": "is true by",
    "off": "is false by",
    "2026-12-01": "is the date 2026-12-01",
    "2026-13-45": "is a timestamp",
    "2026-12-01T10:00:00Z": "is the date 2026-12-01 10:00",
    "0012345": "is 5349 by the rules of YAML 1.1 and 12345 by",
    "<<": "is a merge",
    "=": "is a value",
    "~": "is read as null",
    ".inf": "is no finite number",
    "-.Inf": "is no finite number",
    ".NaN": "is no finite number",
    "1e400": "is no finite number",
    "": "nothing is read as null",
}
#: A key of each kind: a number, a whole number, a truth value, text, text or nothing, a section.
KEYS = (
    "limits.max_hours",
    "seed",
    "train_judge.use_gpu",
    "name",
    "judge.revision",
    "align.lora",
)


@pytest.mark.parametrize(("word", "reading"), AMBIGUOUS.items())
def test_a_word_of_two_meanings_is_refused_at_every_kind_of_key(
    tmp_path: Path, word: str, reading: str
) -> None:
    for key in KEYS:
        with pytest.raises(RecipeError) as refused:
            load(LAPTOP, [f"{key}={word}"])
        told = str(refused.value)
        assert told.startswith(f"{key}: {word or 'nothing'} ")
        assert reading in told
        assert f'"{word}" for the text' in told
    file = tmp_path / "recipe.yaml"
    file.write_text(f"name: x\nroot: y\nlimits:\n  max_hours: {word}\n")
    with pytest.raises(RecipeError) as refused:
        load(file)
    assert f"limits.max_hours: line 4: {word or 'nothing'} " in str(refused.value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("7", 7), ("-0", 0), ("+5", 5), ("1e3", 1000.0), ("1e-4", 0.0001), (".5", 0.5)),
        *(("-.5", -0.5), ("5.", 5.0), ("01.50", 1.5), ("true", True), ("FALSE", False)),
        *(("null", None), ("y", "y"), ("1,000", "1,000"), ("16:90", "16:90"), ("７", "７")),
        *(("s3://b/k", "s3://b/k"), ("a#b", "a#b"), ("1.2.3", "1.2.3"), ("nan", "nan")),
    ],
)
def test_a_word_of_one_meaning_has_it(word: str, value: Any) -> None:
    found = read_word(word)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("judge.revision=123456", 'judge.revision: 123456 is a number, .*write "123456"'),
        ("judge.revision=1e10", 'judge.revision: 1e10 is a number, .*write "1e10"'),
        ("name=null", 'name: null is nothing, and text is wanted; write "null"'),
        ("name=True", 'name: True is a truth value, and text is wanted; write "True"'),
        ("curate.objections.plugins=[7]", 'plugins.0: 7 is a number, .*write "7"'),
        ("seed=true", "seed: true is a truth value, and a number is wanted; write 1"),
        ('seed="7"', 'seed: "7" is text, and a number is wanted; write 7'),
        ('limits.max_hours="1:30"', r"limits\.max_hours: .*valid number"),
        ('limits.max_hours="nan"', r"limits\.max_hours: .*finite"),
        (
            "train_judge.use_gpu=1",
            "use_gpu: 1 is a number, and a truth value is .*; write true",
        ),
        ('train_judge.use_gpu="yes"', 'use_gpu: "yes" is text, and a truth value is wanted'),
        ("train_judge.zero_stage=true", "zero_stage: true is a truth value, .*; write 1"),
        ("align.beta=７", r"align\.beta: .*valid number"),
        ("seed=７", r"seed: .*valid integer"),
        ("root= /x", "root: ' /x' has spaces at its ends; write \" /x\""),
        ("root=[draft] x", "root: line 1: expected"),
        ("curate.objections.max_per_slice={on: 3}", "max_per_slice: line 1: on is true by"),
        ("criteria.named=[{name: x, text: 010}]", r"criteria\.named\.0\.text: line 1: 010 is 8"),
        ("seed=" + "9" * 5000, "seed: a number of 5000 digits"),
    ],
)
def test_no_key_takes_another_kind_of_value(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(LAPTOP, [override])


@pytest.mark.parametrize(
    "text",
    ["/data/a #1", "- x", "a: b", "*x", "&x", "!x", "%20", "@x", "a?b", "a\tb", "a\nb", "-x"],
)
def test_an_override_is_taken_to_its_end(text: str) -> None:
    assert load(LAPTOP, [f"storage.region={text}"]).storage.region == text


def test_numbers_as_people_write_them_reach_their_keys() -> None:
    recipe = load(LAPTOP, ["align.learning_rate=1e-4", "seed=1e3", "align.beta=5."])
    assert (recipe.align.learning_rate, recipe.seed, recipe.align.beta) == (1e-4, 1000, 5.0)
    quoted = load(LAPTOP, ['judge.revision="1e10"', "storage.region=null"])
    assert (quoted.judge.revision, quoted.storage.region) == ("1e10", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nname: a\nseed: 2", "seed: is there twice, in lines 1 and 3"),
        ("a: &x {b: 1}\nc: *x", r"a: line 1: &x names .*\n.*c: line 2: \*x repeats"),
        ("a:\n  <<: {b: 1}", "a: line 2: << merges another mapping"),
        ("a: !!str 1", "a: line 1: a tag"),
        ("1: x", 'recipe: line 1: the key 1 is no text; write "1"'),
        ("a: {null: x}", 'a: line 1: the key null is no text; write "null"'),
        ("? [a]\n: 1", "a key is a word"),
        ("a: 1\n---\nb: 2", "two documents stand in one file"),
        ("produce:\nseed: 1", "produce: line 1: nothing is read as null; write null"),
        ("a:\n\tb: 1", "not valid YAML: line 2: a tab stands where"),
        ("a: b\t# c", "not valid YAML: line 1: a tab stands where"),
        ("a: 1\nb: x\u2028y", r"line 2: a line ends there by the rules of YAML 1.1.*\\u2028"),
        ("[" * 3000, "not valid YAML: .*too deep"),
    ],
)
def test_what_lets_a_file_say_something_else_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load(file)


@pytest.mark.parametrize("file", RECIPES, ids=str)
def test_recipes_of_today_and_of_old_are_read_as_before(file: Path) -> None:
    document = read(file.read_text())
    assert document.faults == []
    assert document.values == yaml.safe_load(file.read_text())


PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])) | st.sampled_from(
    [*AMBIGUOUS, "1e3", "123", "null", "true", "a: b", "- a", "#", "a #b", "'", '"', " a "]
)


@given(
    st.dictionaries(
        PLAIN,
        PLAIN
        | st.integers()
        | st.booleans()
        | st.none()
        | st.floats(allow_nan=False, width=32).filter(lambda value: abs(value) < 1e30)
        | st.lists(PLAIN, max_size=3),
        max_size=4,
    )
)
def test_what_is_written_down_is_read_again(values: dict[str, Any]) -> None:
    document = read(dump(values))
    assert document.faults == []
    assert repr(document.values) == repr(values)
