"""How a specification is put to a model: drawn answers, frames as pictures, the system's turn."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from actors.judges import TransformersJudge
from actors.judges.dry import DryJudge
from actors.judges.looks import look_at, num_shown
from actors.trainers.judge import JudgeTask
from factory.judging.reading import read, reason_in
from factory.judging.specification import (
    DEFAULT,
    JudgeSpecification,
    SpecificationError,
    TaskSpecification,
    find,
)
from factory.judging.targets import answer_in_words
from factory.judging.text import parse_duel
from factory.media.clips import describe, encode_clip
from factory.media.pictures import encode_png
from schemas.rows import Candidate, Dimension, Label, Media, Prompt, Reply, Sample, Task
from tests.tiny.spelt import SAVERS

QWEN = "unifiedreward-qwen2.5-vl"
CLIPS: Task = "video_generation"
PICTURES: Task = "image_generation"


def clip(level: int, num: int = 6, fps: float = 4.0) -> Media:
    frames = np.stack([np.full((32, 48, 3), level + 8 * at, np.uint8) for at in range(num)])
    return describe(encode_clip(frames, fps))


def picture(level: int, side: int = 32) -> Media:
    pixels = np.random.default_rng(level).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return Media(encode_png(pixels), side, side)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("qwen")
    SAVERS[QWEN](directory)
    return str(directory)


def asked(task: Task, **change: Any) -> JudgeSpecification:
    told: TaskSpecification = find("", QWEN).task(task)
    return JudgeSpecification({task: replace(told, **change)}, is_chat=True)


def test_an_answer_hangs_on_its_question_and_seed_and_on_nothing_beside(checkpoint: str) -> None:
    told = asked(PICTURES, reading="text", max_tokens=6, num_samples=3, temperature=1.5)
    prompt = Prompt.of("a red circle")
    candidates = [Candidate(str(n), "g@0", 0, picture(n)) for n in range(3)]

    def said(max_batch: int, few: list[Candidate], **more: Any) -> list[tuple[str, ...]]:
        judge = TransformersJudge(checkpoint, "j@1", "fp32", max_batch, told, **more)
        scores = judge.sit(prompt, few).scores()
        replies = [score.reply for score in scores if score.reply is not None]
        assert [reply.text for reply in replies] == [reply.samples[0].text for reply in replies]
        return [tuple(one.text for one in reply.samples) for reply in replies]

    together = said(64, candidates)
    assert all(len(set(samples)) > 1 for samples in together)  # they are drawn
    assert said(2, candidates) == together
    assert said(64, candidates[1:2]) == together[1:2]


def test_frames_that_are_shown_as_pictures_stand_one_by_one(checkpoint: str) -> None:
    told = asked(CLIPS, frames_as="images", between="\n", num_frames=3)
    judge = TransformersJudge(checkpoint, "j@1", specification=told)
    candidates = [Candidate(str(n), "g@0", 0, clip(n)) for n in (10, 90)]
    sitting = judge.sit(Prompt.of("it moves", CLIPS), candidates)
    words = judge.format.tokenizer
    start, video = (
        words.convert_tokens_to_ids(f"<|{one}|>") for one in ("vision_start", "video_pad")
    )
    pair = sitting.pair((0, 1))
    assert (pair.ids.count(start), video in pair.ids) == (6, False)
    assert "<|vision_end|>\n<|vision_start|>" in words.decode(pair.ids)
    # Sharing a beginning changes no number.
    (duel,) = sitting.duels([(0, 1)])
    alone = judge.sit(Prompt.of("it moves", CLIPS), candidates)
    alone.decoder.shares = False  # type: ignore[union-attr]
    (other,) = alone.duels([(0, 1)])
    assert duel.p_first == pytest.approx(other.p_first, abs=1e-5)


def test_frames_by_time_and_pixels_within_bounds() -> None:
    told = replace(DEFAULT.task(CLIPS), fps=2.0, num_frames=2, max_frames=4)
    assert [num_shown(told, num, 4.0) for num in (1, 6, 8, 10, 100)] == [2, 2, 4, 4, 4]
    assert num_shown(told, 100, 0.0) == 2
    candidates = [Candidate("a", "g@0", 0, clip(10, 8))]
    bounded = replace(told, max_pixels=24 * 16)
    looks, _ = look_at(Prompt.of("x", CLIPS), candidates, bounded)
    assert looks[0].frames.shape == (4, 16, 24, 3)
    assert looks[0].seconds == pytest.approx(0.5)
    small = [Candidate("a", "g@0", 0, picture(1, 10))]
    larger = replace(DEFAULT.task(PICTURES), min_pixels=400)
    looks, _ = look_at(Prompt.of("x"), small, larger)
    assert looks[0].frames.shape == (1, 20, 20, 3)


def test_the_system_speaks_first_and_a_turn_of_ones_own_is_written_as_it_is(
    checkpoint: str,
) -> None:
    dry = DryJudge(checkpoint, asked(PICTURES, system={"score": "Be fair."}))
    score, duel = dry.asked(
        Prompt.of("x"), [Candidate(str(n), "g@0", 0, picture(n)) for n in (1, 2)]
    )
    assert "<|im_start|>system\nBe fair.<|im_end|>" in score.text
    assert "Be fair." not in duel.text
    told = replace(asked(PICTURES), turn="<|im_start|>me\n{user}<|im_end|>\nsay:")
    (mine,) = DryJudge(checkpoint, told).asked(
        Prompt.of("x {media}"), [Candidate("1", "g@0", 0, picture(1))]
    )
    assert mine.text.startswith("<|im_start|>me\n<|vision_start|><|image_pad|> × 4 ")
    assert mine.text.endswith("<|im_end|>\nsay:")
    assert "x {media}" in mine.text


def test_a_dry_ask_is_what_the_judge_is_sent(checkpoint: str) -> None:
    told = asked(PICTURES)
    prompt, candidates = (
        Prompt.of("a cat"),
        [Candidate(str(n), "g@0", 0, picture(n)) for n in (1, 2)],
    )
    dry = DryJudge(checkpoint, told).asked(prompt, candidates)
    sitting = TransformersJudge(checkpoint, "j@1", specification=told).sit(prompt, candidates)
    texts = (sitting.point(0), sitting.pair((0, 1)))
    assert [[token for token, _ in one.tokens] for one in dry] == [list(text.ids) for text in texts]
    assert [len(one.places) for one in dry] == [1, 2]
    assert dry[1].answer[0] == "read by logits, on 1 chain(s) of tokens behind the prompt"


def test_what_a_checkpoint_was_not_trained_for_is_not_asked(checkpoint: str) -> None:
    told = asked(PICTURES, pointwise="")
    judge = TransformersJudge(checkpoint, "j@1", specification=told)
    candidates = [Candidate(str(n), "g@0", 0, picture(n)) for n in (1, 2)]
    sitting = judge.sit(Prompt.of("a cat"), candidates)
    (score, _), (duel,) = sitting.scores(), sitting.duels([(0, 1)])
    assert score.error is not None
    assert score.error.startswith("not asked: this checkpoint was not trained for pointwise")
    assert duel.error is None
    assert judge.num_forwards == 1
    with pytest.raises(SpecificationError, match="video_generation"):
        judge.sit(Prompt.of("x", CLIPS), [])


def test_several_answers_are_read_together_and_the_reason_is_that_of_those_who_agree() -> None:
    told = find("", "unifiedreward-think").task(PICTURES)

    def answer(thought: str, side: int) -> Sample:
        return Sample(f"<think>{thought}</think><answer>Image {side} is better</answer>")

    samples = (answer("red", 1), answer("blue", 2), answer("green", 2), Sample("?"))
    reply = read(Reply(None, "j@1", "a", "b", text=samples[0].text, samples=samples), told)
    assert reply.numbers == pytest.approx((1 / 3, 2 / 3, 0.0))
    assert reason_in(reply, told) == "blue"
    few = replace(reply, samples=(samples[0], Sample("?"), Sample("")))
    unread = read(few, told).error
    assert unread == "unreadable: 1 of 3 answers can be read; no answer in tags"


def test_dimensions_go_into_breakdowns_of_scores_and_duels() -> None:
    told = find("", "unifiedreward-2.0").task(PICTURES)
    lines = "Alignment Score (1-5): 2.5\nCoherence Score (1-5): 4\nStyle Score (1-5): 1"
    score = read(Reply(None, "j@1", "a", text=lines), told)
    assert score.breakdown == {"overall": 2.5, "alignment": 2.5, "coherence": 4.0, "style": 1.0}
    pair = "\n\n".join(
        f"{name} Score:\n Image 1: {one}\n Image 2: {1 - one}"
        for name, one in (("Alignment", 0.25), ("Coherence", 0.5), ("Style", 0.75))
    )
    duel = read(Reply(None, "j@1", "a", "b", text=pair), told)
    assert duel.numbers == (0.0, 0.0, 1.0)
    assert [(one.name, one.preference, one.first) for one in duel.dimensions] == [
        ("alignment", "second", 0.25),
        ("coherence", "tie", 0.5),
        ("style", "first", 0.75),
    ]
    assert json.loads(json.dumps(duel.breakdown)) == {}


def test_a_judge_that_writes_dimensions_learns_to_write_them(checkpoint: str) -> None:
    told = JudgeSpecification({PICTURES: find("", "unifiedreward-2.0").task(PICTURES)}, True)
    learner = JudgeTask(checkpoint, told, 0.5).build(torch.device("cpu"), torch.float32)
    rated = tuple(
        Dimension(name, None, points)
        for name, points in (("alignment", 2.5), ("coherence", 4.0), ("style", 1.0))
    )
    prompt = Prompt.of("a red car")
    label = Label("l", prompt, "ann", picture(1), points=2.5, dimensions=rated)
    batch = learner.batch([label])
    words = learner.format.tokenizer
    learned = [token for token in batch.targets[0].tolist() if token >= 0]
    assert words.decode(learned) == (
        "Alignment Score (1-5): 2.5\nCoherence Score (1-5): 4\nStyle Score (1-5): 1<|im_end|>"
    )
    loss, _ = learner.loss(learner.module, batch)
    assert torch.isfinite(loss)
    pair = replace(
        label,
        second=picture(2),
        points=None,
        preference="first",
        dimensions=tuple(Dimension(one.name, "first", 0.75, 0.25) for one in rated),
    )
    written = answer_in_words(pair, told.task(PICTURES))
    assert written is not None
    assert parse_duel(written, told.task(PICTURES)).preference == "first"
    assert answer_in_words(replace(label, dimensions=rated[:2]), told.task(PICTURES)) is None
