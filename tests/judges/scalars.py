"""Scalar judges against their publishers' code, on tiny models of the real layouts: taken through
the converter, loaded from safetensors, and asked about pictures or clips of several sizes.

    figures() -> {"pickscore": {"largest difference": …, "scores": …, "reference": …}, …}

The reference is computed from the layout before its conversion (`references`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from actors.converters import convert
from actors.judges.scalar import ScalarJudge
from factory.judging.scalar import FILE, ScalarSpecification, named, read, shipped
from factory.media.clips import decode_chosen, encode_clip
from factory.media.pictures import encode_png
from schemas.rows import Candidate, Media, Prompt, Score
from tests.judges import references
from tests.tiny import scalars as tiny

CAPTION = "a red circle left of 2 blue squares &amp; a cat's hat"
#: Height and width: a square, one that is wide by an odd number, one that is high, a tiny one.
SIZES = ((40, 40), (33, 64), (75, 30), (9, 26))


#: Fewer words around the tokens that are read, for tests.
SHORT = {
    "hpsv3": "Rate {prompt}: <|Reward|> END",
    "videoalign": "Looks <|VQ_reward|>, moves <|MQ_reward|>, shows {prompt} <|TA_reward|>",
}


@dataclass(frozen=True)
class Case:
    """A tiny model in its published layout.

    source, base: what is converted.
    reference: scores of pictures or clips by the publisher's code, from the layout.
    specification: how it is asked: as published, or in fewer words and pixels where time counts.
    """

    source: Path
    base: Path
    reference: Callable[[Sequence[Media]], list[dict[str, float]]]
    specification: ScalarSpecification


def picture(seed: int, height: int, width: int) -> Media:
    """Noise of several grains, which every way of scaling treats otherwise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, ((height + 7) // 8, (width + 7) // 8, 3), dtype=np.uint8)
    smooth = np.kron(coarse, np.ones((8, 8, 1), dtype=np.uint8))[:height, :width]
    fine = rng.integers(0, 64, (height, width, 3))
    pixels = np.clip(smooth * 0.75 + fine, 0, 255).astype(np.uint8)
    return Media(encode_png(pixels), width, height)


def clip(seed: int, num_frames: int, height: int = 40, width: int = 56) -> Media:
    """A clip of eight frames a second."""
    frames = np.stack([_pixels(picture(seed + at, height, width)) for at in range(num_frames)])
    return Media(encode_clip(frames, 8), width, height, num_frames, 8.0)


def shown(kind: str) -> list[Media]:
    """What a kind is asked about."""
    if kind == "videoalign":
        return [clip(0, 9), clip(20, 24, 32, 72)]
    return [picture(at, *size) for at, size in enumerate(SIZES)]


def candidates(media: Sequence[Media]) -> list[Candidate]:
    """One for each medium."""
    return [Candidate(str(at), "g@0", at, one) for at, one in enumerate(media)]


def prompt(kind: str, caption: str = CAPTION) -> Prompt:
    """Of the task that a kind judges."""
    return Prompt.of(caption, named(kind).tasks[0])


def asked(kind: str, is_short: bool) -> ScalarSpecification:
    """How a kind is asked: as published, or with less to compute."""
    published = named(kind)
    if not is_short or kind not in SHORT:
        return published
    return replace(published, template=SHORT[kind], min_pixels=6 * 784, max_pixels=8 * 784)


def build(directory: Path, *, is_short: bool = False) -> dict[str, Case]:
    """A tiny model of each kind in its published layout."""
    clip_base = tiny.save_clip_base(directory / "clip")
    words = _num_words(clip_base)
    open_clip = tiny.save_hpsv2(directory / "HPS_v2_compressed.pt", words)
    bert = tiny.save_bert_base(directory / "bert")
    reward = tiny.save_imagereward(directory / "ImageReward.pt")
    qwen = tiny.save_qwen_base(directory / "qwen")
    weights = tiny.save_hpsv3(directory / "HPSv3.safetensors", qwen)
    video = tiny.save_videoalign(directory / "VideoReward", qwen)

    def whole(scores: Sequence[float]) -> list[dict[str, float]]:
        return [{"value": one} for one in scores]

    of = {kind: asked(kind, is_short) for kind in shipped()}

    def of_hpsv3(media: Sequence[Media]) -> list[dict[str, float]]:
        found = [
            references.hpsv3(weights, qwen, of["hpsv3"], CAPTION, Image.fromarray(_pixels(one)))
            for one in media
        ]
        return [{"value": mu, "spread": float(np.exp(log_sigma))} for mu, log_sigma in found]

    def of_videoalign(media: Sequence[Media]) -> list[dict[str, float]]:
        found = [
            references.videoalign(
                video, qwen, of["videoalign"], CAPTION, _every_frame(one), one.fps
            )
            for one in media
        ]
        return [{"value": one.pop("Overall"), **one} for one in found]

    return {
        "pickscore": Case(
            clip_base,
            clip_base,
            lambda media: whole(references.pickscore(clip_base, CAPTION, _images(media))),
            of["pickscore"],
        ),
        "hpsv2": Case(
            open_clip,
            clip_base,
            lambda media: whole(
                references.hpsv2(
                    open_clip, clip_base, CAPTION.replace("&amp;", "&"), _images(media)
                )
            ),
            of["hpsv2"],
        ),
        "imagereward": Case(
            reward,
            bert,
            lambda media: whole(references.imagereward(reward, bert, CAPTION, _images(media))),
            of["imagereward"],
        ),
        "hpsv3": Case(weights, qwen, of_hpsv3, of["hpsv3"]),
        "videoalign": Case(video, qwen, of_videoalign, of["videoalign"]),
    }


def converted(kind: str, case: Case, directory: Path) -> ScalarJudge:
    """The judge that is made of a case."""
    out = directory / f"judge-{kind}"
    out.mkdir()
    convert(kind, case.source, case.base, out)
    if kind in SHORT:
        made = read((out / FILE).read_text(), str(out))
        limits = {name: getattr(case.specification, name) for name in ("min_pixels", "max_pixels")}
        replace(made, template=case.specification.template, **limits).save(out)
    return ScalarJudge(str(out), f"{kind}@0")


def differences(scores: Sequence[Score], wanted: Sequence[dict[str, float]]) -> list[float]:
    """Of everything that the reference says of each candidate."""
    found = []
    for score, one in zip(scores, wanted, strict=True):
        assert score.error is None, score.error
        ours = {"value": score.value, "spread": score.spread, **score.breakdown}
        found += [abs(ours[name] - value) for name, value in one.items()]
    return found


def figures(clones: Path | None = None) -> dict[str, object]:
    """The largest difference between a judge's numbers and its publisher's, for each kind.

    Args:
        clones: a folder with clones of the publishers' repositories, whose own classes then run
            too (`published`).
    """
    with tempfile.TemporaryDirectory() as made:
        cases = build(Path(made))
        found: dict[str, object] = {
            kind: _figure(kind, case, Path(made)) for kind, case in cases.items()
        }
    if clones is not None:
        from tests.judges import published

        found["by the publishers' own classes"] = published.figures(clones)
    return found


def _figure(kind: str, case: Case, directory: Path) -> dict[str, Any]:
    judge = converted(kind, case, directory)
    media = shown(kind)
    scores = judge.sit(prompt(kind), candidates(media)).scores()
    wanted = case.reference(media)
    values = [score.value for score in scores]
    return {
        "largest difference": max(differences(scores, wanted)),
        "range of scores": [min(values), max(values)],
        "media": len(media),
        "numbers": sum(map(len, wanted)),
        "against": (getattr(references, kind).__doc__ or "").strip().partition("\n")[0],
    }


def _pixels(media: Media) -> Any:
    from factory.media.pictures import decode

    return decode(media.data)


def _images(media: Sequence[Media]) -> list[Image.Image]:
    return [Image.fromarray(_pixels(one)) for one in media]


def _every_frame(media: Media) -> Any:
    return decode_chosen(media.data, lambda num, _: range(num))


def _num_words(base: Path) -> int:
    from transformers import AutoTokenizer

    return len(AutoTokenizer.from_pretrained(base))


if __name__ == "__main__":
    import json

    print(json.dumps(figures(), indent=2))
