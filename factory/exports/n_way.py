"""N-way groups in the style of UltraFeedback: a prompt, all its completions, and their ratings.

UltraFeedback's own names where it has them (`instruction`, `models`, `completions` with `model`,
`response`, `overall_score`, `annotations`), media as pictures or clips, and beside them what it
lacks: spreads, and the duels with their probabilities. What was not judged has null for a score and
its reason in `error`; nothing is left out of a group.
"""

from __future__ import annotations

import pyarrow as pa

from factory.exports.columns import ORIGIN, described
from factory.exports.record import (
    Options,
    Record,
    Unfit,
    is_clip,
    number,
    origin,
    output,
    shown_media,
    words,
)
from schemas.columns import IMAGE
from schemas.rows import Candidate, Group, Score

NAME = "n-way"
LOADS = 'load_dataset("{out}", split="{split}")'
_ANNOTATIONS = pa.list_(pa.struct([("criterion", pa.string()), ("rating", pa.float64())]))
_COMPLETION = pa.struct(
    [
        ("completion_id", pa.string()),
        ("model", pa.string()),
        ("seed", pa.int64()),
        ("response", pa.string()),
        ("image", IMAGE),
        ("video", IMAGE),
        ("overall_score", pa.float64()),
        ("spread", pa.float64()),
        ("annotations", _ANNOTATIONS),
        ("error", pa.string()),
    ]
)
_DUEL = pa.struct(
    [
        ("first_id", pa.string()),
        ("second_id", pa.string()),
        ("p_first", pa.float64()),
        ("p_second", pa.float64()),
        ("p_tie", pa.float64()),
        ("error", pa.string()),
    ]
)
SCHEMA = described(
    pa.schema(
        [
            ("prompt_id", pa.string()),
            ("instruction", pa.string()),
            ("task", pa.string()),
            ("images", pa.list_(IMAGE)),
            ("video", IMAGE),
            ("models", pa.list_(pa.string())),
            ("completions", pa.list_(_COMPLETION)),
            ("duels", pa.list_(_DUEL)),
            ("judge", pa.string()),
            ("error", pa.string()),
            *ORIGIN,
        ]
    )
)


def project_group(group: Group, options: Options) -> list[Record] | Unfit:
    """One group; of several judges, that of the most scores and duels."""
    prompt = group.prompt
    if all(output(prompt, one) is None for one in group.candidates):
        return Unfit("no output", group.error or "no candidate of the group has an output")
    verdicts = [*(one.judge for one in group.scores), *(one.judge for one in group.duels)]
    judge = max(sorted(set(verdicts)), key=verdicts.count, default=None)
    scores = {one.candidate_id: one for one in group.scores if one.judge == judge}
    media = shown_media(prompt)
    clips = [one for one in media if is_clip(one)]
    if len(clips) > 1:
        return Unfit("too many media", f"a question about {len(clips)} clips: a row has one")
    return [
        {
            "prompt_id": prompt.prompt_id,
            "instruction": words(prompt),
            "task": prompt.task,
            "images": [one for one in media if not is_clip(one)],
            "video": clips[0] if clips else None,
            "models": sorted({one.generator for one in group.candidates}),
            "completions": [
                _completion(one, scores.get(one.candidate_id)) for one in group.candidates
            ],
            "duels": [
                {
                    "first_id": one.first_id,
                    "second_id": one.second_id,
                    "p_first": number(one.p_first),
                    "p_second": number(one.p_second),
                    "p_tie": number(one.p_tie),
                    "error": one.error,
                }
                for one in group.duels
                if one.judge == judge
            ],
            "judge": judge,
            "error": group.error,
            **origin(prompt),
        }
    ]


def _completion(candidate: Candidate, score: Score | None) -> Record:
    media = candidate.media
    is_video = media is not None and is_clip(media)
    return {
        "completion_id": candidate.candidate_id,
        "model": candidate.generator,
        "seed": candidate.seed,
        "response": candidate.answer,
        "image": None if is_video else media,
        "video": media if is_video else None,
        "overall_score": None if score is None else number(score.value),
        "spread": None if score is None else number(score.spread),
        "annotations": [
            {"criterion": name, "rating": number(points)}
            for name, points in (score.breakdown if score is not None else {}).items()
        ],
        "error": candidate.error or (score.error if score is not None else None),
    }
