"""Whether curation still makes the same pairs: digests of what it makes of judged groups.

    python -m tests.benchmarks.curation_same [--groups 10000] [--ways bracket ring]

Prints a digest of all pairs for each way of ordering groups: verdicts, objections, margins and
their deviations, to the last digit. Copied into a checkout of an older commit, this file prints
what that one makes. Groups are of 2 to 8 candidates by a *simulated* judge, some with unreadable
scores or duels, with scores at the ends of the scale, with log-odds at their limit, or without any
score, in an order that mixes them, so that what lies beside a group in its block would show.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pyarrow as pa

from actors.media_store import media_store
from actors.storage import place
from factory.bias.correction import Correction
from factory.curation.curator import Curator
from factory.curation.pairing import Pairing
from factory.filters import objections_of
from factory.ranking import Bracket, Noise, Paper, Pointwise, Ring, Scale, Strategy
from jobs.pipelines.curation import CurateTable
from schemas.arrow import groups_to_table
from schemas.digests import digest_rows
from schemas.recipe import Objections
from schemas.rows import Duel, Group
from tests.benchmarks.curation_throughput import simulate_groups
from tests.stubs import Untallied

_AT_ONCE = 256
_SCALED = Noise(scale=Scale.of(1, 5))
WAYS: dict[str, tuple[Strategy, Correction]] = {
    "bracket": (Bracket(2, _SCALED), Correction()),
    "bracket by verdicts": (Bracket(2, replace(_SCALED, fusion="davidson")), Correction()),
    "bracket without a scale": (Bracket(1), Correction()),
    "bracket, corrected": (Bracket(2, _SCALED), Correction({"num_words": 0.1}, {"num_words": 0.2})),
    "ring": (Ring(2, _SCALED), Correction()),
    "pointwise": (Pointwise(_SCALED), Correction()),
    "paper": (Paper(_SCALED), Correction()),
}


def varied(num: int) -> Iterator[Group]:
    """Groups of many shapes."""
    for number, group in enumerate(simulate_groups(num)):
        rng = random.Random(-number)
        kept = {one.candidate_id for one in group.candidates[: rng.choice((2, 3, 5, 8, 8, 8))]}
        candidates = tuple(one for one in group.candidates if one.candidate_id in kept)
        scores = [one for one in group.scores if one.candidate_id in kept]
        duels = [one for one in group.duels if {one.first_id, one.second_id} <= kept]
        kind = rng.choice(
            ("plain", "plain", "unreadable", "clipped", "ends", "no scores", "failed")
        )
        if kind == "unreadable":
            scores[0] = replace(scores[0], value=float("nan"), spread=float("nan"), error="planted")
            duels = [replace(one, error="planted") if rng.random() < 0.2 else one for one in duels]
        if kind == "clipped":
            duels = [_sure(one) if rng.random() < 0.4 else one for one in duels]
        if kind == "ends":
            scores = [replace(one, value=float(min(max(round(one.value), 1), 5))) for one in scores]
        if kind == "no scores":
            scores = []
        if kind == "failed":
            yield replace(group, scores=(), duels=(), error="planted", failed_stage="judge")
            continue
        yield replace(group, candidates=candidates, scores=tuple(scores), duels=tuple(duels))


def _sure(duel: Duel) -> Duel:
    p_first, p_second = (1.0, 0.0) if duel.p_first > duel.p_second else (0.0, 1.0)
    return replace(duel, p_first=p_first, p_second=p_second, p_tie=0.0)


def main() -> None:
    """A line for each way: its digest, and milliseconds of processor time a group."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    chosen = parser.parse_args()
    table = groups_to_table(varied(chosen.groups))
    objections = objections_of(Objections(min_margin=0.1))
    store = media_store(place("data/groups@1"))
    for name in chosen.ways:
        strategy, correction = WAYS[name]
        curator = Curator(strategy, objections, Pairing(max_pairs=3), correction=correction)
        work = CurateTable(curator, cast("Any", Untallied()), store)
        began = time.process_time()
        pairs: list[pa.Table] = [
            work(table.slice(at, _AT_ONCE)) for at in range(0, table.num_rows, _AT_ONCE)
        ]
        spent = time.process_time() - began
        print(f"{name}: {digest_rows(pairs)}, {1e3 * spent / table.num_rows:.2f} ms", flush=True)


if __name__ == "__main__":
    main()
