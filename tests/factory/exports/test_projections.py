"""Each format's record, against what its loader reads, and the reason where it holds no record."""

import json
import math
from dataclasses import replace
from typing import get_args

import pyarrow as pa
import pytest
import yaml
from huggingface_hub import DatasetCardData

from factory.exports import columns
from factory.exports.card import Facts, Source, card
from factory.exports.plugged_in import PluggedIn
from factory.exports.record import Frames, Options, Raw, Unfit, is_chosen_first
from factory.exports.registry import EXPORTERS, Exporter, ExporterError, exporter_named
from factory.plugins import PluginError
from schemas.results import Estimate
from schemas.rows import Candidate, Task
from tests.factory.exports.rows import dialogue, edit, group_of, pair_of

FILES, INLINE = Options("files"), Options("inline")
ANSWERS = ("image_understanding", "video_understanding")
#: The tasks that each format holds, of pairs.
HOLDS = {
    "trl": ("image_understanding",),
    "ms-swift": ("image_understanding", "video_understanding", "image_generation"),
    "llama-factory": ANSWERS,
    "pick-a-pic": ("image_generation",),
    "verl-omni": ("image_generation",),
    "unified-reward": get_args(Task),
    "datasets": get_args(Task),
}


def projected(name, pair, options=FILES):
    return EXPORTERS[name].reads["pairs"](pair, options)


def one(name, pair, options=FILES):
    made = projected(name, pair, options)
    assert not isinstance(made, Unfit), made
    (record,) = made
    return record


def test_every_exporter_of_pairs_has_its_tasks_here():
    assert set(HOLDS) == {name for name, form in EXPORTERS.items() if "pairs" in form.reads}


@pytest.mark.parametrize("name", HOLDS)
@pytest.mark.parametrize("task", get_args(Task))
def test_a_form_holds_its_tasks_and_gives_a_reason_for_the_others(name, task):
    made = projected(name, pair_of(1, task))
    if task in HOLDS[name]:
        assert len(made) == 1
    else:
        assert made.reason == "task"
        assert task in made.detail


@pytest.mark.parametrize("name", HOLDS)
def test_a_record_has_the_columns_of_its_table_and_no_nan(name):
    for task in HOLDS[name]:
        exporter = EXPORTERS[name]
        record = one(name, replace(pair_of(1, task), p_chosen=math.nan))
        if exporter.tables:
            for media in exporter.media:
                assert set(record) == set(exporter.schema("pairs", media).names)
            assert record["confidence"] is None
        json.dumps(record, allow_nan=False, default=lambda leaf: type(leaf).__name__)


@pytest.mark.parametrize("name", HOLDS)
def test_a_side_that_is_missing_and_equal_sides_are_reasons(name):
    pair = pair_of(1, HOLDS[name][0])
    nothing = Candidate("x", "generator@1", 0, error="black picture")
    assert projected(name, replace(pair, rejected=nothing)).reason == "no output"
    assert "black picture" in projected(name, replace(pair, rejected=nothing)).detail
    same = replace(pair, rejected=replace(pair.chosen, candidate_id="y"))
    assert projected(name, same).reason == "equal sides"


def test_trl_shows_each_picture_where_the_dialogue_does():
    record = one("trl", pair_of(1, "image_understanding", dialogue(1)), INLINE)
    kinds = [[part["type"] for part in message["content"]] for message in record["prompt"]]
    assert [message["role"] for message in record["prompt"]] == ["user", "assistant", "user"]
    assert kinds == [["image", "text"], ["text"], ["image", "text"]]
    assert len(record["images"]) == 2
    assert record["chosen"][0]["content"][0]["text"].startswith("answer 2 ")
    assert record["rejected"][0]["content"][0]["text"].startswith("answer 3 ")


def test_ms_swift_ends_in_the_better_answer():
    record = one("ms-swift", pair_of(1, "image_understanding", dialogue(1)))
    assert [turn["role"] for turn in record["messages"]] == ["user", "assistant"] * 2
    assert record["messages"][0]["content"] == "<image>what is this ?"
    assert record["messages"][2]["content"] == "<image>and this ?"
    assert record["messages"][3]["content"].startswith("answer 2 ")
    assert record["rejected_messages"][:3] == record["messages"][:3]
    assert record["rejected_messages"][3]["content"].startswith("answer 3 ")
    assert record["rejected_images"] == record["images"]
    assert record["margin"] == 0.51


def test_ms_swift_has_generated_pictures_for_reward_models():
    pair = pair_of(1)
    record = one("ms-swift", pair)
    assert record["images"] == [pair.chosen.media]
    assert record["rejected_images"] == [pair.rejected.media]
    assert record["rejected_messages"] == record["messages"]


@pytest.mark.parametrize("name", ["ms-swift", "llama-factory"])
def test_a_clip_is_named_by_its_path_alone(name):
    pair = pair_of(1, "video_understanding")
    record = one(name, pair)
    assert record["videos"] == [pair.prompt.media]
    assert record["images"] is None
    assert projected(name, pair, INLINE).reason == "clip inline"


@pytest.mark.parametrize("name", ["ms-swift", "llama-factory", "unified-reward"])
def test_a_mark_in_the_text_would_stand_for_a_medium_that_is_not_there(name):
    pair = pair_of(1, "image_understanding")
    said = replace(pair.prompt, text="what does <image> mean ?")
    assert projected(name, replace(pair, prompt=said)).reason == "mark in text"
    answered = replace(pair.chosen, answer="it is <image>")
    assert projected(name, replace(pair, chosen=answered)).reason == "mark in text"


def test_llama_factory_has_an_odd_number_of_turns_and_a_description():
    exporter = EXPORTERS["llama-factory"]
    record = one("llama-factory", pair_of(1, "image_understanding", dialogue(1)))
    assert [turn["from"] for turn in record["conversations"]] == ["human", "gpt", "human"]
    assert record["chosen"]["from"] == record["rejected"]["from"] == "gpt"
    info = json.loads(exporter.companions(["train", "test"])["dataset_info.json"])
    assert info["preference_test"]["ranking"] is True
    assert set(info["preference_train"]["columns"].values()) <= set(record)


def test_pick_a_pic_tosses_a_coin_for_the_sides_and_keeps_them_as_bytes():
    firsts = []
    for number in range(60):
        pair = pair_of(number)
        record = one("pick-a-pic", pair, INLINE)
        is_first = record["label_0"] == 1.0
        assert record["label_1"] == 1.0 - record["label_0"]
        better = record["jpg_0" if is_first else "jpg_1"]
        assert better == Raw(pair.chosen.media)
        assert record["best_image_uid"] == record["image_0_uid" if is_first else "image_1_uid"]
        assert is_first == is_chosen_first(pair)
        firsts.append(is_first)
    assert 15 < sum(firsts) < 45
    schema = EXPORTERS["pick-a-pic"].schema("pairs", "inline")
    assert schema.field("jpg_0").type == pa.binary()
    assert schema.metadata is None  # else load_dataset would decode what train.py opens itself


@pytest.mark.parametrize("name", ["pick-a-pic", "verl-omni", "unified-reward"])
def test_an_edit_has_no_place_in_forms_of_captions(name):
    assert projected(name, pair_of(1, prompt=edit(1)), INLINE).reason == "source picture"


def test_verl_omni_has_a_win_score_that_is_not_lower():
    record = one("verl-omni", pair_of(1))
    assert (record["win_score"], record["lose_score"]) == (0.51, 0.0)
    assert record["extra_info"]["raw_prompt"] == record["prompt"] == "a cross, 1"
    assert record["uid"] == pair_of(1).pair_id
    for margin in (-0.1, math.nan):
        unfit = projected("verl-omni", replace(pair_of(1), margin=margin))
        assert unfit.reason == "margin below 0"


@pytest.mark.parametrize("task", get_args(Task))
def test_unified_reward_says_which_side_is_better(task):
    for number in range(8):
        pair = pair_of(number, task)
        record = one("unified-reward", pair)
        human, judge = (turn["value"] for turn in record["conversations"])
        kind = {"image_generation": "Image", "video_generation": "Video"}.get(task, "Answer")
        assert f"{kind} {1 if is_chosen_first(pair) else 2} is better" in judge
        assert f"[{pair.prompt.text}]" in human
        if task == "video_generation":  # two clips, by their frames
            assert [type(leaf) for leaf in record["images"]] == [Frames, Frames]
        elif task == "video_understanding":
            assert record["video"] == pair.prompt.media


def test_unified_reward_asks_for_points_of_each_candidate_that_was_scored():
    project = EXPORTERS["unified-reward"].reads["groups"]
    assert project(group_of(1), FILES).reason == "no scale"
    records = project(group_of(1), Options("files", (0.0, 5.0)))
    told = [record["conversations"][1]["value"] for record in records]
    assert told == ["Final Score: 4.2", "Final Score: 2.6"]  # 4 and 2 of 0 to 5, on 1 to 5
    assert "Alignment Score" not in records[0]["conversations"][0]["value"]
    assert project(group_of(1), Options("files", (0.0, 3.0))).reason == "points off the scale"


def test_a_group_keeps_what_failed_and_all_duels():
    (record,) = EXPORTERS["n-way"].reads["groups"](group_of(1), INLINE)
    good, poor, failed = record["completions"]
    assert (good["overall_score"], poor["overall_score"]) == (4.0, 2.0)
    assert failed["overall_score"] is None
    assert failed["error"] == "out of memory"
    assert len(record["duels"]) == 2
    drawn = replace(group_of(1), scores=(), duels=())
    (record,) = EXPORTERS["n-way"].reads["groups"](drawn, INLINE)
    assert record["judge"] is None
    assert all(completion["overall_score"] is None for completion in record["completions"])


def test_described_columns_are_pictures_and_clips():
    schema = EXPORTERS["datasets"].schema("pairs", "inline")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["chosen_image"] == {"_type": "Image"}
    assert features["chosen_video"] == {"_type": "Video"}
    assert features["images"] == {"feature": {"_type": "Image"}, "_type": "List"}
    assert columns.medium("files") == pa.string()


def test_a_card_has_valid_metadata_and_tells_what_is_not_known():
    source = Source("pairs@1", "abc", {"kept": 3, "rejected": 2}, {"like another": 2})
    facts = Facts(
        "p", "datasets", "a | b <x>", "", "parquet", {"train": 3}, {}, ("kept",), [source]
    )
    text = card(facts)
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert DatasetCardData(**metadata).size_categories == ["n<1K"]
    assert metadata["configs"][0]["data_files"] == [{"split": "train", "path": "train/*.parquet"}]
    assert "| kept | 3 |" in text
    assert "| objection: like another | 2 |" in text
    assert "Unknown: no person" in text
    assert "a \\| b &lt;x>" in text


def test_a_card_tells_biases_that_were_found_and_what_people_said():
    bias = [
        Estimate("first place", 0.6, 0.55, 0.65, 0.5, kind="place", is_flagged=True),
        Estimate("brightness", 0.0, -0.1, 0.1, kind="look"),
    ]
    audits = [Estimate("precision", 0.9, 0.8, 0.95, None, num=40)]
    source = Source("pairs@1", "abc", {"kept": 3}, bias=bias, audits=audits)
    text = card(Facts("p", "trl", "a", "x {out}", "parquet", {"train": 3}, {}, ("kept",), [source]))
    assert "| place: first place | 0.6 (0.55 to 0.65) |" in text
    assert "brightness" not in text
    assert "2 figures were measured; 1 show a bias" in text
    assert "| precision | 0.9 (0.8 to 0.95) |  | 40 |" in text
    assert "```\nx .\n```" in text


def raises(row, options):
    raise KeyError("no such tag")


#: An exporter of somebody's own, as `tests.factory.exports.test_projections:MINE` names it.
MINE = Exporter(
    "mine", "Ours.", {"pairs": lambda pair, options: [{"id": pair.pair_id}]}, ("inline",)
)
THEIRS = Exporter("trl", "Theirs.", MINE.reads, ("inline",))


def test_an_exporter_of_ones_own_is_found_by_its_name():
    found = exporter_named(f"{__name__}:MINE", "FORMAT")
    assert found.reads["pairs"](pair_of(1), INLINE) == [{"id": pair_of(1).pair_id}]
    assert found.plugin == f"{__name__}:MINE"
    with pytest.raises(PluginError, match="as another one does"):
        exporter_named(f"{__name__}:THEIRS", "FORMAT")
    with pytest.raises(PluginError, match="no Exporter"):
        exporter_named(f"{__name__}:HOLDS", "FORMAT")
    with pytest.raises(ExporterError, match="'tlr' is no exporter; known: trl, ms-swift"):
        exporter_named("tlr", "FORMAT")


@pytest.mark.parametrize(
    ("project", "told"),
    [
        (raises, "KeyError: 'no such tag'"),
        (lambda row, options: ["text"], "gave a str, not a dict"),
        (lambda row, options: [], "gave no record and no reason"),
        (lambda row, options: None, "TypeError"),
    ],
)
def test_what_code_of_ones_own_does_wrong_is_a_reason_of_its_row(project, told):
    unfit = PluggedIn("my:MINE", project)(pair_of(1), INLINE)
    assert unfit.reason == "failed"
    assert told in unfit.detail


def test_what_an_exporter_cannot_do_is_refused_with_what_it_can():
    with pytest.raises(ExporterError, match="is made of groups: give --groups"):
        EXPORTERS["n-way"].check("pairs", "inline")
    with pytest.raises(ExporterError, match=r"media inline$"):
        EXPORTERS["trl"].check("pairs", "files")
