"""A good pair, and what it takes to spoil one."""

from dataclasses import replace

import numpy as np

from factory.media.pictures import encode_png
from schemas.rows import Candidate, Media, Pair, Prompt


def picture(seed: int, size: int = 32) -> np.ndarray:
    """Eight by eight patches of random colours."""
    cells = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return cells.repeat(size // 8, axis=0).repeat(size // 8, axis=1)


def media(pixels: np.ndarray) -> Media:
    return Media(encode_png(pixels), pixels.shape[1], pixels.shape[0])


def candidate(name: str, pixels: np.ndarray) -> Candidate:
    return Candidate(name, "generator@1", 0, media(pixels))


GOOD = Pair(
    pair_id="0123456789abcdef",
    prompt=Prompt.of("a cross"),
    chosen=candidate("a", picture(1)),
    rejected=candidate("b", picture(2)),
    judge="judge@1",
    margin=1.0,
    margin_sd=0.3,
    score_margin=0.8,
    p_chosen=0.8,
    is_flipped=False,
    verdict="kept",
)


def side(pair: Pair, **changes) -> Pair:
    """The pair with another rejected side."""
    return replace(pair, rejected=replace(pair.rejected, **changes))


def answers(chosen: str, rejected: str, prompt: Prompt = GOOD.prompt) -> Pair:
    return replace(
        GOOD,
        prompt=prompt,
        chosen=Candidate("a", "vlm@1", 0, answer=chosen),
        rejected=Candidate("b", "vlm@1", 0, answer=rejected),
    )


def swapped(pair: Pair) -> Pair:
    """The pair told from the other side."""
    return replace(
        pair,
        chosen=pair.rejected,
        rejected=pair.chosen,
        margin=-pair.margin,
        score_margin=-pair.score_margin,
        p_chosen=1 - pair.p_chosen,
    )
