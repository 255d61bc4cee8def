"""GenAI-Bench (Jiang et al. 2024): two generated pictures or clips, and the vote between them.

Reads `prompt`, `vote_type`, and `left_image`/`right_image` or `left_video`/`right_video`. A vote
that both are bad is a tie, as in the benchmark's own count.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Preference, Prompt

NAME = "genai-bench"
_VOTES: dict[str, Preference] = {
    "leftvote": "first",
    "rightvote": "second",
    "tievote": "tie",
    "bothbad_vote": "tie",
}


def parse(record: Record) -> Iterator[Draft]:
    """One pair."""
    vote = record.text("vote_type")
    if vote not in _VOTES:
        raise record.fault("vote_type", f"is {vote!r:.40}; known: {', '.join(_VOTES)}")
    is_video = record.has("left_video")
    kind = "video" if is_video else "image"
    yield Draft(
        Prompt.of(
            record.text("prompt"),
            "video_generation" if is_video else "image_generation",
            tags={"source": NAME, "vote": vote},
        ),
        NAME,
        first=record.medium(f"left_{kind}", is_video=is_video),
        second=record.medium(f"right_{kind}", is_video=is_video),
        preference=_VOTES[vote],
    )
