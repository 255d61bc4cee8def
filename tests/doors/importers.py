"""What published tables and conversations of labels become, layout by layout, and what becomes of
them when their rows are damaged.

    python -m tests.doors.importers 10000

A layout is a row, or rows that belong together, as somebody publishes them. Each is imported once
as it is. Then values are taken away, exchanged, nested, torn and replaced by whatever JSON, Parquet
and CSV can hold; what comes out must be labels or errors of our own, and no other exception. What
guards an import against code that nobody has tested is left out here: it would hide our own faults.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factory.labels.record import LabelError, Record
from factory.labels.registry import FORMATS, Format
from factory.labels.streams import BrokenRow
from factory.prompt_parts import PartsError
from jobs.datasets.foreign import numbered
from jobs.datasets.foreign_labels import LabelReader
from jobs.rounds.workspace import InputError
from schemas.rows import Label
from tests.factory.labels.media import jpeg, mp4, png

CASES = Path("tests/fixtures/cases/importers")
Rows = list[dict[str, Any]]


ARENA = (
    "<|User Prompt|>\nWhat?\n\n<|The Start of Assistant A's Answer|>\nA cat\n"
    "<|The End of Assistant A's Answer|>\n\n<|The Start of Assistant B's Answer|>\nA dog\n"
    "<|The End of Assistant B's Answer|>"
)
PAIR = "Which of the two is better?\nText Caption: [a red square]"
POINT = (
    "Watch the frames of a video. For visual quality, a number from [1,2,3,4].\nThen a score "
    "from 1 to 10 after 'Final Score:'\nIt is provided as follows: Text Prompt: [a red square]"
)


def _talk(asked: str, answered: str, **media: object) -> dict[str, Any]:
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": answered}]
    return {"conversations": turns, **media}


def _media() -> dict[str, bytes]:
    clip = (CASES / "one-frame.mp4").read_bytes()
    made = {"green.png": png((0, 200, 0)), "a.jpg": jpeg(), "torn.png": png()[:40]}
    made |= {f"images/p1/p1_{at:02}.png": png((at, 0, 0)) for at in range(3)}
    made |= {name: (CASES / name).read_bytes() for name in ("red.png", "blue.png")}
    return made | {"a.mp4": clip, "b.mp4": mp4(), "left-1.mp4": clip, "right-1.mp4": mp4()}


def _case(name: str) -> Rows:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text().splitlines()]


def _mmrb2(part: str) -> dict[str, Any]:
    """A pair of a part, as the authors' scripts build it."""
    source = {"t2i": "wise", "reasoning": "vstar", "interleaved": "mmmg"}[part]
    answers = [["text", "Yes."]], [["text", "No."]]
    asked = [["image", "red.png"], ["text", "Is it red?"]]
    if part == "t2i":
        asked, answers = [["text", "a red square"]], ([["image", "red.png"]], [["image", "a.jpg"]])
    sides = [{"model_name": "m", "response_content": one} for one in answers]
    return {
        **{"id": "a", "prompt_source": source, "prompt_content": asked, "chosen": "A"},
        **{"response_a": sides[0], "response_b": sides[1], "human_annotations": [6, 6, 6]},
    }


def _layouts() -> dict[str, dict[str, Rows]]:
    """By format and by name; rows of one layout are parsed one by one, or together."""
    sides = {"jpg_0": png(), "jpg_1": jpeg(), "label_0": 1.0}
    feedback = {
        **{"text prompt": "a dog", "visual quality": 3, "temporal consistency": 4},
        **{"dynamic degree": 3, "text-to-video alignment": 2, "factual consistency": 1},
    }
    picture = {"prompt_id": "x", "prompt": "p", "overall_rating": 4}
    edit = {
        **{"source_prompt": "a red square", "target_prompt": "a blue one", "vote_type": "tievote"},
        **{"instruct_prompt": "make it blue", "source_image": {"bytes": png(), "path": None}},
        **{"left_output_image": "blue.png", "right_output_image": "green.png"},
    }
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    bench = {"prompt": "p", "path_A": "a.mp4", "path_B": "b.mp4", "Overall": "same", "VQ": "B"}
    answers = {"prompt": "what?", "media": "red.png", "first_answer": "a cat"}
    own = {"prompt": "p", "first": "red.png", "second": "blue.png", "preference": "tie"}
    return {
        "pick-a-pic": {
            "v1": [{"caption": "a cat", **sides, "user_id": 7, "has_label": True}],
            "v2": [{"caption": "a cat", **sides, "label_0": 0.5, "num_example_per_prompt": 8}],
        },
        "hpd": {
            "v2 train": [
                {"prompt": "p", "file_path": ["red.png", "a.jpg"], "human_preference": [0, 1]}
            ],
            "v2 test": [
                {"prompt": "p", "image_path": ["red.png", "torn.png", "a.jpg"], "rank": [1, 2, 3]}
            ],
            "v3": _case("hpdv3"),
            "EditReward-Data": [{**_case("hpdv3")[0], "path_src": "green.png", "tie_case": True}],
        },
        "image-reward": {
            "ImageRewardDB": [
                {**picture, "image_path": name, "rank": at}
                for at, name in enumerate(("red.png", "torn.png", "blue.png"), start=1)
            ],
            "its repository": [
                {"id": "x", "prompt": "p", "generations": ["red.png", "a.jpg"], "ranking": [2, 1]}
            ],
        },
        "video-feedback": {
            "clips by link": [{**feedback, "video link": "https://host/videos/a.mp4"}],
            "frames": [{**feedback, "id": "p1", "images": [f"p1_{at:02}.png" for at in range(3)]}],
        },
        "evalmuse": {
            "train_list.json": [{"prompt": "p", "img_path": "red.png", "total_score": [5, 3]}],
            "processed": _case("evalmuse_processed"),
        },
        "genai-bench": {
            "pictures": [
                {"prompt": "p", "left_image": png(), "right_image": jpeg(), "vote_type": "leftvote"}
            ],
            "clips by URL": _case("genai_bench_video_urls"),
            "a copy's clips": [
                {
                    "prompt": "p",
                    "video_left": "a.mp4",
                    "video_right": "b.mp4",
                    "vote_type": "tievote",
                }
            ],
            "edits": [edit],
        },
        "videogen-rewardbench": {
            "benchmark": [bench],
            "VideoAlign training": _case("videoalign_train.csv"),
        },
        "vl-rewardbench": {"benchmark": _case("vl_rewardbench")},
        "trl": {
            "vision rows": [
                {"prompt": asked, "chosen": "A cat.", "rejected": "A dog.", "images": ["red.png"]}
            ],
            "RLAIF-V": _case("rlaif_v"),
            "RLHF-V": [{"image": "red.png", "text": json.dumps(_case("rlaif_v")[0])}],
            "ShareGPT": [
                {
                    "conversations": [{"from": "human", "value": "<image>What?"}],
                    "chosen": {"from": "gpt", "value": "A cat."},
                    "rejected": {"from": "gpt", "value": "A dog."},
                    "images": ["red.png"],
                }
            ],
        },
        "llava-critic": {
            "pairs": _case("llava_critic_pair"),
            "captions": _case("llava_critic_caption_0_to_100"),
            "others": _case("llava_critic_other"),
            "arena in Parquet": [_talk(ARENA, "B is right. [[B>>A]]", image={"bytes": png()})],
        },
        "unified-reward": {
            "pairs": [_talk(PAIR, "Image 2 is better than Image 1.", images=["a.jpg", "red.png"])],
            "clip points": [
                _talk(POINT, "visual quality: 3\nFinal Score: 6", images=["red.png"] * 4)
            ],
            "Qwen clips": [_talk(PAIR, "Video 1 is better", videos=["a.mp4", "b.mp4"])],
            "2.0 points": _case("unified_reward_2_points"),
            "2.0 pairs": _case("unified_reward_2_pair"),
            "Think": _case("unified_reward_think"),
        },
        "mmrb2": {
            "built": [_mmrb2("t2i"), _mmrb2("reasoning")],
            "Parquet": [
                {
                    **{"pair_id": "b", "prompt_source": "emu-edit", "chosen": "B"},
                    **{"prompt_text": "<image_1>make it blue", "prompt_images": [{"bytes": png()}]},
                    **{"response_a_images": ["red.png"], "response_b_images": ["blue.png"]},
                }
            ],
            "of no task": [_mmrb2("interleaved")],
        },
        "videorewardbench": {
            "triplet": [
                {
                    **{"question": "What happens?", "video": "b.mp4", "dimension": "knowledge"},
                    **{"chosen": "A cat runs.", "rejected": "A dog sleeps."},
                }
            ]
        },
        "table": {
            "votes": [own],
            "answers": [{**answers, "second_answer": "a dog", "preference": "first"}],
            "points": [{**answers, "points": 4.25}],
        },
    }


def reader_of(form: Format) -> Callable[[Rows], list[Label | LabelError]]:
    """From rows to what they give; raises what nobody has thought of."""
    media = _media()

    def read(name: str) -> bytes:
        if "\0" in name:
            raise ValueError("embedded null byte")
        if name not in media:
            raise FileNotFoundError(2, "no such file")
        return media[name]

    def labels(given: Rows) -> list[Label | LabelError]:
        urls: dict[str, str] = {}
        records = [Record(row, f"f: row {at}", read, (), urls) for at, row in enumerate(given, 1)]
        groups = [records] if form.group_by else [[record] for record in records]
        made: list[Label | LabelError] = []
        for group in groups:
            try:
                made += LabelReader(form).labels(group)
            except LabelError as error:
                made.append(error)
            except PartsError as error:
                made.append(LabelError(str(error)))
        return made

    return labels


# ---------------------------------------------------------------------------------- mutations

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 5])
    | st.floats()
    | st.text(st.characters(), max_size=12)  # halves of characters among them
    | st.sampled_from(["", " ", "\0", "../x", "https://", "http://[/a", "torn.png", "A", "first"])
    | st.binary(max_size=12)
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["bytes", "path", "role", "value", "x"]), inner)
    ),
    max_leaves=5,
)


@st.composite
def _mutated(draw: Any, layouts: Sequence[Rows]) -> Rows:
    """The rows of a layout with one to three of their values changed, at any depth."""
    given_rows: Rows = copy.deepcopy(draw(st.sampled_from(layouts)))
    for _ in range(draw(st.integers(1, 3))):
        where: Any = draw(st.sampled_from(given_rows))
        if not where:
            continue
        while True:
            keys = list(where) if isinstance(where, dict) else list(range(len(where)))
            key = draw(st.sampled_from(keys))
            inner = where[key]
            is_deep = isinstance(inner, dict | list) and inner and draw(st.booleans())
            if not is_deep:
                break
            where = inner
        how = draw(st.sampled_from(["replace", "remove", "nest", "tear", "repeat", "borrow"]))
        if how == "replace":
            where[key] = draw(_VALUES)
        elif how == "remove":
            del where[key]
        elif how == "nest":
            where[key] = [inner]
        elif how == "tear" and isinstance(inner, str | bytes | list):
            where[key] = inner[: draw(st.integers(0, len(inner)))]
        elif how == "repeat" and isinstance(inner, str | bytes | list):
            where[key] = inner * 2
        else:
            where[key] = draw(st.sampled_from(list(given_rows[0].values()) or [None]))
    return given_rows


def mutate(form: Format, num: int) -> dict[str, Any]:
    """Import so many damaged rows of a format's layouts.

    Returns:
        how many gave labels, and how many a fault of ours; and by its type what else was raised,
        each with its first rows.
    """
    labels = reader_of(form)
    counts: Counter[str] = Counter()
    others: dict[str, str] = {}

    @settings(
        max_examples=num,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_mutated(list(_layouts()[form.name].values())))
    def tried(given_rows: Rows) -> None:
        counts["mutated"] += 1
        try:
            made = labels(given_rows)
        except Exception as error:
            counts["other"] += 1
            others.setdefault(f"{type(error).__name__}: {error}"[:120], f"{given_rows!r:.400}")
            return
        counts["labels"] += any(isinstance(one, Label) for one in made)
        counts["faults"] += any(isinstance(one, LabelError) for one in made)

    tried()
    return {**{key: counts[key] for key in ("mutated", "labels", "faults", "other")}, **others}


def tear(num: int) -> dict[str, int]:
    """Read files of JSON, JSON Lines, CSV and Parquet of which some bytes were changed.

    Returns:
        how many gave rows or a message of ours, and what else was raised by its type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = [{"prompt": f"p{n}", "image": png(), "rank": n} for n in range(3)]
    texts = [{"prompt": "a, b", "rank": n} for n in range(3)]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory:
        pq.write_table(pa.Table.from_pylist(table), f"{directory}/rows.parquet")
        whole = {
            ".parquet": Path(f"{directory}/rows.parquet").read_bytes(),
            ".json": json.dumps(texts).encode(),
            ".jsonl": "\n".join(map(json.dumps, texts)).encode(),
            ".csv": b'prompt,rank\n"a, b",1\n"c ""d""",2\ne,3\n',
        }

        @settings(
            max_examples=num,
            database=None,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.sampled_from(list(whole)), st.data())
        def tried(suffix: str, data: Any) -> None:
            torn = bytearray(whole[suffix])
            for _ in range(data.draw(st.integers(1, 4))):
                at = data.draw(st.integers(0, len(torn) - 1))
                torn[at] = data.draw(st.integers(0, 255))
            path = Path(f"{directory}/torn{suffix}")
            path.write_bytes(bytes(torn[: data.draw(st.integers(1, len(torn)))]))
            try:
                read = [row for _, row in numbered(path)]
                counts[
                    "rows" if any(not isinstance(row, BrokenRow) for row in read) else "none"
                ] += 1
            except InputError:
                counts["message"] += 1
            except Exception as error:
                counts[f"other: {type(error).__name__}: {error}"[:120]] += 1

        tried()
    return dict(counts)


def outcomes() -> list[dict[str, str]]:
    """What each layout becomes as it is published."""
    table = []
    for name, layouts in _layouts().items():
        labels = reader_of(FORMATS[name])
        for layout, given_rows in layouts.items():
            try:
                told = [_in_brief(one) for one in labels(given_rows)]
            except Exception as error:
                told = [f"other: {type(error).__name__}: {error}"]
            table.append({"format": name, "layout": layout, "outcome": "; ".join(told) or "none"})
    return table


def _in_brief(made: Label | LabelError) -> str:
    if isinstance(made, LabelError):
        return f"fault ({str(made).partition(': row ')[2]:.60})"
    what = made.preference if made.points is None else f"{made.points:g} points"
    parts = [str(what), *([f"weight {made.weight:g}"] if made.weight is not None else [])]
    parts += [f"{one.name} {one.preference or one.first}" for one in made.dimensions]
    return ", ".join(parts)


def figures(num_mutations: int = 10_000) -> dict[str, object]:
    """A table importer × published layout × outcome, and what became of so many damaged rows of
    each format, and of so many damaged files.
    """
    return {
        "outcomes": outcomes(),
        "mutations": {name: mutate(FORMATS[name], num_mutations) for name in _layouts()},
        "torn_files": tear(num_mutations),
    }


if __name__ == "__main__":
    print(json.dumps(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000), indent=2))
