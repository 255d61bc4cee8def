"""VideoFeedback (He et al. 2024): one generated clip a row, rated from 1 to 4 in five dimensions.

Reads `text prompt`, the five dimensions, and the clip: `video` (bytes or a path), or the file that
`video link` ends in, looked for among the media and never fetched, or else the frames in `images`.
The rating is the mean of the dimensions, which is how our one-score judges are asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft, Scale
from factory.labels.record import LabelError, Record
from schemas.rows import Media, Prompt

NAME = "video-feedback"
SCALE: Scale = (1, 4)
DIMENSIONS = (
    "visual quality",
    "temporal consistency",
    "dynamic degree",
    "text-to-video alignment",
    "factual consistency",
)


def parse(record: Record) -> Iterator[Draft]:
    """One label of one clip."""
    prompt = Prompt.of(
        record.text("text prompt", "prompt"), "video_generation", tags={"source": NAME}
    )
    ratings = [record.number(name, *SCALE) for name in DIMENSIONS]
    yield Draft(
        prompt,
        NAME,
        first=_clip(record),
        rating=sum(ratings) / len(ratings),
        scale=SCALE,
    )


def _clip(record: Record) -> Media:
    if record.has("video"):
        return record.medium("video", is_video=True)
    name = record.text("video link").rpartition("/")[2].partition("?")[0]
    if not name:
        raise record.fault("video link", "does not end in the name of a file")
    try:
        return record.as_medium("video link", name, is_video=True)
    except LabelError:
        if not record.has("images"):
            raise
    return record.as_clip("images", record.items("images"))
