"""Human Preference Dataset v2 (Wu et al. 2023) and v3 (Ma et al. 2025): JSON.

Version 2: `train.json` has two pictures a row (`file_path` or `image_path`) and `human_preference`,
1 for the preferred one. `test.json` has several pictures and the annotators' average `rank` of
each, 1 for the best: every two of them are a pair, and equal ranks are a tie.

Version 3 (MizzenAI/HPDv3, whose card ships pictures as `images.tar.gz.*` to be unpacked beside the
JSON): `path1` is always the preferred one of two, `path2` the other; sides are shuffled, or a judge
would learn the place. `confidence` becomes the weight of the label; it is null, "null" or left out
where nobody has measured it, and so is the weight. The votes (`choice_dist`) are sorted by whoever
trains on them, not told by side, and are left out; `model1` and `model2` are the generators. So say
the loaders of HPSv3++ (github.com/PlantPotatoOnMoon/HPSv3-PlusPlus, commit 7bdbebc,
`hpsv3/dataset/pairwise_dataset.py`, made from that of HPSv3) and of LightRFT
(github.com/opendilab/LightRFT, commit 49e62cb, `lightrft/datasets/hpdv3.py`); `test.json`, the test
set, has the same form. Both count a pair as right where the preferred picture has the higher score.
EditReward-Data comes in the same form, with the source picture in `path_src`, and `tie_case`.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels import ranked
from factory.labels.draft import Draft, shuffled
from factory.labels.record import LabelError, Record
from schemas.rows import Part, Prompt

NAME = "hpd"
COLUMNS = (
    *("prompt", "file_path", "image_path", "human_preference", "rank", "user_hash"),
    *("path1", "path2", "confidence", "path_src", "tie_case"),
)


def parse(record: Record) -> Iterator[Draft | LabelError]:
    """All pairs of the row's pictures, and a fault for each that cannot be read."""
    if record.has("path1") or record.has("path2"):
        yield _better_first(record)
        return
    prompt = Prompt.of(record.text("prompt"), tags={"source": NAME})
    key, paths = _paths(record)
    if record.has("human_preference"):
        said, sign = "human_preference", 1  # more is better
    else:
        said, sign = "rank", -1  # less is better
    worths = [
        sign * record.as_number(said, one, 0, 1000) for one in record.items(said, num=len(paths))
    ]
    user = record.name("user_hash")
    pictures = record.pictures(key, paths)
    yield from (picture for picture in pictures if isinstance(picture, LabelError))
    yield from ranked.pairs(prompt, NAME if user is None else f"{NAME}:{user}", pictures, worths)


def _paths(record: Record) -> tuple[str, list[str]]:
    key, _ = record.value("file_path", "image_path")
    paths = record.items(key)
    if len(paths) < 2:
        raise record.fault(key, f"has {len(paths)} pictures, and a pair needs two")
    return key, paths


def _better_first(record: Record) -> Draft:
    """The one pair of a row of version 3."""
    text, tags = record.text("prompt"), {"source": NAME}
    if record.has("path_src"):
        source = Part("source", media=record.medium("path_src"))
        prompt = Prompt.of_parts([source, Part("user", text)], tags=tags)
    else:
        prompt = Prompt.of(text, tags=tags)
    draft = Draft(
        prompt,
        NAME,
        first=record.medium("path1"),
        second=record.medium("path2"),
        preference="tie" if _is_tie(record) else "first",
        weight=record.weight("confidence"),
    )
    return shuffled(draft, prompt.prompt_id, str(record.row["path1"]), str(record.row["path2"]))


def _is_tie(record: Record) -> bool:
    value = record.row.get("tie_case")
    if value is None or isinstance(value, bool):
        return bool(value)
    raise record.fault("tie_case", f"is {value!r:.40}, neither true nor false")
