"""VideoFeedback (He et al. 2024): one generated clip a row, rated from 1 to 4 in five dimensions.

Reads `text prompt`, the five dimensions, and the clip: `video` (bytes or a path), or the file that
`video link` ends in, or else the frames that `images` names. The data set's archive has them in
`images/<id>/`, where a frame's name begins with the id of its clip. The rating is the mean of the
dimensions, which is how our one-score judges are asked; each of them is kept as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft, Scale
from factory.labels.record import NoSuchMediaError, Record
from schemas.rows import Dimension, Media, Prompt

NAME = "video-feedback"
SCALE: Scale = (1, 4)
DIMENSIONS = (
    "visual quality",
    "temporal consistency",
    "dynamic degree",
    "text-to-video alignment",
    "factual consistency",
)
COLUMNS = ("id", "text prompt", "prompt", "video", "video link", "images", *DIMENSIONS)


def parse(record: Record) -> Iterator[Draft]:
    """One label of one clip."""
    prompt = Prompt.of(
        record.text("text prompt", "prompt"), "video_generation", tags={"source": NAME}
    )
    ratings = {name: record.number(name, *SCALE) for name in DIMENSIONS}
    yield Draft(
        prompt,
        NAME,
        first=_clip(record),
        rating=sum(ratings.values()) / len(ratings),
        scale=SCALE,
        dimensions=tuple(Dimension(name, first=rating) for name, rating in ratings.items()),
    )


def _clip(record: Record) -> Media:
    """The clip, or where only its frames are there what they make."""
    if record.has("video"):
        return record.medium("video", is_video=True)
    if not record.has("images"):
        return record.as_medium("video link", _name(record), is_video=True)
    if record.has("video link"):
        try:
            return record.as_medium("video link", _name(record), is_video=True)
        except NoSuchMediaError:
            pass
    frames = record.items("images")
    try:
        return record.as_clip("images", frames)
    except NoSuchMediaError:
        if not all(isinstance(frame, str) for frame in frames):
            raise
    return record.as_clip("images", [f"images/{_id(record, frame)}/{frame}" for frame in frames])


def _name(record: Record) -> str:
    """What the link ends in, wherever it leads."""
    link = record.text("video link")
    name = link.partition("?")[0].partition("#")[0].rpartition("/")[2]
    if not name:
        raise record.fault("video link", "does not end in the name of a file")
    return name


def _id(record: Record, frame: str) -> str:
    """Of the clip: as the frame's name says, else the row."""
    name, _, number = frame.rpartition("_")
    return name if number else record.text("id")
