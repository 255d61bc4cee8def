"""Multimodal RewardBench 2 (Hu et al. 2025): 1,000 pairs of each of four parts, by experts.

Read against the authors' own loader (github.com/facebookresearch/MMRB2, commit 7ff0552:
`benchmark/build_from_hf.py`, `evaluate/compute_scores/compute_accuracy.py`) in both of its layouts:

- the built files `t2i.json`, `edit.json`, `interleaved.json` and `reasoning.json`: one object with
  a list under `pairs`; `prompt_content` and each `response_content` are lists of `["text", WORDS]`
  and `["image", PATH]`, with paths from the file's own folder;
- the Parquet of the hub's data set `rl-research/multimodal-rewardbench-2`, one configuration a
  part: `prompt_text`, `response_a_text` and `response_b_text` with `<image_1>` in the places of the
  pictures in `prompt_images`, `response_a_images` and `response_b_images`. What a row of it holds
  was taken from that loader; the files themselves were not at hand.

Neither layout tells a row's part; its `prompt_source` does, since no source feeds two parts. It
becomes the tag `part`, over which the benchmark averages.

What the four tasks hold is imported: all 1,000 pairs of `t2i`, the 822 edits of one source picture,
and the 350 pairs of `reasoning` whose two answers are words alone. The rest is refused by name:
1,000 interleaved answers, 178 edits of two or three sources, 650 answers with pictures of their
own. These counts are of the files `benchmark/*_response_only.json`, and for the sources of an edit
of `benchmark/edit.json` at commit 58ee39c. A question of several pictures is imported with the tag
`pictures` "several": not every judge takes it, and the authors report some judges on "one" alone.
The licence (CC BY-NC 4.0) forbids to train on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Part, Preference, Prompt

NAME = "mmrb2"
#: Of a built JSON file, where its rows are.
INSIDE = "pairs"
_ROWS = ("id", "pair_id", "prompt_source", "chosen", "human_preference")
_JSON = ("prompt_content", "response_a", "response_b")
_PARQUET = tuple(
    f"{one}_{kind}" for one in ("prompt", "response_a", "response_b") for kind in ("text", "images")
)
COLUMNS = (*_ROWS, *_JSON, *_PARQUET)

_SOURCES = {
    "t2i": ("evalmuse", "oneigbench", "r2ibench", "realunify_ueg", "wise"),
    "edit": (
        *("dreambench", "emu-edit", "hq-edit", "new_synthetic_edit"),
        *("risebench", "text_heavy_edit"),
    ),
    "interleaved": ("chameleon", "interleavedeval", "isgbench", "mmmg"),
    "reasoning": ("blink", "mindcube", "muirbench", "realunify", "visulogic", "vstar"),
}
_PART_OF = {source: part for part, sources in _SOURCES.items() for source in sources}
_CHOSEN: dict[str, Preference] = {"A": "first", "B": "second"}
_PLACE = re.compile(r"<image_\d+>")

#: Words and pictures in their order: "text" or "image", and what a row has there.
Content = Sequence[tuple[str, Any]]


def parse(record: Record) -> Iterator[Draft]:
    """One pair, where one of the four tasks holds it."""
    source = record.text("prompt_source")
    part = _PART_OF.get(source)
    if part is None:
        known = ", ".join(_PART_OF)
        raise record.fault("prompt_source", f"is {source!r:.40}; the benchmark has: {known}")
    if part == "interleaved":
        raise record.not_held("answers of interleaved words and pictures")
    key, chosen = record.value("chosen", "human_preference")
    if not isinstance(chosen, str) or chosen.upper() not in _CHOSEN:
        raise record.fault(key, f"is {chosen!r:.40}, neither A nor B")
    asked, first, second = (_content(record, one) for one in ("prompt", "response_a", "response_b"))
    tags = {"source": NAME, "part": part, "from": source}
    preference = _CHOSEN[chosen.upper()]
    if part == "reasoning":
        prompt = _question(record, asked, tags)
        answers = [_words_alone(record, one) for one in (first, second)]
        yield Draft(
            prompt, NAME, first_answer=answers[0], second_answer=answers[1], preference=preference
        )
        return
    prompt = _caption(record, asked, tags) if part == "t2i" else _edit(record, asked, tags)
    pictures = [_picture(record, one) for one in (first, second)]
    media = [record.as_medium(key, one) for key, one in pictures]
    yield Draft(prompt, NAME, first=media[0], second=media[1], preference=preference)


# ------------------------------------------------------------------------------------- prompts


def _caption(record: Record, asked: Content, tags: dict[str, str]) -> Prompt:
    if any(kind == "image" for kind, _ in asked):
        raise record.fault("prompt_content", "holds a picture, and this part is of texts")
    return Prompt.of(_words(record, asked), "image_generation", tags)


def _edit(record: Record, asked: Content, tags: dict[str, str]) -> Prompt:
    sources = [one for kind, one in asked if kind == "image"]
    if len(sources) > 1:
        raise record.not_held("edits of several source pictures")
    if not sources:
        raise record.fault("prompt_content", "holds no picture, and this part is of edits")
    parts = [
        Part("source", media=record.as_medium("prompt_content", sources[0])),
        Part("user", _words(record, asked)),
    ]
    return Prompt.of_parts(parts, "image_generation", tags)


def _question(record: Record, asked: Content, tags: dict[str, str]) -> Prompt:
    """The question with its pictures in their places."""
    parts: list[Part] = []
    for kind, one in asked:
        if kind == "image":
            parts.append(Part("question", media=record.as_medium("prompt_content", one)))
        else:
            parts.append(Part("user", one))
    num = sum(part.media is not None for part in parts)
    if num == 0 or num == len(parts):
        what = "asks nothing" if num else "holds no picture to ask about"
        raise record.fault("prompt_content", what)
    tags = {**tags, "pictures": "one" if num == 1 else "several"}
    return Prompt.of_parts(parts, "image_understanding", tags)


# ------------------------------------------------------------------------------------- answers


def _picture(record: Record, answer: Content) -> tuple[str, Any]:
    """The one picture that an answer consists of."""
    if len(answer) > 1:
        raise record.not_held("answers of several pictures, or of a picture and words")
    (kind, one), *_ = answer
    if kind != "image":
        raise record.fault("response_a", "holds words and no picture")
    return "response_content", one


def _words_alone(record: Record, answer: Content) -> str:
    if any(kind == "image" for kind, _ in answer):
        raise record.not_held("answers with pictures of their own")
    return _words(record, answer)


def _words(record: Record, content: Content) -> str:
    said = "\n".join(one for kind, one in content if kind == "text")
    if not said:
        raise record.fault("prompt_content", "says nothing")
    return said


# ------------------------------------------------------------------------------------- layouts


def _content(record: Record, name: str) -> Content:
    """What a prompt or an answer consists of, blank words left out, in either layout."""
    if record.has(f"{name}_text") or record.has(f"{name}_images"):
        found = _of_parquet(record, name)
    else:
        found = _of_json(record, name)
    if not found:
        raise record.fault(name, "is empty")
    return found


def _of_json(record: Record, name: str) -> Content:
    if name == "prompt":
        key, items = "prompt_content", record.items("prompt_content")
    else:
        key, answer = record.value(name)
        if not isinstance(answer, Mapping) or not isinstance(answer.get("response_content"), list):
            raise record.fault(key, "has no list of `response_content`")
        items = answer["response_content"]
    content = []
    for item in items:
        if not isinstance(item, list | tuple) or len(item) != 2 or item[0] not in ("text", "image"):
            raise record.fault(key, f"holds {item!r:.60}, neither a text nor an image")
        kind, one = item
        if kind == "image":
            content.append((kind, one))
        elif not isinstance(one, str) or one.strip():
            content.append((kind, record.as_text(key, one)))
    return content


def _of_parquet(record: Record, name: str) -> Content:
    """As the authors' loader takes it: pictures stand in the places that the words have for them,
    in their order; where the words have none, they come after them.
    """
    text_key, key = f"{name}_text", f"{name}_images"
    pictures = record.items(key) if record.has(key) else []
    text = record.row.get(text_key) or ""
    if not isinstance(text, str):
        raise record.fault(text_key, f"is {type(text).__name__}, not text")
    words = _PLACE.split(text)
    if len(words) == 1:
        words = [text, *("" for _ in pictures)]
    if len(words) != len(pictures) + 1:
        raise record.fault(
            text_key, f"has {len(words) - 1} places for pictures, and {key} has {len(pictures)}"
        )
    content: list[tuple[str, Any]] = []
    for said, picture in zip(words, [*pictures, None], strict=True):
        if said.strip():
            content.append(("text", record.as_text(text_key, said)))
        if picture is not None:
            content.append(("image", picture))
    return content
