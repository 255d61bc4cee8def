"""GenAI-Bench (Jiang et al. 2024): two generated pictures, clips or edits, and which got the vote.

Reads `vote_type`, and by task `prompt` with `left_image`/`right_image` or `left_video`/
`right_video` (copies have the words the other way round), or `instruct_prompt` with `source_image`
and `left_output_image`/`right_output_image`. Clips are published as URLs; see `factory.labels.urls`
for where their files are looked for. A vote that both are bad is a tie, as in the benchmark's own
count. What an edit's source and target show in words (`source_prompt`, `target_prompt`) is left
out: the instruction and the source picture are what an editor is given.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Part, Preference, Prompt, Task

NAME = "genai-bench"
_VOTES: dict[str, Preference] = {
    "leftvote": "first",
    "rightvote": "second",
    "tievote": "tie",
    "bothbad_vote": "tie",
}
#: The columns of both sides, by task.
_SIDES: tuple[tuple[Task, str, str], ...] = (
    ("image_generation", "left_output_image", "right_output_image"),
    ("image_generation", "left_image", "right_image"),
    ("image_generation", "image_left", "image_right"),
    ("video_generation", "left_video", "right_video"),
    ("video_generation", "video_left", "video_right"),
)
COLUMNS = (
    "vote_type",
    "prompt",
    "instruct_prompt",
    "source_image",
    *(column for _, *sides in _SIDES for column in sides),
)


def parse(record: Record) -> Iterator[Draft]:
    """One pair."""
    vote = record.text("vote_type")
    if vote not in _VOTES:
        raise record.fault("vote_type", f"is {vote!r:.40}; known: {', '.join(_VOTES)}")
    present = [one for one in _SIDES if record.has(one[1]) or record.has(one[2])]
    if not present:
        known = ", ".join(left for _, left, _ in _SIDES)
        raise record.fault("left_image", f"is missing, and so are its like ({known})")
    task, left, right = present[0]
    is_video = task == "video_generation"
    yield Draft(
        _prompt(record, task, {"source": NAME, "vote": vote}),
        NAME,
        first=record.medium(left, is_video=is_video),
        second=record.medium(right, is_video=is_video),
        preference=_VOTES[vote],
    )


def _prompt(record: Record, task: Task, tags: dict[str, str]) -> Prompt:
    """A caption, or for an edit the source picture and what is to become of it."""
    if not record.has("instruct_prompt") and not record.has("source_image"):
        return Prompt.of(record.text("prompt"), task, tags)
    parts = [
        Part("source", media=record.medium("source_image")),
        Part("user", record.text("instruct_prompt")),
    ]
    return Prompt.of_parts(parts, task, tags)
