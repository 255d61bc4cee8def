"""Tables as they are published: what their authors' own loaders make of a row, ours makes too."""

import json
from collections import Counter
from pathlib import Path

import pytest

from factory.labels.draft import Draft, finish
from factory.labels.record import LabelError, Record
from factory.labels.registry import FORMATS
from factory.prompt_parts import needs_of
from schemas.rows import Dimension
from tests.factory.labels.media import mp4, png

CASES = Path("tests/fixtures/cases/importers")
CLIP = (CASES / "one-frame.mp4").read_bytes()
FILES = {
    "red.png": (CASES / "red.png").read_bytes(),
    "blue.png": (CASES / "blue.png").read_bytes(),
    "green.png": png((0, 200, 0)),
    "torn.png": png()[:40],
    "left-1.mp4": CLIP,
    "right-1.mp4": mp4(),
    "a.mp4": CLIP,
    "b.mp4": mp4(),
}


def made(name: str, *rows: dict[str, object], **more: bytes) -> list[Draft | LabelError]:
    """What the rows of one group give, faults in their places."""

    def read(path: str) -> bytes:
        if path not in FILES | more:
            raise FileNotFoundError(2, "no such file")
        return (FILES | more)[path]

    urls: dict[str, str] = {}
    records = [Record(row, f"f: row {n}", read, (), urls) for n, row in enumerate(rows, start=1)]
    return list(FORMATS[name].parse(records))


def drafts(name: str, *rows: dict[str, object], **more: bytes) -> list[Draft]:
    found = made(name, *rows, **more)
    assert not [one for one in found if isinstance(one, LabelError)]
    return found


def case(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (CASES / name).read_text().splitlines()]


# ---------------------------------------------------------------------------- VL-RewardBench


def test_vl_rewardbench_tells_its_categories_by_the_authors_prefixes():
    pair, other = case("vl_rewardbench.jsonl")
    (first,), (second,) = drafts("vl-rewardbench", pair), drafts("vl-rewardbench", other)
    assert (first.preference, first.prompt.tags["category"]) == ("first", "hallucination")
    assert (second.preference, second.prompt.tags["category"]) == ("second", "reasoning")
    assert FORMATS["vl-rewardbench"].macro_tag == "category"
    ids = ["RLAIF-V-1", "RLHF-V-2", "mmmu_3", "wildvision-battle-4", "91", "LLaVA-5"]
    told = [drafts("vl-rewardbench", {**pair, "id": one})[0].prompt.tags for one in ids]
    assert Counter(one["category"] for one in told) == {
        "hallucination": 2,
        "reasoning": 1,
        "general": 3,
    }


# ------------------------------------------------------------------------------------- clips


def feedback(**more: object) -> dict[str, object]:
    names = FORMATS["video-feedback"].columns or ()
    rated = {name: 4 for name in names if " " in name and name not in ("text prompt", "video link")}
    return {"text prompt": "a dog", **rated, "visual quality": 1, **more}


def test_video_feedback_finds_frames_where_its_archive_has_them():
    frames = {f"images/p110367/p110367_{at:02}.jpg": png((at, 0, 0)) for at in range(3)}
    row = feedback(id="p110367", images=[name.rpartition("/")[2] for name in frames])
    (draft,) = drafts("video-feedback", row, **frames)
    assert (draft.first.num_frames, draft.rating) == (3, 3.4)
    assert Dimension("visual quality", first=1) in draft.dimensions
    assert len(draft.dimensions) == 5
    linked = {**row, "video link": "https://host/videos/absent.mp4"}
    assert drafts("video-feedback", linked, **frames)[0].first == draft.first
    with pytest.raises(LabelError, match=r"'images' names 'images/p110367/p110367_00.jpg'"):
        made("video-feedback", row)
    torn = {"absent.mp4": CLIP[:60], **frames}
    with pytest.raises(LabelError, match="'video link' cannot be read"):
        made("video-feedback", linked, **torn)  # a clip that is there is not passed over


def test_genai_bench_clips_are_published_as_urls():
    (row,) = case("genai_bench_video_urls.jsonl")
    (draft,) = drafts("genai-bench", row)
    assert (draft.prompt.task, draft.preference) == ("video_generation", "first")
    assert (draft.first.data, draft.second.data) == (CLIP, mp4())
    copy = {"prompt": row["prompt"], "vote_type": "leftvote"}
    copy |= {"video_left": "left-1.mp4", "video_right": "right-1.mp4"}
    assert drafts("genai-bench", copy)[0] == draft
    absent = {**row, "left_video": "https://example.org/clips/left-2.mp4?x=1"}
    with pytest.raises(LabelError) as told:
        made("genai-bench", absent)
    assert str(told.value) == (
        "f: row 1: 'left_video' is a URL, 'https://example.org/clips/left-2.mp4?x=1', and nothing "
        "is fetched: download it and lay it below --media as 'left-2.mp4'"
    )


@pytest.mark.parametrize("url", ["https://host/clips/", "https://host", "http://[/a.mp4"])
def test_a_url_that_names_no_file_is_told(url):
    (row,) = case("genai_bench_video_urls.jsonl")
    with pytest.raises(LabelError, match="'left_video' is a URL that does not end in the name"):
        made("genai-bench", {**row, "left_video": url})


def test_two_urls_of_one_file_are_no_two_clips():
    """Only the folders of the URLs tell the clips of two models apart, where names repeat."""
    row = {"prompt": "p", "vote_type": "leftvote"}
    row |= {"left_video": "https://host/a/1.mp4", "right_video": "https://host/b/1.mp4"}
    with pytest.raises(LabelError, match=r"'1\.mp4' was taken for 'https://host/a/1.mp4' already"):
        made("genai-bench", row, **{"1.mp4": CLIP})
    folders = {"a/1.mp4": CLIP, "b/1.mp4": mp4()}
    assert drafts("genai-bench", row, **folders)[0].second.data == mp4()


def test_videoalign_has_dimensions_and_no_overall_verdict():
    (row,) = case("videoalign_train.csv.jsonl")
    (draft,) = drafts("videogen-rewardbench", row)
    assert draft.dimensions == (Dimension("vq", "first"), Dimension("mq", "tie"))
    assert (draft.preference, draft.prompt.tags["overall"]) == ("first", "of the dimensions")
    given = drafts("videogen-rewardbench", {**row, "Overall": "B"})[0]
    assert (given.preference, "overall" in given.prompt.tags) == ("second", False)
    even = drafts("videogen-rewardbench", {**row, "TA": "B"})[0]
    assert even.preference == "tie"
    nothing = {**row, "VQ": "invalid", "MQ": "", "TA": None}
    with pytest.raises(LabelError, match="'Overall' says nothing, and nor does any of VQ, MQ, TA"):
        made("videogen-rewardbench", nothing)
    with pytest.raises(LabelError, match="'VQ' is 'left', not A, B, same or invalid"):
        made("videogen-rewardbench", {**row, "VQ": "left"})


# ---------------------------------------------------------------------------------- pictures


def test_genai_bench_edits_show_what_they_start_from():
    row = {"source_prompt": "a red square", "target_prompt": "a blue square"}
    row |= {"instruct_prompt": "make it blue", "source_image": "red.png", "vote_type": "rightvote"}
    row |= {"left_output_image": "green.png", "right_output_image": "blue.png"}
    (draft,) = drafts("genai-bench", row)
    assert [part.role for part in draft.prompt.parts] == ["source", "user"]
    assert (draft.prompt.text, draft.prompt.task) == ("make it blue", "image_generation")
    assert draft.prompt.media_of("source")[0].data == FILES["red.png"]
    assert needs_of(draft.prompt) == {"source"}
    assert (draft.preference, draft.second.data) == ("second", FILES["blue.png"])


def test_evalmuse_as_its_own_script_leaves_it():
    (row,) = case("evalmuse_processed.jsonl")
    (draft,) = drafts("evalmuse", row)
    assert (draft.rating, draft.annotator) == (4.33, "evalmuse:mean")
    assert finish(draft, "x", 0).points == 4.33
    assert finish(draft, "x", 0, (1, 5)).points == 4.33
    assert finish(draft, "x", 0, (0, 100)).points == 83.25
    with pytest.raises(LabelError, match="'total_score' is True, not a number from 1 to 5"):
        made("evalmuse", {**row, "total_score": True})


def test_hpd_version_3_names_the_preferred_one_first():
    sure, unknown = case("hpdv3.jsonl")
    (draft,) = drafts("hpd", sure)
    better = draft.first if draft.preference == "first" else draft.second
    assert (better.data, draft.weight) == (FILES["red.png"], 0.95)
    assert drafts("hpd", unknown)[0].weight is None
    assert drafts("hpd", {**sure, "confidence": float("nan")})[0].weight is None
    prompts = [{**sure, "prompt": f"square {n}"} for n in range(200)]
    told = Counter(drafts("hpd", row)[0].preference for row in prompts)
    assert min(told.values()) > 70
    with pytest.raises(LabelError, match="'confidence' is 0, and a label of no weight is none"):
        made("hpd", {**sure, "confidence": 0})
    with pytest.raises(LabelError, match="'confidence' is 95, not a number from 0 to 1"):
        made("hpd", {**sure, "confidence": 95})


def test_editreward_is_hpd_3_with_a_source_and_ties():
    (row, _) = case("hpdv3.jsonl")
    edit = {**row, "path_src": "green.png", "tie_case": True}
    (draft,) = drafts("hpd", edit)
    assert draft.preference == "tie"
    assert draft.prompt.media_of("source")[0].data == FILES["green.png"]


@pytest.mark.parametrize("torn", [{"image_path": "torn.png"}, {"rank": "best"}])
def test_a_picture_that_cannot_be_used_costs_its_own_pairs(torn):
    names = ("red.png", "blue.png", "green.png")
    rows = [
        {"prompt_id": "x", "prompt": "p", "image_path": name, "rank": n, "overall_rating": 8 - n}
        for n, name in enumerate(names, start=1)
    ]
    found = made("image-reward", *rows[:2], {**rows[2], **torn})
    (fault,) = (one for one in found if isinstance(one, LabelError))
    assert fault.where == "f: row 3"
    kept = [one for one in found if isinstance(one, Draft)]
    assert [one.rating for one in kept] == [7, 6, None]
    assert kept[2].preference == "first"


def test_imagereward_as_its_repository_has_it():
    row = {"id": "005658-0040", "prompt": "a portal", "ranking": [1, 2, 5, 2]}
    row["generations"] = ["red.png", "torn.png", "blue.png", "green.png"]
    fault, *kept = made("image-reward", row)
    assert str(fault).startswith("f: row 1: 'generations' cannot be read")
    assert [one.preference for one in kept] == ["first", "first", "second"]
    even = {**row, "generations": ["red.png", "blue.png"], "ranking": [2, 2]}
    assert [one.preference for one in drafts("image-reward", even)] == ["tie"]


def test_hpd_test_rows_lose_the_pairs_of_a_torn_picture_alone():
    row = {"prompt": "p", "image_path": ["red.png", "torn.png", "blue.png"], "rank": [1, 2, 3]}
    fault, kept = made("hpd", row)
    assert isinstance(fault, LabelError)
    assert (kept.first.data, kept.preference) == (FILES["red.png"], "first")


def test_pick_a_pic_weighs_rows_as_its_authors_do():
    row = {"caption": "a cat", "jpg_0": png(), "jpg_1": png((0, 0, 9)), "label_0": 1.0}
    assert drafts("pick-a-pic", row)[0].weight is None
    assert drafts("pick-a-pic", {**row, "num_example_per_prompt": 8})[0].weight == 0.125
    with pytest.raises(LabelError, match="'num_example_per_prompt' is 0, not a number from 1"):
        made("pick-a-pic", {**row, "num_example_per_prompt": 0})


def test_text_that_is_no_utf8_is_the_fault_of_its_row():
    row = {"caption": "a \udc80 cat", "jpg_0": png(), "jpg_1": png((0, 0, 9)), "label_0": 1.0}
    with pytest.raises(LabelError, match="'caption' holds half of a surrogate pair, or bytes"):
        made("pick-a-pic", row)


def test_swapping_a_draft_swaps_its_dimensions():
    (row,) = case("videoalign_train.csv.jsonl")
    (draft,) = drafts("videogen-rewardbench", row)
    assert draft.swap().dimensions[0].preference == "second"
    assert draft.swap().swap() == draft
