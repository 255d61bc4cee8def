"""Small tables of pictures that exist: to bring along in place of drawn ones.

    metadata.csv      a row a picture: prompt, file, who is said to have drawn it
    scored.jsonl      a row a prompt, with scores of its pictures, as UltraFeedback lays them out
    preferred.jsonl   a row a comparison of two pictures

Scores and preferences are the oracle's, and called simulated.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence

from factory.media.pictures import encode_png
from factory.sandbox.drawing import CONTENT_DEFECTS, Pixels, spoil_scene
from factory.sandbox.imperfect import imperfect
from factory.sandbox.oracle import Measurement, measure, prefer
from factory.sandbox.world import parse
from schemas.rows import seed_of

#: Who judged.
JUDGE = "simulated-oracle@1"
#: Of its scores.
SCALE = (1.0, 5.0)
_WORDS = {"first": "left", "second": "right", "tie": "both"}
_GENERATORS = ("sketcher@1", "sketcher@2")


def tables(captions: list[str], num: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Files by name: the pictures, and the three tables about them.

    Args:
        captions: of the sandbox.
        num: pictures of each.
        seed: of the pictures.
    """
    rows, scored, preferred = [], [], []
    for at, text in enumerate(captions):
        found: list[tuple[str, str, Measurement]] = []
        for number in range(num):
            pixels = _picture(text, random.Random(seed_of("table", seed, text, number)))
            name = f"pictures/{at:02d}-{number}.png"
            yield name, encode_png(pixels)
            found.append((name, _GENERATORS[number % 2], measure(pixels, text)))
        rows += [(text, name, generator) for name, generator, _ in found]
        scored.append({"instruction": text, "completions": list(map(_scored, found))})
        for (first, _, one), (second, _, other) in itertools.pairwise(found):
            word = _WORDS[prefer(one, other)]
            preferred.append({"caption": text, "left": first, "right": second, "better": word})
    yield "metadata.csv", _as_csv([("caption", "file_name", "model"), *rows])
    yield "scored.jsonl", _as_lines(scored)
    yield "preferred.jsonl", _as_lines(preferred)


def _picture(text: str, rng: random.Random) -> Pixels:
    """What a caption asks for, with up to two errors and seldom quite clean."""
    scene = parse(text)
    for _ in range(rng.randrange(3)):
        scene = spoil_scene(scene, rng.choice(CONTENT_DEFECTS), rng)
    return imperfect(scene, rng)


def _scored(picture: tuple[str, str, Measurement]) -> dict[str, object]:
    name, generator, found = picture
    low, high = SCALE
    parts = {"fit": found.alignment, "cleanliness": found.clean}
    return {
        "model": generator,
        "picture": name,
        "overall_score": _points(found.quality, low, high),
        "annotations": {
            key: {"Rating": str(_points(one, low, high))} for key, one in parts.items()
        },
    }


def _points(share: float, low: float, high: float) -> float:
    return round(low + share * (high - low), 1)


def _as_csv(rows: list[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _as_lines(rows: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
