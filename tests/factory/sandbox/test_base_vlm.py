"""How the sandbox base is trained: what is half right, what is seen, and from which weights."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from transformers import LlavaForConditionalGeneration

from factory.sandbox import gallery
from factory.sandbox.base_vlm import (
    BlindDocument,
    Document,
    _average_gradients,
    _go_on_from,
    answer_loss,
    build_model,
    build_processor,
    checking_document,
    collate,
    grade,
    reciting_document,
    seeing_document,
)
from factory.sandbox.tokenizer import IMAGE
from factory.sandbox.world import COLOURS, DIRECTIONS, SHAPES, SIZES

#: An earlier base, of fewer vision layers.
EARLIER = "factory/sandbox/weights/base"


@pytest.fixture(scope="module")
def tokenizer():  # type: ignore[no-untyped-def]
    return build_processor().tokenizer


@pytest.mark.parametrize("value", [0.0, 0.2, 3.5, 4.75, 8.9, 9.0])
def test_a_number_is_expected_between_its_neighbours(tokenizer, value: float) -> None:  # type: ignore[no-untyped-def]
    document = Document(tokenizer)
    document.say("check :")
    document.expect_number(value)
    likely, less = (
        int(tokenizer.convert_ids_to_tokens(ids[-1])) for ids in (document.targets, document.others)
    )
    share = document.shares[-1]
    assert 0.5 <= share <= 1.0
    assert share * likely + (1 - share) * less == pytest.approx(value)
    document.take()
    assert document.ids[-1] == document.targets[-2]


def test_a_grade_falls_with_the_number_of_wrong_elements() -> None:
    assert [grade(wrong) for wrong in (0.0, 1.0, 2.0, 3.5, 5.5, 9.0)] == [5, 4, 3, 2, 1, 1]
    assert grade(0.5) == 4.5


def test_the_loss_of_what_is_half_right_is_weighed(tokenizer) -> None:  # type: ignore[no-untyped-def]
    """0.3 of a yes and 0.7 of a no, beside a word that is certain."""
    document = Document(tokenizer)
    document.show(next(gallery.drawn(1, seed=4)).pictures[0])
    document.say("caption :")
    document.answer("red")
    document.say("a circle")
    document.expect_right(0.3)
    model = build_model(tokenizer).eval()
    batch = collate([document], tokenizer.pad_token_id)
    with torch.no_grad():
        loss, right = answer_loss(model, batch)
        log_p = model(
            input_ids=batch["input_ids"], pixel_values=batch["pixel_values"]
        ).logits[0].log_softmax(-1)  # fmt: skip
    yes, no, red = tokenizer.convert_tokens_to_ids(["yes", "no", "red"])
    first, last = document.ids.index(red) - 1, len(document.ids) - 1
    wanted = (-log_p[first, red] - 0.3 * log_p[last, yes] - 0.7 * log_p[last, no]) / 2
    torch.testing.assert_close(loss, wanted)
    said = [log_p[first].argmax() == red, log_p[last].argmax() == no]
    assert right.item() == pytest.approx(sum(map(float, said)) / 2)


def seen(tokenizer, series, seed, num_words):  # type: ignore[no-untyped-def]
    """All words of a picture or clip that is seen, and those of each thing in it."""
    document = seeing_document(tokenizer, series, random.Random(seed))
    words = tokenizer.convert_ids_to_tokens(document.ids)
    assert "<unk>" not in words
    things = " ".join(words).split("things : ")[1].partition(" on ")[0].split()
    return words, [things[at : at + num_words] for at in range(0, len(things), num_words)]


def test_each_thing_that_is_seen_is_told_from_left_to_right(tokenizer) -> None:  # type: ignore[no-untyped-def]
    series = list(gallery.drawn(1, seed=6))
    told = set()
    for seed in range(40):
        words, each = seen(tokenizer, series, seed, num_words=5)
        assert words.count(IMAGE) == 16
        told.add(tuple(map(tuple, each)))
        for x, y, size, colour, shape in each:
            assert (x + y).isdigit()
            assert size in SIZES
            assert colour in COLOURS
            assert shape in SHAPES
        assert [one[0] for one in each] == sorted(one[0] for one in each)
    # Four pictures, and each in a mirror, of which some look alike.
    counts = {min(4, len(sight.blobs)) for sight in series[0].sights}
    assert {len(one) for one in told} == counts
    assert 2 <= len(told) <= 8


def test_of_a_clip_the_way_of_each_thing_is_told(tokenizer) -> None:  # type: ignore[no-untyped-def]
    series = list(gallery.drawn_clips(8, seed=6))
    ways = set()
    for seed in range(30):
        for *_, dx, dy, direction, _ in seen(tokenizer, series, seed, num_words=9)[1]:
            ways.add(direction)
            if direction in DIRECTIONS:  # 4 and 5 stand for no way at all
                x, y = DIRECTIONS[direction]
                along = x * (int(dx) - 4.5) + y * (int(dy) - 4.5)
                assert along > 0
    assert {"none", "left", "right"} <= ways


def test_added_layers_change_nothing_before_they_are_trained(tokenizer) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    model = build_model(tokenizer)
    _go_on_from(model, EARLIER)
    earlier = LlavaForConditionalGeneration.from_pretrained(EARLIER, dtype=torch.float32)
    assert len(model.model.vision_tower.encoder.layers) > len(
        earlier.model.vision_tower.encoder.layers
    )
    document = seeing_document(tokenizer, list(gallery.drawn(2, seed=6)), random.Random(1))
    batch = collate([document], tokenizer.pad_token_id)
    given = {"input_ids": batch["input_ids"], "pixel_values": batch["pixel_values"]}
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(**given).logits, earlier.eval()(**given).logits)
    loss, _ = answer_loss(model, batch)
    loss.backward()
    # They can be: the layers that end each addition have a gradient.
    assert model.model.vision_tower.encoder.layers[-1].mlp.fc2.weight.grad.abs().max() > 0


def test_weights_that_are_no_earlier_base_are_refused(tokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    other = build_model(tokenizer)
    other.model.language_model.layers = other.model.language_model.layers[:2]
    other.config.text_config.num_hidden_layers = 2
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"not an earlier base; other weights: .*layers\.2"):
        _go_on_from(build_model(tokenizer), str(tmp_path))


def _averaged(rank: int, rendezvous: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    model = nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.full((1, 2), float(rank))
    _average_gradients(model)  # type: ignore[arg-type]
    torch.testing.assert_close(model.weight.grad, torch.full((1, 2), 0.5))


def test_two_processes_learn_from_the_mean_of_their_gradients(tmp_path: Path) -> None:
    mp.spawn(_averaged, (str(tmp_path / "rendezvous"),), nprocs=2)  # raises what a process raised


def test_what_is_read_blind_is_the_same_text_and_tells_the_verdict_alone(tokenizer) -> None:  # type: ignore[no-untyped-def]
    shown = list(gallery.drawn(6, seed=6))
    for seed in range(20):
        seen = checking_document(tokenizer, shown, random.Random(seed))
        blind = checking_document(tokenizer, shown, random.Random(seed), BlindDocument)
        assert blind.pictures == []
        image = tokenizer.convert_tokens_to_ids(IMAGE)
        assert blind.ids == [one for one in seen.ids if one != image]
        words = tokenizer.convert_ids_to_tokens(blind.ids)
        told = [at for at, target in enumerate(blind.targets) if target != -100]
        begin = words.index("closer" if "closer" in words else "reason")
        assert told[0] == begin + 1  # the colon after it
        assert all(blind.targets[at] == blind.ids[at + 1] for at in told)


def test_a_batch_of_texts_alone_has_a_loss(tokenizer) -> None:  # type: ignore[no-untyped-def]
    documents = [reciting_document(tokenizer, random.Random(seed)) for seed in range(3)]
    for document in documents:
        words = tokenizer.convert_ids_to_tokens(document.ids)
        at, end = words.index("describe"), words.index(":")
        assert words[end + 1 : at - 1] == words[at + 2 : -1]
    loss, _ = answer_loss(build_model(tokenizer).eval(), collate(documents, tokenizer.pad_token_id))
    assert 3 < loss.item() < 8  # untrained
