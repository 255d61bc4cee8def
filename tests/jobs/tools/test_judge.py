"""`jobs.judge`: files and words in, scores, comparisons and reasons out."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

from actors.refs import EndpointRef, JudgeRef
from factory.judging.reading import score_of
from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from factory.ranking.matchups import matchup
from factory.sandbox.drawing import draw, draw_clip
from factory.sandbox.world import caption, parse, sample_scene
from jobs.judge import main
from jobs.tools.judge import Case, Judgement, as_json, as_text, asked_dry, read_case
from schemas.recipe import Endpoint, JudgeSpec
from schemas.rows import Duel, Prompt, Reply, Score

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "media"
BASE = "factory/sandbox/weights/base4"
RIGHT = "a large red circle in the center on a white background"
WRONG = "a large blue cross in the center on a white background"
BLUE = "a large blue circle in the center on a white background"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory, rng = tmp_path_factory.mktemp("files"), random.Random(0)
    for name, text in (("right", RIGHT), ("wrong", WRONG), ("blue", BLUE)):
        (directory / f"{name}.png").write_bytes(encode_png(draw(parse(text), rng, 32)))
    scene = sample_scene(rng, moving=True)
    (directory / "clip.mp4").write_bytes(encode_clip(draw_clip(scene, rng, 32, 8), 8.0))
    (directory / "broken.png").write_bytes(b"\x89PNG and no more")
    (directory / "empty.png").write_bytes(b"")
    (directory / "single.mp4").write_bytes((CASES / "one-frame.mp4").read_bytes())
    (directory / "animated.webp").write_bytes((CASES / "animated-3-frames.webp").read_bytes())
    (directory / "long.png").write_bytes(encode_png(np.full((8, 2010, 3), 90, np.uint8)))
    (directory / "clip.txt").write_text(caption(scene))
    return {
        path.stem if path.suffix != ".txt" else "said": str(path) for path in directory.glob("*")
    }


def test_two_pictures_are_scored_and_compared(files, capsys):
    asked = ["--judge", BASE, "--image", files["right"], "--image", files["wrong"]]
    assert main([*asked, "--caption", RIGHT, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    right, wrong = found["scores"]
    assert right["score"] > wrong["score"] + 1
    assert found["task"] == "image_generation"
    (pair,) = found["pairs"]
    assert (pair["first"], pair["second"]) == (files["right"], files["wrong"])
    assert pair["verdict"] == "first"
    assert pair["p_first"] + pair["p_second"] + pair["p_tie"] == pytest.approx(1.0)

    assert main([*asked, "--caption", RIGHT]) == 0
    told = capsys.readouterr().out
    assert f"{right['score']:.2f} ± {right['spread']:.2f}  {files['right']}" in told


def test_a_verdict_is_explained_where_the_judge_is_sure_of_the_reason(files, capsys):
    """As it is of a single fault."""
    asked = ["--judge", BASE, "--image", files["right"], "--image", files["blue"]]
    assert main([*asked, "--caption", RIGHT, "--json"]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    why = "image 1 is better because in image 2 the circle should be red"
    assert pair["reason"].startswith(why)
    assert main([*asked, "--caption", RIGHT]) == 0
    assert f"because: {pair['reason']}" in capsys.readouterr().out


def test_answers_to_a_question_are_compared(files, capsys):
    question = ["--question", "what colour is the circle ?", "--answer", "blue", "--answer", "red"]
    assert main(["--judge", BASE, "--image", files["right"], *question, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == "image_understanding"
    assert found["pairs"][0]["verdict"] == "second"


def test_a_question_may_be_about_several_pictures(files, capsys):
    case = read_case(
        [Path(files["right"]), Path(files["wrong"])], "alike ?", ["no"], is_video=False
    )
    paths = [files["right"], files["wrong"]]
    shown = [one.data for one in case.prompt.media_of("question")]
    assert shown == [Path(path).read_bytes() for path in paths]
    asked = ["--question", "alike ?", "--answer", "no"]
    images = [word for path in paths for word in ("--image", path)]
    assert main(["--judge", BASE, *images, *asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["prompt"], found["scores"][0]["error"]) == ("alike ?", None)


def test_one_clip_is_scored_alone(files, capsys):
    text = Path(files["said"]).read_text()
    assert main(["--judge", BASE, "--video", files["clip"], "--caption", text, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"] == []
    assert 1 <= found["scores"][0]["score"] <= 5


@pytest.mark.parametrize(("option", "task"), [("--image", "image"), ("--video", "video")])
def test_a_clip_of_one_frame_is_scored_by_either_option(files, option, task, capsys):
    asked = ["--judge", BASE, option, files["single"], "--caption", RIGHT, "--json"]
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["task"] == f"{task}_generation"
    assert 1 <= found["scores"][0]["score"] <= 5


def test_a_candidate_that_cannot_be_shown_leaves_the_others_judged(files, capsys):
    images = [word for name in ("right", "long", "wrong") for word in ("--image", files[name])]
    assert main(["--judge", BASE, *images, "--caption", RIGHT, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    right, long, wrong = found["scores"]
    assert right["score"] > wrong["score"]
    assert long["score"] is None
    assert long["error"].startswith("not shown: 2010 × 8 pixels")
    assert "at most 200 times" in long["error"]
    assert [pair.get("error") for pair in found["pairs"]] == ["not compared", None, "not compared"]


def test_what_could_not_be_read_is_told_in_the_judges_words():
    reply = Reply(None, "judge@1", "a.png", error="unreadable: no number", text="I'd say: fine.")
    case = Case(Prompt.of(RIGHT), ())
    said = as_text(Judgement(case, "judge@1", (score_of(reply),), ("",), (), ()))
    assert """invalid: unreadable: no number; it wrote "I'd say: fine."  a.png""" in said


def test_what_could_not_be_judged_has_an_error_and_no_number():
    prompt = Prompt.of(RIGHT)
    scores = (
        Score("a.png", "judge@1", 3.5, 0.25),
        Score("b.png", "judge@1", math.nan, math.nan, "broken media"),
        Score("c.png", "judge@1", 2.0, 0.5),
    )
    duels = [Duel("a.png", "c.png", "judge@1", 0.7, 0.2, 0.1)]
    duels += [Duel("c.png", "a.png", "judge@1", 0.5, 0.4, 0.1)]  # turns with the order
    pairs = (
        ("a.png", "b.png", None),
        ("a.png", "c.png", matchup(duels, "a.png", "c.png")),
    )
    found = Judgement(Case(prompt, ()), "judge@1", scores, ("", "", "it is far"), pairs, ("", "so"))
    told = json.loads(as_json(found))
    assert told["scores"] == [
        {"candidate": "a.png", "score": 3.5, "spread": 0.25, "reason": "", "error": None},
        {
            "candidate": "b.png",
            "score": None,
            "spread": None,
            "reason": "",
            "error": "broken media",
        },
        {"candidate": "c.png", "score": 2.0, "spread": 0.5, "reason": "it is far", "error": None},
    ]
    unknown, known = told["pairs"]
    assert unknown == {"first": "a.png", "second": "b.png", "reason": "", "error": "not compared"}
    assert (known["verdict"], known["is_flipped"], known["reason"]) == ("first", True, "so")
    assert known["p_first"] == pairs[1][2].p_first
    assert as_text(found).splitlines() == [
        f"judge@1 on image_generation: {RIGHT}",
        "  3.50 ± 0.25  a.png",
        "  invalid: broken media  b.png",
        "  2.00 ± 0.50  c.png",
        "    because: it is far",
        "  not compared: a.png | b.png",
        f"  first {known['p_first']:.2f}, second {known['p_second']:.2f}, tie "
        f"{known['p_tie']:.2f} (turns with the order shown)  a.png | c.png",
        "    because: so",
    ]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--image", "none.png", "--caption", "a"], "none.png: cannot be read: No such file"),
        (["--image", "{broken}", "--caption", "a"], "broken.png: "),
        (["--image", "{clip}", "--caption", "a"], "is a clip of 8 frames; give it by --video"),
        (["--image", "{animated}", "--caption", "a"], "an animated WEBP of 3 frames is no picture"),
        (["--video", "{animated}", "--caption", "a"], "or all of them as an MP4 clip"),
        (["--image", "{empty}", "--caption", "a"], "the file is empty"),
        (["--video", "{right}", "--caption", "a"], "is a picture; give it by --image"),
        (["--image", "{right}", "--caption", " "], "is empty"),
        (["--image", "{right}", "--caption", "a\x00b"], "control character"),
        (["--image", "{right}", "--caption", "\u200b"], "nothing that can be seen"),
        (["--image", "{right}", "--caption", "a\udc80"], "half of a surrogate pair"),
        (["--image", "{right}", "--image", "{right}", "--caption", "a"], "given twice"),
        (["--image", "{right}", "--question", "what ?"], "--answer"),
        (["--image", "{right}", "--caption", "a", "--answer", "b"], "--answer"),
        (["--image", "{right}", "--caption", "a", "--judge", "no/such/judge"], "--judge"),
    ],
)
def test_what_cannot_be_judged_is_named(files, arguments, fault, capsys):
    assert main([one.format(**files) for one in arguments]) == 2
    assert fault in capsys.readouterr().err


def test_what_would_be_asked_is_told_without_weights(files, tmp_path):
    for part in Path(BASE).iterdir():
        if part.suffix != ".safetensors":
            (tmp_path / part.name).write_bytes(part.read_bytes())
    case = read_case([Path(files["right"]), Path(files["wrong"])], RIGHT, [], is_video=False)
    told = asked_dry(JudgeRef(str(tmp_path), "judge@0"), case, is_json=False)
    points, pair = told.split("\n\n")
    assert points.startswith("a question of points: ")
    assert "caption : a large red circle" in points
    assert ": a medium" in points
    assert "first: decided by" in pair
    (score, duel) = json.loads(asked_dry(JudgeRef(str(tmp_path), "judge@0"), case, is_json=True))
    assert [len(score["places"]), len(duel["places"])] == [1, 2]


def test_what_would_be_posted_is_told_without_a_server(files):
    case = read_case([Path(files["right"]), Path(files["wrong"])], RIGHT, [], is_video=False)
    spec = JudgeSpec(
        path="http://localhost:1/v1",
        specification="rationalrewards-t2i",
        endpoint=Endpoint(model="m"),
    )
    told = json.loads(asked_dry(EndpointRef(spec, "judge@0"), case, is_json=True))
    score, duel = (json.loads(told[kind]) for kind in ("score", "duel"))
    assert [turn["role"] for turn in score["messages"]] == ["system", "user"]
    assert [turn["role"] for turn in duel["messages"]] == ["user"]
    kinds = [part["type"] for part in duel["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    shown = duel["messages"][0]["content"][1]["image_url"]["url"]
    assert shown.startswith("data:image/png;base64,… (")
    assert (score["temperature"], score["max_tokens"]) == (0.1, 4096)
    assert 0 <= score["seed"] < 2**31
