"""Each format: what a row becomes, and that a wrong or missing field is named with file and row."""

import itertools
from dataclasses import replace

import pytest

from factory.labels.draft import Draft, finish, shuffled
from factory.labels.record import LabelError, Record
from factory.labels.registry import FORMATS
from factory.prompt_parts import PartsError
from schemas.rows import Media, Origin, Part, Prompt
from tests.factory.labels.media import jpeg, mp4, png

FILES = {
    "a.png": png(),
    "b.jpg": jpeg(),
    "c.png": png((0, 0, 250)),
    "clip.mp4": mp4(),
    "d.mp4": mp4(9),
    "large.png": png(size=12),
}


def read(path: str) -> bytes:
    try:
        return FILES[path]
    except KeyError:
        raise FileNotFoundError(2, "no such file") from None


def drafts(name: str, *rows: dict[str, object]) -> list[Draft]:
    """What rows that belong together give; the first of their faults is raised."""
    records = [Record(row, f"file: row {n}", read) for n, row in enumerate(rows, start=1)]
    made = list(FORMATS[name].parse(records))
    for one in made:
        if isinstance(one, LabelError):
            raise one
    return made


def talk(asked: str, answered: str, **row: object) -> dict[str, object]:
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": answered}]
    return {"conversations": turns, **row}


PICK = {"caption": " a cat ", "jpg_0": png(), "jpg_1": jpeg(), "label_0": 1.0, "user_id": 7}
HPD_TRAIN = {"prompt": "p", "file_path": ["a.png", "b.jpg"], "human_preference": [0, 1]}
REWARD = {"prompt_id": "x", "prompt": "p", "image_path": "a.png", "rank": 2, "overall_rating": 4}
VIDEO = {
    "text prompt": "a dog runs",
    "video link": "https://host/videos/clip.mp4?x=1",
    "visual quality": 3,
    "temporal consistency": 4,
    "dynamic degree": "3",
    "text-to-video alignment": 2,
    "factual consistency": 1,
}
EVALMUSE = {"prompt": "p", "img_path": "a.png", "total_score": [5, 3], "type": "real"}
TRL = {
    "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}],
    "chosen": [{"role": "assistant", "content": "A cat."}],
    "rejected": [{"role": "assistant", "content": "A dog."}],
    "images": [{"bytes": png(), "path": None}],
}
PAIR_QUESTION = (
    "<image>\nJudge the answers.\nQuestion: [What is it?]\nThe first response: [A cat [sic].]\n"
    "The second response: [A dog.]\nASSISTANT:\n"
)
CRITIC = talk(PAIR_QUESTION, "It shows a cat. The first response is better.", image="a.png")
UNIFIED = talk(
    '<image>\n<image>\nCompare. Conclude with one of "Image 1 is better than Image 2." …\n'
    "Your task is provided as follows:\nText Caption: [a red cat]",
    "Overall Judgment: Image 2 is better than Image 1.",
    images=["a.png", "b.jpg"],
)
VLRB = {
    "id": "RLAIF-V-3",
    "query": "What is it?",
    "image": png(),
    "response": ["A cat.", "A dog."],
    "human_ranking": [1, 0],
}
GENAI = {"prompt": "p", "left_image": png(), "right_image": jpeg(), "vote_type": "bothbad_vote"}
VIDEOGEN = {"prompt": "p", "path_A": "clip.mp4", "path_B": "d.mp4", "Overall": "B", "VQ": "A"}


def test_every_format_says_what_it_is_about():
    for name, form in FORMATS.items():
        assert form.name == name
        assert len(form.about.split()) > 3


def test_pick_a_pic():
    (draft,) = drafts("pick-a-pic", PICK)
    assert (draft.prompt.text, draft.preference, draft.annotator) == (
        "a cat",
        "first",
        "pick-a-pic:7",
    )
    assert draft.first is not None
    assert (draft.first.data, draft.first.width, draft.first.height) == (png(), 8, 10)
    assert drafts("pick-a-pic", {**PICK, "label_0": 0.5})[0].preference == "tie"
    assert drafts("pick-a-pic", {**PICK, "label_0": 0})[0].preference == "second"
    assert drafts("pick-a-pic", {**PICK, "has_label": False}) == []


def test_hpd_pairs_and_ranks():
    (pair,) = drafts("hpd", HPD_TRAIN)
    assert (pair.preference, pair.annotator) == ("second", "hpd")
    (named,) = drafts("hpd", {**HPD_TRAIN, "user_hash": "u7"})
    assert named.annotator == "hpd:u7"
    ranked = {"prompt": "p", "image_path": ["a.png", "b.jpg", "c.png"], "rank": [2.0, 1.0, 2.0]}
    assert [one.preference for one in drafts("hpd", ranked)] == ["second", "tie", "first"]


def test_image_reward_takes_the_rows_of_a_prompt_together():
    better = {**REWARD, "image_path": "b.jpg", "rank": 1, "overall_rating": 7}
    equal = {**REWARD, "image_path": "c.png", "classification": "People"}
    rows = (REWARD, better, equal)
    found = drafts("image-reward", *rows)
    assert sorted(one.rating for one in found if one.preference is None) == [4, 4, 7]
    ratings = {one.first.data: one.rating for one in found if one.preference is None}
    pairs = [one for one in found if one.preference]
    for pair in pairs:
        gap = ratings[pair.first.data] - ratings[pair.second.data]
        assert pair.preference == ("tie" if gap == 0 else "first" if gap > 0 else "second")
    assert len(pairs) == 3
    tags = [one.prompt.tags for one in found if one.preference is None]
    assert sum(one.get("classification") == "People" for one in tags) == 1
    for order in itertools.permutations(rows):  # the order of the rows decides nothing
        assert drafts("image-reward", *order) == found


def test_evalmuse_gives_a_label_for_each_annotator():
    found = drafts("evalmuse", EVALMUSE)
    assert [(one.annotator, one.rating) for one in found] == [("evalmuse:1", 5), ("evalmuse:2", 3)]


def test_video_feedback_finds_the_clip_by_its_name_and_averages_the_dimensions():
    (draft,) = drafts("video-feedback", VIDEO)
    assert (draft.rating, draft.scale) == (2.6, (1, 4))
    assert draft.first is not None
    assert (draft.first.num_frames, draft.first.fps, draft.first.width) == (6, 3.0, 32)
    assert draft.prompt.task == "video_generation"


def test_video_feedback_takes_the_clip_that_stands_in_the_row():
    (draft,) = drafts("video-feedback", {**VIDEO, "video": mp4(9)})
    assert draft.first.data == mp4(9)


def test_trl_answers_belong_to_a_question_about_a_picture():
    (draft,) = drafts("trl", TRL)
    assert draft.prompt.text == "What?"
    assert draft.prompt.media is not None
    told = {draft.first_answer: "first", draft.second_answer: "second"}
    assert draft.preference == told["A cat."]
    assert set(told) == {"A cat.", "A dog."}


def test_trl_with_an_implicit_prompt():
    asked = {"role": "user", "content": "<image>\nWhat?"}
    row = {
        "chosen": [asked, {"role": "assistant", "content": "A cat."}],
        "rejected": [asked, {"role": "assistant", "content": "A dog."}],
        "images": ["a.png"],
    }
    assert drafts("trl", row)[0].prompt.text == "What?"
    row["rejected"] = [{"role": "user", "content": "Who?"}, row["rejected"][1]]
    with pytest.raises(LabelError, match="'prompt' is missing, and chosen and rejected do not"):
        drafts("trl", row)


def test_trl_turns_and_pictures_are_parts_in_their_order():
    turns = [
        {"role": "user", "content": "<image> What?"},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "image"}]},
    ]
    (draft,) = drafts("trl", {**TRL, "prompt": turns, "images": ["a.png", "b.jpg"]})
    told = [(part.role, part.text or part.media.data) for part in draft.prompt.parts]
    assert told == [
        ("question", read("a.png")),
        ("user", "What?"),
        ("assistant", "A cat."),
        ("user", "And"),
        ("question", read("b.jpg")),
    ]
    (both,) = drafts("trl", {**TRL, "prompt": "Alike?", "images": ["a.png", "b.jpg"]})
    assert [part.role for part in both.prompt.parts] == ["question", "question", "user"]
    with pytest.raises(LabelError, match="'prompt' is no dialogue: the last to speak is to be"):
        drafts("trl", {**TRL, "prompt": turns[:2], "images": ["a.png"]})
    system = {"role": "system", "content": "Be brief."}
    with pytest.raises(LabelError, match="'prompt' has a message of role 'system' beside several"):
        drafts("trl", {**TRL, "prompt": [system, *turns], "images": ["a.png", "b.jpg"]})


@pytest.mark.parametrize("value", [[], {}, 7])
def test_trl_messages_are_a_text_or_a_list(value):
    fault = f"'chosen' is {type(value).__name__}, neither text nor a list of messages"
    with pytest.raises(LabelError, match=fault):
        drafts("trl", {**TRL, "chosen": value})


def test_llava_critic_pair_and_score():
    (pair,) = drafts("llava-critic", CRITIC)
    assert (pair.first_answer, pair.second_answer) == ("A cat [sic].", "A dog.")
    assert (pair.preference, pair.justification) == ("first", "It shows a cat.")
    assert pair.annotator == "model:llava-critic"
    asked = "Score out of 100.\nQuestion: [What?]\nThe LMM response: [A cat.]\nASSISTANT:\n"
    (point,) = drafts("llava-critic", talk(asked, "85\nIt is right.", image="a.png"))
    assert (point.rating, point.first_answer, point.justification) == (85, "A cat.", "It is right.")
    with pytest.raises(LabelError, match=r"'conversations' is 850.0, not a number from 0 to 100"):
        drafts("llava-critic", talk(asked, "Score: 850", image="a.png"))


def test_unified_reward_tells_the_task_from_what_was_asked():
    (pair,) = drafts("unified-reward", UNIFIED)
    assert (pair.prompt.text, pair.preference, pair.justification) == ("a red cat", "second", "")
    assert pair.prompt.task == "image_generation"
    asked = "Rate the clip.\n**Text Caption:** a red cat\n"
    (point,) = drafts("unified-reward", talk(asked, "Final Score: 7.5", images=["clip.mp4"]))
    assert (point.prompt.task, point.rating, point.scale) == ("video_generation", 7.5, (1, 10))
    (answer,) = drafts("unified-reward", talk(PAIR_QUESTION, "Answer 2 is better.", video="d.mp4"))
    assert (answer.prompt.task, answer.preference) == ("video_understanding", "second")


def test_a_question_holds_its_medium_and_a_caption_leaves_it_to_the_sides():
    (pair,) = drafts("unified-reward", UNIFIED)
    assert pair.prompt.media is None
    assert (pair.first.data, pair.second.data) == (read("a.png"), read("b.jpg"))
    assert (pair.first_answer, pair.second_answer) == (None, None)
    asked = "Rate it.\nText Caption: [a red cat]"
    (point,) = drafts("unified-reward", talk(asked, "Final Score: 4", images=["a.png"]))
    assert (point.first.data, point.second) == (read("a.png"), None)
    (answers,) = drafts("llava-critic", CRITIC)
    assert answers.prompt.media.data == read("a.png")
    assert (answers.first, answers.second) == (None, None)
    asked = "Question: [What?]\nThe LMM response: [A cat.]"
    (point,) = drafts("llava-critic", talk(asked, "85", image="a.png"))
    assert (point.prompt.media.data, point.second_answer) == (read("a.png"), None)


def test_an_empty_part_is_none():
    asked = "Question: []\nText Caption: [a red cat]\nRate it."
    (point,) = drafts("unified-reward", talk(asked, "Final Score: 4", images=["a.png"]))
    assert (point.prompt.task, point.prompt.text) == ("image_generation", "a red cat")
    with pytest.raises(LabelError, match="ask about neither a 'Text Caption' nor a 'Question'"):
        drafts("unified-reward", talk("Text Caption: [ ]", "Final Score: 4", images=["a.png"]))


def test_a_clip_that_comes_as_its_frames_is_put_together():
    frames = ["a.png", "c.png"] * 2
    asked = "Which video is better? Video 1 or Video 2?\nText Caption: [a red cat]"
    row = talk(asked, "Video 1 is better than Video 2.", images=frames)
    (pair,) = drafts("unified-reward", row)
    assert pair.prompt.task == "video_generation"
    assert (pair.first.num_frames, pair.second.num_frames) == (2, 2)
    with pytest.raises(LabelError, match="'images' has 3 media, and this needs 2"):
        drafts("unified-reward", {**row, "images": frames[:3]})


def test_pairs_of_a_ranked_prompt_are_of_two_sides_each():
    ranked = {"prompt": "p", "image_path": ["a.png", "b.jpg", "c.png"], "rank": [2.0, 1.0, 2.0]}
    sides = [(one.first.data, one.second.data) for one in drafts("hpd", ranked)]
    a, b, c = map(read, ranked["image_path"])
    assert sides == [(a, b), (a, c), (b, c)]


@pytest.mark.parametrize(
    ("answered", "fault"),
    [
        ("", "has no turn from 'gpt'"),
        ("Hm.", "gives no verdict"),
        ("Image 1 is better than Image 2. Image 2 is better than Image 1.", "contradicts itself"),
    ],
)
def test_a_verdict_is_never_guessed(answered, fault):
    asked = UNIFIED["conversations"][0]["value"]
    with pytest.raises(LabelError, match=f"file: row 1: 'conversations' {fault}"):
        drafts("unified-reward", talk(asked, answered, images=["a.png", "b.jpg"]))


def test_many_pictures_are_the_frames_of_clips_where_videos_are_asked_about():
    with pytest.raises(LabelError, match="'images' has 16 media, and this needs 1"):
        drafts("unified-reward", talk(PAIR_QUESTION, "Answer 2 is better.", images=["a.png"] * 16))
    asked = "Compare the frames of two videos, Video 1 and Video 2.\nText Caption: [a red cat]"
    frames = ["a.png"] * 4 + ["c.png"] * 4
    (pair,) = drafts("unified-reward", talk(asked, "Video 1 is better.", images=frames))
    assert pair.prompt.task == "video_generation"
    assert pair.first is not None
    assert pair.second is not None
    assert (pair.first.num_frames, pair.second.num_frames) == (4, 4)
    assert pair.first != pair.second
    with pytest.raises(LabelError, match="'images' has 7 media, and this needs 2"):
        drafts("unified-reward", talk(asked, "Video 1 is better.", images=frames[1:]))
    mixed = ["a.png", "large.png", *frames[2:]]
    with pytest.raises(LabelError, match="'images' cannot be read: its frames are of different"):
        drafts("unified-reward", talk(asked, "Video 1 is better.", images=mixed))


def test_a_clip_of_which_only_frames_are_there():
    row = {**VIDEO, "video link": "https://host/absent.mp4", "images": ["a.png", "c.png"]}
    (draft,) = drafts("video-feedback", row)
    assert draft.first is not None
    assert draft.first.num_frames == 2


def test_the_benchmarks():
    (answers,) = drafts("vl-rewardbench", VLRB)
    assert (answers.preference, answers.prompt.tags["category"]) == ("second", "hallucination")
    general = drafts("vl-rewardbench", {**VLRB, "id": "wildvision_1"})
    assert general[0].prompt.tags["category"] == "general"
    (pictures,) = drafts("genai-bench", GENAI)
    assert (pictures.preference, pictures.prompt.task) == ("tie", "image_generation")
    clips = {"prompt": "p", "left_video": mp4(), "right_video": "d.mp4", "vote_type": "leftvote"}
    assert drafts("genai-bench", clips)[0].prompt.task == "video_generation"
    (videos,) = drafts("videogen-rewardbench", VIDEOGEN)
    assert (videos.preference, videos.prompt.task) == ("second", "video_generation")
    assert drafts("videogen-rewardbench", {**VIDEOGEN, "Overall": "same"})[0].preference == "tie"


@pytest.mark.parametrize(
    ("name", "row", "change", "fault"),
    [
        (
            "pick-a-pic",
            PICK,
            {"caption": None},
            "'caption' is missing; the row has: caption, jpg_0",
        ),
        ("pick-a-pic", PICK, {"caption": "  "}, "'caption' is empty"),
        ("pick-a-pic", PICK, {"jpg_1": b"no picture"}, "'jpg_1' cannot be read"),
        ("pick-a-pic", PICK, {"jpg_1": mp4()}, "'jpg_1' is a clip, and this task is about a pict"),
        ("pick-a-pic", PICK, {"label_0": 0.7}, "'label_0' is 0.7, not 0, 0.5 or 1"),
        ("pick-a-pic", PICK, {"label_0": True}, "'label_0' is True, not a number from 0 to 1"),
        ("hpd", HPD_TRAIN, {"human_preference": [1]}, "'human_preference' has 1 items, not 2"),
        (
            "hpd",
            HPD_TRAIN,
            {"file_path": ["a.png", "e.png"]},
            "'file_path' names 'e.png': no such",
        ),
        ("hpd", HPD_TRAIN, {"file_path": "a.png"}, "'file_path' is str, not a list"),
        ("image-reward", REWARD, {"rank": "best"}, "'rank' is 'best', not a number from 1"),
        ("image-reward", REWARD, {"overall_rating": 9}, "'overall_rating' is 9, not a number"),
        (
            "evalmuse",
            EVALMUSE,
            {"total_score": [6]},
            "'total_score' is 6, not a number from 1 to 5",
        ),
        ("video-feedback", VIDEO, {"visual quality": None}, "'visual quality' is missing"),
        (
            "video-feedback",
            VIDEO,
            {"video link": "x/a.png"},
            "'video link' is a picture, and this task is",
        ),
        ("trl", TRL, {"images": ["a.png", "b.jpg"]}, "'images' has 2 items, and the messages sh"),
        ("trl", TRL, {"images": []}, "'images' is empty"),
        ("trl", TRL, {"images": None}, "'image' is missing"),
        ("trl", TRL, {"chosen": [{"role": "assistant"}]}, "'chosen' holds a message without"),
        ("llava-critic", CRITIC, {"image": None}, "'image' is missing"),
        ("llava-critic", CRITIC, {"conversations": "x"}, "'conversations' is str, not a list"),
        ("unified-reward", UNIFIED, {"images": ["a.png", 3]}, "'images' is int, neither bytes nor"),
        (
            "vl-rewardbench",
            VLRB,
            {"human_ranking": [0, 0]},
            r"'human_ranking' is \[0.0, 0.0\], not",
        ),
        ("vl-rewardbench", VLRB, {"response": ["x", ""]}, "'response' is empty"),
        ("genai-bench", GENAI, {"vote_type": "left"}, "'vote_type' is 'left'; known: leftvote"),
        ("videogen-rewardbench", VIDEOGEN, {"Overall": "C"}, "'Overall' is 'C', not A, B, same or"),
    ],
)
def test_a_wrong_field_is_named_with_its_row(name, row, change, fault):
    with pytest.raises(LabelError, match=f"file: row 1: {fault}"):
        drafts(name, {**row, **change})


# ----------------------------------------------------------------------------------- to labels


def test_prompts_share_a_split_and_the_share_is_kept():
    prompts = [Prompt.of(f"prompt {n}") for n in range(2000)]
    labels = [
        finish(Draft(one, "x", preference="tie"), f"row {n}", 0.2) for n, one in enumerate(prompts)
    ]
    heldout = sum(label.split == "heldout" for label in labels)
    assert 320 < heldout < 480  # ± 4.5 standard deviations
    again = finish(Draft(prompts[0], "y", preference="first"), "elsewhere", 0.2)
    assert again.split == labels[0].split
    assert again.label_id != labels[0].label_id


def test_where_a_label_comes_from_goes_to_its_prompt_too():
    draft = Draft(Prompt.of("x"), "x", preference="tie")
    label = finish(draft, "row 1", 0.2, origin=Origin(license="CC0"))
    assert label.origin == label.prompt.origin == Origin(license="CC0")
    own = replace(draft, prompt=Prompt.of("x", origin=Origin("book")), origin=Origin("shop"))
    label = finish(own, "row 1", 0.2, origin=Origin(license="CC0"))
    assert (label.origin, label.prompt.origin) == (Origin("shop"), Origin("book"))


def test_parts_that_nothing_here_takes_are_refused():
    prompt = Prompt.of_parts([Part("sound", media=Media(b"x", 1, 1)), Part("user", "x")])
    with pytest.raises(PartsError, match="part 1: role 'sound' is not yet drawn from or judged"):
        finish(Draft(prompt, "x", preference="tie"), "row 1", 0.2)


def test_questions_about_one_picture_share_a_split():
    (draft,) = drafts("vl-rewardbench", VLRB)
    other = drafts("vl-rewardbench", {**VLRB, "query": "Which colour?"})[0]
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert finish(draft, "a", share).split == finish(other, "b", share).split


@pytest.mark.parametrize(
    ("rating", "wanted", "points"),
    [(1, (1, 5), 1), (4, (1, 5), 5), (2.5, (1, 5), 3), (2.6, None, 2.6), (2.5, (1, 10), 5.5)],
)
def test_ratings_are_mapped_to_the_judges_scale(rating, wanted, points):
    draft = Draft(Prompt.of("p"), "x", rating=rating, scale=(1, 4))
    assert finish(draft, "a", 0.0, wanted).points == points


def test_sides_are_shuffled_evenly_and_always_the_same():
    draft = Draft(Prompt.of("p"), "x", first_answer="a", second_answer="b", preference="first")
    swapped = [shuffled(draft, n).preference == "second" for n in range(1000)]
    assert 420 < sum(swapped) < 580
    assert swapped == [shuffled(draft, n).preference == "second" for n in range(1000)]
    assert shuffled(draft, swapped.index(True)).second_answer == "a"
    # As in every import so far: a label's id is that of its sides in their order.
    assert swapped[:8] == [True, True, False, True, True, False, False, False]
