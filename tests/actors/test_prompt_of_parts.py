"""A question with two pictures in two turns, and an edit, from their files to pairs on tiny models.

The policy is the sandbox's base under a chat template, the judge a tiny checkpoint of random
weights: what is tested is that every part gets everywhere, not what anyone makes of it.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.generators import load_generator
from actors.judges import TransformersJudge
from actors.trainers.answers import AnswerDPO
from factory.alignment.losses import Objective
from factory.curation.curator import Curator
from factory.judging.specification import DEFAULT
from factory.keys import prompt_digest
from factory.media.pictures import encode_png
from factory.prompts import PromptsFile
from factory.ranking import RoundRobin
from schemas.arrow import groups_from_table, groups_to_table, pairs_from_table, pairs_to_table
from schemas.recipe import Answering, GeneratorSpec
from schemas.rows import Group, Origin
from tests.tiny.spelt import save_llava_onevision

BASE = Path(__file__).parents[2] / "factory/sandbox/weights/base"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %} image : <image>"
    "{% elif message['role'] == 'user' %} question : {{ part['text'] }} answer :"
    "{% else %} {{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
PARTS = [
    {"role": "question", "media": "a.png", "license": "CC0-1.0"},
    {"role": "user", "text": "what colour is it ?"},
    {"role": "assistant", "text": "red"},
    {"role": "question", "media": "b.png"},
    {"role": "user", "text": "which one of the two is larger ?"},
]


@pytest.fixture
def prompts(tmp_path: Path) -> PromptsFile:
    for name, seed in (("a.png", 1), ("b.png", 2)):
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        (tmp_path / name).write_bytes(encode_png(pixels))
    row = {"task": "image_understanding", "parts": PARTS, "source": "a shop", "region": "north"}
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps(row))
    return PromptsFile(path)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    directory = tmp_path / "policy"
    shutil.copytree(BASE, directory)
    (directory / "chat_template.jinja").write_text(TEMPLATE)
    return str(directory)


def test_two_pictures_in_two_turns_are_answered_judged_paired_and_trained_on(
    prompts: PromptsFile, policy: str, tmp_path: Path
) -> None:
    (prompt,) = prompts
    asking = Answering(answer_end=".", max_new_tokens=24)
    spec = GeneratorSpec(path=policy, answering=asking)
    answered = load_generator(policy, "answerer@0", spec).generate(prompt, range(6))
    there = [one for one in answered if one.error is None]
    assert len({one.answer for one in there}) > 1

    save_llava_onevision(tmp_path / "judge")
    name = "unifiedreward-llava-onevision"
    judge = TransformersJudge(str(tmp_path / "judge"), "judge@1", specification=name)
    sitting = judge.sit(prompt, there)
    assert len(sitting.looks) == 2  # each picture is decoded once for all
    scores, strategy = sitting.scores(), RoundRobin()
    duels = sitting.duels(strategy.plan(scores, []))
    assert all(one.error is None for one in (*scores, *duels))
    group = Group(prompt, tuple(there), tuple(scores), tuple(duels))
    assert groups_from_table(groups_to_table([group])) == [group]

    (pair,) = Curator(strategy, ())(group)
    table = pairs_to_table([pair])
    (read,) = pairs_from_table(table)
    assert read.prompt == prompt
    assert prompt_digest(read.prompt) == prompt_digest(prompt)
    assert read.prompt.origin == Origin("a shop")
    assert [one.origin for one in read.prompt.media_of("question")] == [
        Origin(license="CC0-1.0"),
        None,
    ]
    learner = AnswerDPO(policy, Objective(0.1), asking).build(torch.device("cpu"), torch.float32)
    learner.prepare(learner.module, [{"pairs": table}])
    batch = learner.collate({"pairs": table})
    assert len(batch.inputs[0]["pixel_values"]) == 2 * 2  # both pictures of either side
    assert torch.isfinite(learner.loss(learner.module, batch)[0])


def test_an_edit_is_drawn_from_its_source_judged_beside_it_and_paired(
    sandbox_pipeline: str, tmp_path: Path
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    pipeline, drawn_from = str(tmp_path / "pipeline"), np.full((32, 32, 3), 200, np.uint8)
    StableDiffusionImg2ImgPipeline.from_pretrained(sandbox_pipeline).save_pretrained(pipeline)
    (tmp_path / "a.png").write_bytes(encode_png(drawn_from))
    parts = [{"role": "source", "media": "a.png"}, {"role": "user", "text": "a red circle"}]
    (tmp_path / "edits.jsonl").write_text(json.dumps({"parts": parts}))
    (prompt,) = PromptsFile(tmp_path / "edits.jsonl")
    spec = GeneratorSpec(path=pipeline, num_inference_steps=4)
    drawn = load_generator(pipeline, "editor@0", spec).generate(prompt, range(3))
    assert [one.error for one in drawn] == [None] * 3

    save_llava_onevision(tmp_path / "judge")
    judge = TransformersJudge(str(tmp_path / "judge"), "judge@1", specification=DEFAULT)
    sitting = judge.sit(prompt, drawn)
    assert len(sitting.looks) == 1 + 3
    scores, strategy = sitting.scores(), RoundRobin()
    duels = sitting.duels(strategy.plan(scores, []))
    assert all(one.error is None for one in (*scores, *duels))
    (pair,) = Curator(strategy, ())(Group(prompt, tuple(drawn), tuple(scores), tuple(duels)))
    (read,) = pairs_from_table(pairs_to_table([pair]))
    assert (read.prompt, read.verdict) == (prompt, "kept")
    assert [one.data for one in read.prompt.media_of("source")] == [encode_png(drawn_from)]
