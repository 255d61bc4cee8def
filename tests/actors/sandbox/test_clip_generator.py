"""The generator of clips: before training it is the generator of pictures, then it learns."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.sandbox.clip_generator import add_motion, draw_batch, train_clip_generator
from factory.sandbox.clip_oracle import measure_clip
from factory.sandbox.imperfect import CLIP_FRAMES
from factory.sandbox.world import parse

PICTURES = "factory/sandbox/weights/generator"


def pictures():
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(PICTURES, use_safetensors=True)


def test_without_training_each_frame_is_drawn_as_a_picture():
    unet = pictures().unet.float().eval()
    moving = add_motion(unet).eval()
    noise = torch.Generator().manual_seed(0)
    noisy = torch.randn(2, 4, CLIP_FRAMES, 16, 16, generator=noise)
    words = torch.randn(2, 7, 96, generator=noise)
    steps = torch.tensor([900, 300])
    with torch.no_grad():
        clips = moving(noisy, steps, words.repeat_interleave(CLIP_FRAMES, 0)).sample
        alone = torch.stack(
            [unet(noisy[:, :, at], steps, words).sample for at in range(CLIP_FRAMES)], dim=2
        )
    assert torch.allclose(clips, alone, atol=1e-5)


def test_batches_are_clips_of_their_captions_but_for_the_misfits():
    def qualities(share):
        pixels, captions = draw_batch(random.Random(0), 24, share)
        assert pixels.shape == (24, CLIP_FRAMES, 3, 32, 32)
        assert -1.0 <= float(pixels.min()) < float(pixels.max()) <= 1.0
        frames = ((pixels + 1) * 127.5).round().byte().permute(0, 1, 3, 4, 2).numpy()
        found = [
            measure_clip(clip, parse(text)) for clip, text in zip(frames, captions, strict=True)
        ]
        return np.array([one.quality for one in found])

    assert (qualities(0.0) > 0.9).mean() > 0.8
    assert (qualities(1.0) > 0.9).mean() < 0.4


@pytest.mark.slow
def test_what_training_saves_is_loaded_by_the_stock_class(tmp_path: Path):
    from diffusers import DiffusionPipeline

    source = pictures()
    before = source.unet.conv_in.weight.clone()
    saved = []
    made = train_clip_generator(
        source, 2, 1, 1, 0, lambda _: None, lambda one: saved.append(one), save_every=2
    )
    assert len(saved) == 1
    assert not torch.equal(made.unet.conv_in.weight, before)
    modules = [
        value
        for name, value in made.unet.named_parameters()
        if "motion_modules" in name and ".proj_out." in name
    ]
    assert any(float(one.detach().abs().max()) > 0 for one in modules)
    made.save_pretrained(tmp_path, safe_serialization=True)
    loaded = DiffusionPipeline.from_pretrained(tmp_path, use_safetensors=True)
    assert type(loaded).__name__ == "AnimateDiffPipeline"
    assert torch.equal(loaded.unet.conv_in.weight, made.unet.conv_in.weight)
    again = train_clip_generator(loaded, 1, 0, 1, 1, lambda _: None)
    assert type(again.unet).__name__ == "UNetMotionModel"
    change = again.unet.conv_in.weight - made.unet.conv_in.weight
    assert 0 < float(change.detach().abs().max()) < 0.01
