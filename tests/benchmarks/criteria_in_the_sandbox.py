"""What the sandbox's base judge makes of a criterion in its instruction: next to nothing.

    python -m tests.benchmarks.criteria_in_the_sandbox [--num 60]

Drawn scenes with drawn-in faults are scored as a whole and by two criteria. The judge was tuned on
one instruction and knows few words, so its answers about a criterion can only follow its overall
score or drift from it; a judge that understood would rank by the criterion alone.

known_words_X: share of the criterion's tokens that are in the judge's vocabulary.
rank_correlation_X: of the criterion's score with the overall score within a prompt, mean.
shift_X: mean difference of the two in points of the scale.
"""

from __future__ import annotations

import argparse
import json
import random

import numpy as np

from actors.judges import TransformersJudge
from factory.judging.criteria import asked
from factory.media.pictures import encode_png
from factory.sandbox.drawing import CONTENT_DEFECTS, draw, spoil_scene
from factory.sandbox.world import caption, sample_scene
from schemas.recipe import Criterion
from schemas.rows import Candidate, Media, Prompt
from tests.rank_correlation import spearman

_JUDGE = "factory/sandbox/weights/base"
_NUM_CANDIDATES, _SIDE = 6, 32
CRITERIA = (
    Criterion(name="colour", text="judge the colour of the things"),
    Criterion(name="legibility", text="judge how legible the text is"),
)


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="criteria and the sandbox's judge")
    parser.add_argument("--num", type=int, default=60, help="prompts")
    num: int = parser.parse_args().num
    judge = TransformersJudge(_JUDGE, "base@0")
    correlations: dict[str, list[float]] = {one.name: [] for one in CRITERIA}
    shifts: dict[str, list[float]] = {one.name: [] for one in CRITERIA}
    for number in range(num):
        rng = random.Random(number)
        stated = sample_scene(rng)
        candidates = []
        for index in range(_NUM_CANDIDATES):
            shown = stated
            for _ in range(rng.choice((0, 1, 2))):
                shown = spoil_scene(shown, rng.choice(CONTENT_DEFECTS), rng)
            pixels = draw(shown, random.Random(index), _SIDE)
            media = Media(encode_png(pixels), _SIDE, _SIDE)
            candidates.append(Candidate(f"{number}-{index}", "drawn@0", index, media))
        prompt = Prompt.of(caption(stated))
        sitting = judge.sit(prompt, candidates)
        overall = [score.value for score in sitting.scores()]
        for one in CRITERIA:
            points = [score.value for score in sitting.about(asked(prompt, one)).scores()]
            correlations[one.name].append(spearman(overall, points))
            shifts[one.name] += (np.array(points) - np.array(overall)).tolist()
    figures: dict[str, float] = {}
    tokenizer = judge.format.tokenizer
    for one in CRITERIA:
        ids = tokenizer(one.text, add_special_tokens=False).input_ids
        known = float(np.mean([token != tokenizer.unk_token_id for token in ids]))
        figures[f"known_words_{one.name}"] = round(known, 2)
        figures[f"rank_correlation_{one.name}"] = round(
            float(np.nanmean(correlations[one.name])), 3
        )
        figures[f"shift_{one.name}"] = round(float(np.mean(shifts[one.name])), 2)
    print(json.dumps({"prompts": num, **figures}))


if __name__ == "__main__":
    main()
