"""How the sandbox base is trained: what is half right, and from which weights."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from transformers import LlavaForConditionalGeneration

from actors.sandbox import base_vlm, gallery
from actors.sandbox.base_vlm import (
    Pretraining,
    _average_gradients,
    _go_on_from,
    _pixel_values,
    _read,
    _spot,
    answer_losses,
    build_model,
    build_processor,
    pretrain_base,
)
from actors.sandbox.document import Document
from actors.sandbox.documents import reciting_document
from actors.sandbox.lessons import MIX, Batch, Lessons, collate
from actors.sandbox.spotting import Spotter, spots

BASE = "factory/sandbox/weights/base4"


def test_the_loss_of_what_is_half_right_is_weighed(tokenizer) -> None:  # type: ignore[no-untyped-def]
    """0.3 of a yes and 0.7 of a no, beside a word that is certain."""
    document = Document(tokenizer)
    document.show(next(gallery.drawn(1, seed=4)).pictures[0])
    document.say("caption :")
    document.answer("red")
    document.say("a circle")
    document.expect_right(0.3)
    model = build_model(tokenizer).eval()
    batch = collate([document], tokenizer.pad_token_id, kinds=[2], weights=[0.5])
    pixels = batch["pixels"].permute(0, 3, 1, 2) / 127.5 - 1.0
    with torch.no_grad():
        losses, right, rows = answer_losses(model, batch)
        logits = model(input_ids=batch["input_ids"], pixel_values=pixels).logits[0]
    log_p = logits.log_softmax(-1)
    yes, no, red = tokenizer.convert_tokens_to_ids(["yes", "no", "red"])
    first, last = document.ids.index(red) - 1, len(document.ids) - 1
    half = 0.3 * log_p[last, yes] + 0.7 * log_p[last, no]
    torch.testing.assert_close(losses, -torch.stack([log_p[first, red], half]))
    assert right.tolist() == [log_p[first].argmax() == red, log_p[last].argmax() == no]
    assert rows.tolist() == [0, 0]
    # In a step they count as its document's kind says, and its weight.
    found = _read(model, batch)
    assert found.nonzero()[:, 0].unique().tolist() == [2]
    torch.testing.assert_close(found[2, 0], losses.sum() / 2)
    assert model.lm_head.weight.grad.abs().max() > 0


def test_weights_that_are_no_earlier_base_are_refused(tokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    other = build_model(tokenizer)
    other.model.language_model.layers = other.model.language_model.layers[:2]
    other.config.text_config.num_hidden_layers = 2
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"(?s)no earlier base of the same shape: .*layers\.2"):
        _go_on_from(build_model(tokenizer), str(tmp_path))


def _averaged(rank: int, rendezvous: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    model = nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.full((1, 2), float(rank))
    _average_gradients(model)  # type: ignore[arg-type]
    torch.testing.assert_close(model.weight.grad, torch.full((1, 2), 0.5))


def test_two_processes_learn_from_the_mean_of_their_gradients(tmp_path: Path) -> None:
    mp.spawn(_averaged, (str(tmp_path / "rendezvous"),), nprocs=2)  # raises what a process raised


def test_a_batch_of_texts_alone_has_a_loss(tokenizer) -> None:  # type: ignore[no-untyped-def]
    documents = [reciting_document(tokenizer, random.Random(seed)) for seed in range(3)]
    batch = collate(documents, tokenizer.pad_token_id, [0] * 3, [1.0] * 3)
    losses, _, _ = answer_losses(build_model(tokenizer).eval(), batch)
    assert 3 < losses.mean().item() < 8  # untrained


@pytest.fixture
def two_looks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Steps of a training that logs its losses twice."""
    monkeypatch.setattr(base_vlm, "_LOG_EVERY", 20)
    return 40


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_base_learns(two_looks: int, device: str) -> None:
    processor = build_processor()
    lessons = Lessons(processor.tokenizer, None, [], gallery_size=24, batch_size=1, seed=0)
    lines: list[str] = []
    saved: list[object] = []
    model = pretrain_base(
        processor,
        lessons,
        Pretraining(num_steps=two_looks, learning_rate=3e-3, device=device, save_every=25),
        log=lines.append,
        save=saved.append,
    )
    assert len(saved) == 1
    assert model.device.type == "cpu"
    losses = _losses(lines)
    for kind in ("images", "recitals"):
        assert losses[1][kind] < 0.8 * losses[0][kind]


def test_a_base_that_goes_on_learns_to_spot(two_looks: int) -> None:
    """From the shipped one: from nothing, 160 pictures are too few for its tower."""
    processor = build_processor()
    lessons = Lessons(processor.tokenizer, None, [], gallery_size=24, batch_size=1, seed=0)
    lines: list[str] = []
    pretrain_base(processor, lessons, Pretraining(num_steps=two_looks), BASE, log=lines.append)
    losses = _losses(lines)
    assert losses[1]["spots"] < 0.8 * losses[0]["spots"]


def _losses(lines: list[str]) -> list[dict[str, float]]:
    """Of each kind, after 20 steps and after 40; "base step 20 images 0.282 (88.7%) clips …"."""
    words = [line.split()[3:] for line in lines]
    losses = [dict(zip(one[::3], map(float, one[1::3]), strict=True)) for one in words]
    assert [set(one) for one in losses] == [{*MIX, "spots"}] * 2
    return losses


def test_spotting_reaches_the_tower_and_is_learned(tokenizer) -> None:  # type: ignore[no-untyped-def]
    """From nothing, on a few pictures again and again: a step of a base so small has too few."""
    torch.manual_seed(0)
    model, spotter = build_model(tokenizer), Spotter(128)
    both = nn.ModuleList([model.model.vision_tower, spotter])
    optimizer = torch.optim.AdamW(both.parameters(), lr=2e-3)
    batch = spots(list(gallery.drawn(4, seed=8)), 16, random.Random(0))
    found = []
    for _ in range(60):
        optimizer.zero_grad()
        found.append(_spot(model, spotter, batch))
        optimizer.step()
    (first, _), (last, right) = found[0], found[-1]
    assert last < 0.5 * first
    assert right > 0.6


def test_the_shipped_tower_sees_shapes_in_pictures_that_it_has_not_seen(tokenizer) -> None:  # type: ignore[no-untyped-def]
    """A linear head, fitted to its features: the more they tell, the more it knows."""
    batches = [spots(list(gallery.drawn(96, seed)), 384, random.Random(seed)) for seed in (8, 9)]
    shipped = LlavaForConditionalGeneration.from_pretrained(BASE, dtype=torch.float32)
    assert _shapes_known(shipped, *batches) > 0.8
    torch.manual_seed(0)
    assert _shapes_known(build_model(tokenizer), *batches) < 0.65


def _shapes_known(model: LlavaForConditionalGeneration, fitted: Batch, fresh: Batch) -> float:
    with torch.no_grad():
        features, others = (
            model.model.vision_tower(pixel_values=_pixel_values(one)).last_hidden_state
            for one in (fitted, fresh)
        )
    spotter = Spotter(128)
    optimizer = torch.optim.AdamW(spotter.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        spotter.loss(features, fitted)[0].backward()
        optimizer.step()
    return float(spotter.loss(others, fresh)[1])
