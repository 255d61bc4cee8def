"""Small exports of pictures and of answers about them, for the trainers' own code to load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from factory.exports.registry import EXPORTERS
from jobs import export
from schemas.rows import Pair
from tests.factory.exports.rows import pair_of
from tests.journeys.a_root import write_root

#: Words that the sandbox's base model knows, for trainers that take a step of it.
_ANSWERS = ("a red circle .", "a small blue square .")


def sample(folder: Path, name: str) -> Path:
    """An export in one form, of pairs of pictures and of answers about pictures."""
    root = folder / "run"
    if not root.exists():
        write_root(root, [*(pair_of(number) for number in range(6)), *map(_answers, range(6))])
    out = folder / name
    flag = "--pairs" if "pairs" in EXPORTERS[name].reads else "--groups"
    source = f"{flag.removeprefix('--')}@1"
    if export.main([name, flag, source, "--out", str(out), f"root={root}"]) != 0:
        raise SystemExit(f"{name}: cannot be exported")
    return out


def _answers(number: int) -> Pair:
    pair = pair_of(100 + number, "image_understanding")
    chosen, rejected = (
        replace(side, answer=answer)
        for side, answer in zip((pair.chosen, pair.rejected), _ANSWERS, strict=True)
    )
    return replace(pair, chosen=chosen, rejected=rejected)
