"""MMRB2 and VideoRewardBench in their layouts: what the tasks hold is imported, others refused."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.labels.draft import Draft
from factory.labels.mmrb2 import INSIDE
from factory.labels.record import LabelError, NotHeldError
from factory.labels.registry import FORMATS
from factory.prompt_parts import needs_of
from jobs.datasets.foreign_labels import LabelReader
from jobs.datasets.labels import label_batches, label_files
from jobs.tools.import_labels import NOT_HELD, Import, import_labels
from schemas.arrow import labels_from_table
from tests.factory.labels.media import mp4, png
from tests.factory.labels.test_published_tables import drafts, made

FILES = {
    "input_images/a.png": png((9, 9, 9)),
    "images/x.png": png(),
    "images/y.png": png((0, 9, 0)),
}


def answer(*content: list[str]) -> dict[str, Any]:
    return {"model_name": "some-model", "response_content": list(content)}


def pair(
    source: str, asked: list[list[str]], first: Any, second: Any, **more: Any
) -> dict[str, Any]:
    """A row of a built JSON file, with made-up content."""
    return {
        **{"id": f"{source}_1", "prompt_source": source, "prompt_metadata": {"id": "1"}},
        **{"prompt_content": asked, "response_a": first, "response_b": second},
        **{"chosen": "B", "human_annotations": [2, 2, 1], **more},
    }


X, Y = answer(["image", "images/x.png"]), answer(["image", "images/y.png"])
YES, NO = answer(["text", "Yes."]), answer(["text", "No, it is not."])
PICTURE = ["image", "input_images/a.png"]
HELD = {
    "t2i": pair("oneigbench", [["text", "A red square"]], X, Y),
    "edit": pair("emu-edit", [PICTURE, ["text", "make it green"]], X, Y, chosen="A"),
    "reasoning": pair("vstar", [PICTURE, ["text", "Is it red?"]], YES, NO, chosen="a"),
    "several": pair(
        "muirbench", [["text", "Is"], PICTURE, ["text", "as"], PICTURE, ["text", "?"]], YES, NO
    ),
}
NOT_OURS = {
    "edits of several source pictures": pair(
        "new_synthetic_edit", [PICTURE, PICTURE, ["text", "join them"]], X, Y
    ),
    "answers of interleaved words and pictures": pair("isgbench", [["text", "Tell"]], X, YES),
    "answers with pictures of their own": pair(
        "blink", [PICTURE, ["text", "Which?"]], answer(["text", "See"], ["image", "x"]), NO
    ),
    "answers of several pictures, or of a picture and words": pair(
        "wise", [["text", "A cat"]], answer(*X["response_content"], ["image", "images/y.png"]), Y
    ),
}


def test_what_the_tasks_hold_of_mmrb2_is_imported() -> None:
    (t2i,), (edit,), (reasoning,), (several,) = (
        drafts("mmrb2", row, **FILES) for row in HELD.values()
    )
    assert (t2i.prompt.text, t2i.prompt.task) == ("A red square", "image_generation")
    assert (t2i.preference, t2i.first.data, t2i.second.data) == ("second", png(), png((0, 9, 0)))
    assert t2i.prompt.tags == {"source": "mmrb2", "part": "t2i", "from": "oneigbench"}
    assert [one.data for one in edit.prompt.media_of("source")] == [png((9, 9, 9))]
    assert (edit.prompt.text, edit.preference) == ("make it green", "first")
    assert (reasoning.first_answer, reasoning.second_answer) == ("Yes.", "No, it is not.")
    assert (reasoning.prompt.task, reasoning.prompt.tags["pictures"]) == (
        "image_understanding",
        "one",
    )
    assert needs_of(several.prompt) == {"media", "order"}
    assert several.prompt.tags["pictures"] == "several"


@pytest.mark.parametrize("kind", NOT_OURS)
def test_what_no_task_holds_is_refused_by_its_kind(kind: str) -> None:
    with pytest.raises(NotHeldError, match=f"row 1: {kind}: none of the four tasks") as refused:
        made("mmrb2", NOT_OURS[kind], **FILES)
    assert refused.value.what == kind


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"prompt_source": "imagenet"}, "'prompt_source' is 'imagenet'; the benchmark has: evalmu"),
        ({"chosen": "tie"}, "'chosen' is 'tie', neither A nor B"),
        ({"response_a": {"model_name": "m"}}, "'response_a' has no list of `response_content`"),
        (
            {"prompt_content": [["sound", "x"]]},
            "'prompt_content' holds \\['sound', 'x'\\], neither",
        ),
        ({"prompt_content": []}, "'prompt' is empty"),
        ({"prompt_content": [PICTURE]}, "'prompt_content' holds a picture, and this part is of t"),
        ({"response_b": answer(["image", "images/none.png"])}, "names 'images/none.png': no such"),
    ],
)
def test_a_row_of_mmrb2_that_is_damaged_is_named(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(LabelError, match=fault) as refused:
        made("mmrb2", {**HELD["t2i"], **change}, **FILES)
    assert not isinstance(refused.value, NotHeldError)


def in_parquet(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the hub's data set holds it, by what the authors' loader reads of it."""

    def told(content: list[list[str]]) -> tuple[str, list[dict[str, Any]]]:
        words, pictures = "", []
        for kind, one in content:
            if kind == "image":
                pictures.append({"bytes": FILES[one], "path": None})
            words += one if kind == "text" else f"<image_{len(pictures)}>"
        return words, pictures

    flat = {"pair_id": row["id"], "prompt_source": row["prompt_source"], "chosen": row["chosen"]}
    for name in ("prompt", "response_a", "response_b"):
        content = row["prompt_content"] if name == "prompt" else row[name]["response_content"]
        flat[f"{name}_text"], flat[f"{name}_images"] = told(content)
    return flat


def test_both_layouts_of_mmrb2_give_the_same(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "t2i.json").write_text(json.dumps({INSIDE: [*HELD.values()]}))
    pq.write_table(
        pa.Table.from_pylist([in_parquet(row) for row in HELD.values()]), tmp_path / "t2i.parquet"
    )
    found = [
        [
            label
            for group in LabelReader(FORMATS["mmrb2"]).groups(tmp_path / name)
            for label in group.labels
        ]
        for name in ("t2i.json", "t2i.parquet")
    ]
    assert len(found[0]) == 4
    assert found[0] == found[1]


def test_pictures_without_a_place_come_after_the_words_and_others_are_a_fault() -> None:
    row = {**in_parquet(HELD["reasoning"]), "prompt_text": "Is it red?"}
    (draft,) = drafts("mmrb2", row)
    assert draft.prompt.text == "Is it red?"
    with pytest.raises(LabelError, match="has 2 places for pictures, and prompt_images has 1"):
        made("mmrb2", {**row, "prompt_text": "<image_1> or <image_2>?"})


def test_rows_of_no_task_are_counted_by_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    rows = [*HELD.values(), *NOT_OURS.values(), NOT_OURS["edits of several source pictures"]]
    (tmp_path / "all.json").write_text(json.dumps({INSIDE: rows}))
    request = Import(FORMATS["mmrb2"], (tmp_path / "all.json",), keep_going=True)
    counts = import_labels(request, tmp_path / "mmrb2@1").counts
    assert (counts["rows"], counts["labels"], counts["invalid"]) == (9, 4, 5)
    assert {kind: counts[NOT_HELD + kind] for kind in NOT_OURS} == {
        kind: 1 + kind.startswith("edits") for kind in NOT_OURS
    }
    assert "2 row(s) that none of the tasks holds: edits of several" in capsys.readouterr().out
    labels = [
        label
        for batch in label_batches(label_files(str(tmp_path / "mmrb2@1")))
        for label in labels_from_table(batch)
    ]
    assert {one.prompt.tags["part"] for one in labels} == {"t2i", "edit", "reasoning"}


# -------------------------------------------------------------------------- VideoRewardBench

TRIPLET = {
    **{"question": "<video>\nWhat happens?", "video": "a.mp4", "dimension": "Long-form_Perception"},
    **{"chosen": "A cat runs.", "rejected": "A dog sleeps."},
}


def test_a_triplet_of_videorewardbench_is_a_pair_in_either_order() -> None:
    def of(number: int) -> Draft:
        (draft,) = drafts("videorewardbench", {**TRIPLET, "chosen": f"{number} cats."})
        return draft

    made_of = [of(number) for number in range(20)]
    assert {one.preference for one in made_of} == {"first", "second"}
    for number, one in enumerate(made_of):
        better = one.first_answer if one.preference == "first" else one.second_answer
        assert better == f"{number} cats."
        assert one == of(number)
    assert made_of[0].prompt.text == "What happens?"
    assert made_of[0].prompt.tags["subset"] == "long-form perception"


def test_columns_that_nobody_has_verified_are_asked_for_by_name() -> None:
    row = {"q": "What?", "clip": mp4(), "dimension": "safety"}
    with pytest.raises(LabelError, match="'question' is missing; the row has: clip, dimension, q"):
        made("videorewardbench", row)
