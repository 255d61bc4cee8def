"""Hostile input: whatever bytes come in, only our own errors come out, and they name the place."""

import contextlib
import json
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.media_store import MediaReferenceError, MediaStore
from actors.storage import StorageError, place
from factory.judging.specification import DEFAULT, SpecificationError
from factory.judging.text import UnreadableError, parse_score, parse_verdict
from factory.judging.verdicts import AnswerTree
from factory.media.pictures import MediaError, decode, encode_png
from factory.prompt_rows import MAX_CHARACTERS, PromptsError
from factory.prompts import read_prompts
from schemas import manifest
from schemas.arrow import groups_from_table
from schemas.columns import IMAGE, PROMPTS
from schemas.manifest import ManifestError
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import MediaAwayError, Preference
from schemas.section import RecipeError

FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
LAPTOP = Path("jobs/recipes/laptop.yaml").read_text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(sorted(Recipe.model_fields))


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """The data with some bytes changed, cut off or repeated."""

    def change(edits: list[tuple[int, int]], cut: int) -> bytes:
        out = bytearray(data)
        for at, value in edits:
            out[at % len(out)] = value
        return bytes(out[: len(out) - cut % len(out)])

    edit = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255))
    return st.builds(change, st.lists(edit, max_size=8), st.just(0) | st.integers(0, len(data) - 1))


def refusal(work: Callable[[], object], ours: type[Exception]) -> str | None:
    """What our own error says, None where there is none; any other error fails the test."""
    try:
        work()
    except ours as error:
        return str(error)
    return None


# --------------------------------------------------------------------------------------- recipe


@FUZZ
@given(
    data=st.binary(max_size=200) | mutated(LAPTOP.encode()) | st.text(max_size=80).map(str.encode)
)
def test_a_recipe_of_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(data)
    said = refusal(lambda: load(path), RecipeError)
    assert said is None or str(path) in said


@FUZZ
@given(
    tree=st.dictionaries(KEYS, JSON, max_size=4),
    overrides=st.lists(
        st.text(max_size=30) | st.builds("{}={}".format, KEYS, st.text()), max_size=3
    ),
)
def test_a_recipe_of_any_values(
    tmp_path: Path, tree: dict[str, object], overrides: list[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({**yaml.safe_load(LAPTOP), **tree}))
    with contextlib.suppress(RecipeError):
        load(path, overrides)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "a: 2024-99-99",
        "? [1]\n: 2",
        "a: !!python/object/apply:os.system [exit]",
        "\n".join(
            [
                "a: &a [x,x]",
                *(
                    f"{n}: &{n} [{'*' + p},{'*' + p}]"
                    for p, n in zip("abcdefghijklmnopqrs", "bcdefghijklmnopqrst", strict=True)
                ),
                "seed: *t",
            ]
        ),
    ],
    ids=["deep", "date", "key", "code", "aliases"],
)
def test_known_traps_of_yaml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as found:
        load(path)
    assert len(str(found.value)) < 20_000


def test_credentials_are_refused_and_never_repeated(tmp_path: Path) -> None:
    for override in (
        "storage.secret_key=hunter2",
        "storage.access_key=hunter2",
        "storage.endpoint='http://user:hunter2@host'",
    ):
        with pytest.raises(RecipeError) as found:
            load("jobs/recipes/laptop.yaml", [override])
        assert "hunter2" not in str(found.value)
    with pytest.raises(RecipeError, match="credentials stay in the environment"):
        load("jobs/recipes/laptop.yaml", ["storage.secret_key=hunter2"])
    with pytest.raises(StorageError, match="credentials belong in the environment") as refused:
        place("s3://user:hunter2@bucket/key")
    assert "hunter2" not in str(refused.value)


# -------------------------------------------------------------------------------------- prompts


def parquet(table: pa.Table) -> bytes:
    sink = BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


GOOD = parquet(
    pa.Table.from_pylist(
        [{"prompt_id": "x", "prompt": "a red circle", "task": None, "tags": []}], schema=PROMPTS
    )
)


@FUZZ
@given(
    data=st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | mutated(GOOD),
    suffix=st.sampled_from([".txt", ".jsonl", ".parquet"]),
)
def test_prompts_of_any_bytes(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"prompts{suffix}"
    path.write_bytes(data)
    check_prompts(path)


@FUZZ
@given(rows=st.lists(JSON | st.fixed_dictionaries({"prompt": st.text()}, optional={"tags": JSON})))
def test_prompts_of_any_json(tmp_path: Path, rows: list[object]) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    check_prompts(path)


def check_prompts(path: Path) -> None:
    said = refusal(lambda: read_prompts(path), PromptsError)
    assert said is None or str(path) in said


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "x" * (MAX_CHARACTERS + 1)}, "row 2: 'prompt' has 20001 characters"),
        ({"prompt": "a\x00b"}, r"row 2: 'prompt' holds the control character U\+0000 at 1"),
        ({"prompt": "a\x1b[31mb"}, r"row 2: 'prompt' holds the control character U\+001B"),
        ({"prompt": "a\ud800"}, r"row 2: 'prompt' holds half of a surrogate pair, U\+D800"),
        ({"prompt": "b", "tags": {"k": "\x07"}}, "row 2: tag 'k' holds the control character"),
        ({"prompt": "b", "tags": [{"k": "v"}]}, "row 2: tag None is NoneType, not text"),
    ],
)
def test_hostile_prompts_are_named(tmp_path: Path, row: dict[str, object], message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "fine\\nin two lines"}\n' + json.dumps(row) + "\n")
    with pytest.raises(PromptsError, match=message):
        read_prompts(path)


def test_a_prompt_is_never_a_path(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("../../etc/passwd\n/etc/shadow\n")
    ids = [one.prompt_id for one in read_prompts(path)]
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in ids)


def test_parquet_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prompts.parquet"
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("ii", 0, 2)), pa.py_buffer(b"\xff\xfe")]
    )
    path.write_bytes(parquet(pa.table({"prompt": bad})))
    with pytest.raises(PromptsError, match=r"prompts\.parquet: row 1: cannot be read"):
        read_prompts(path)


# ---------------------------------------------------------------------------------------- media

PICTURE = encode_png(np.arange(3 * 64, dtype=np.uint8).reshape(8, 8, 3))


@FUZZ
@given(data=mutated(PICTURE))
def test_pictures_with_changed_bytes(data: bytes) -> None:
    with contextlib.suppress(MediaError):
        assert decode(data).shape[2] == 3


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        png(60_000, 60_000, chunk(b"IDAT", zlib.compress(bytes(1000)))),
        png(8, 8, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(80_000_000)))),
        png(8, 8, chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(80_000_000)))),
        png(0, 8),
        PICTURE[:-30],
    ],
    ids=["bomb", "text bomb", "profile bomb", "empty", "truncated"],
)
def test_bombs_and_stumps_are_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        decode(data)


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "objects/ab/../../x",
        "objects/aa/" + "b" * 64,
        "",
        f"media/aa/{'b' * 64}.tar#{'c' * 64}.png@512+10",
        f"media/aa/../{'a' * 64}.tar#{'c' * 64}.png@512+10",
        f"media/aa/{'a' * 64}.tar#../{'c' * 64}.png@512+10",
        f"media/aa/{'a' * 64}.tar#{'c' * 64}.png@-512+10",
        f"media/aa/{'a' * 64}.tar#{'c' * 64}.png@٥+10",
        f"media/aa/{'a' * 64}.tar#{'c' * 64}.png@512+10\n",
    ],
)
def test_a_reference_never_leads_out_of_the_store(tmp_path: Path, path: str) -> None:
    table = pa.table({"m": pa.array([{"bytes": None, "path": path}], IMAGE)})
    with pytest.raises(MediaReferenceError, match="does not name a media object"):
        MediaStore(str(tmp_path), 10).bring_in(table)


# ------------------------------------------------------------------------------------- verdicts

TOKENS = st.lists(st.integers(0, 3), max_size=4)


@FUZZ
@given(first=TOKENS, second=TOKENS, tie=TOKENS, seed=st.integers(0, 99))
def test_verdicts_of_any_answers(
    first: list[int], second: list[int], tie: list[int], seed: int
) -> None:
    """Three answers either cannot be told apart, and are refused, or have probabilities."""
    answers: dict[Preference, list[int]] = {"first": first, "second": second, "tie": tie}
    try:
        tree = AnswerTree.of(answers)
    except SpecificationError:
        return
    rng = np.random.default_rng(seed)
    p = tree.probabilities([rng.normal(0, 50, (2, len(one) + 1, 4)) for one in tree.chains])
    assert np.allclose(p.sum(axis=1), 1)
    assert (p >= 0).all()


WORDS = st.sampled_from(
    [
        "Image 1 is better than Image 2.",
        "image 2",
        "is better",
        "both",
        "tie",
        "not",
        "3.75",
        "1e9",
        "Final Score:",
        "\x00",
        "\n",
        "/",
        "-",
        "٣",
        "NaN",
        "A",
        "the first answer",
    ]
)


@FUZZ
@given(text=st.text(max_size=60) | st.lists(WORDS, max_size=8).map(" ".join), is_cut=st.booleans())
def test_answers_of_any_text(text: str, is_cut: bool) -> None:
    """A verdict and a score on the scale, or a reason why not; never another error."""
    for task in DEFAULT.tasks.values():
        with contextlib.suppress(UnreadableError):
            assert parse_verdict(text, task.answers, is_cut=is_cut) in task.answers
        with contextlib.suppress(UnreadableError):
            assert task.scale[0] <= parse_score(text, task, is_cut=is_cut) <= task.scale[-1]


# ------------------------------------------------------------------------- manifests and addresses


@FUZZ
@given(data=st.binary(max_size=100) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_manifests_of_any_bytes(data: bytes) -> None:
    with pytest.raises(ManifestError, match=r"x/manifest\.json"):
        manifest.of_bytes(data, "x/manifest.json")


@pytest.mark.parametrize("name", ["../x.parquet", "/etc/passwd", ".hidden", "a/b", 7])
def test_a_manifest_names_no_files_elsewhere(name: object) -> None:
    made = manifest.Manifest("a@1", "pairs", "f", "d", (), {})
    raw = {**json.loads(manifest.to_bytes(made)), "files": [name]}
    with pytest.raises(ManifestError, match="is not the name of a data file"):
        manifest.of_bytes(json.dumps(raw).encode(), "manifest.json")


@FUZZ
@given(text=st.text(max_size=40) | st.text(max_size=40).map("s3://{}".format))
def test_any_text_as_a_place(text: str) -> None:
    with contextlib.suppress(StorageError):
        assert place(text).name is not None


def test_a_table_with_media_elsewhere_is_not_read_as_broken_media() -> None:
    from schemas.columns import GROUPS

    media = {"image": {"bytes": None, "path": "objects/x"}, "width": 1, "height": 1}
    row = {"prompt_id": "x", "prompt": "x", "candidates": [{"candidate_id": "c", "media": media}]}
    [group] = groups_from_table(pa.Table.from_pylist([row], schema=GROUPS))
    with pytest.raises(MediaAwayError, match="lies outside its row, at 'objects/x'"):
        assert group.candidates[0].media.data
