"""The judges in figures: which can judge, how they are asked, what is read, and what each is worth.

    python -m tests.benchmarks.judges
    python -m tests.benchmarks.judges answers damaged --fuzzed 10000

families: tiny random checkpoints of each family × load, judge pictures and clips, train whole and
    adapters, reload by us and by stock code; distances from stock forward passes; and what becomes
    of every other type of transformers' mapping (`tests.judges.families`).
policies: the same families as policies: drawn, aligned, reloaded (`tests.judges.policies`).
damaged: kinds of damaged and quantised checkpoints × doors: refused before a weight or a row is
    read, or not (`tests.judges.damaged`).
scalars: reward models against their publishers' formulas (`tests.judges.scalars`), and with
    --clones against their publishers' own classes (`tests.judges.published`).
specifications: our prompts beside the published ones, token by token
    (`tests.judges.specifications`).
answers: generated answers in ten forms, and texts that nobody would write (`tests.judges.answers`).
panel: two judges together against the better one alone (`tests.judges.panel`).
results: how many different result files the same benchmark gives when it is shuffled, split and
    judged by several actors; and stability (`tests.judges.results`).
cards: which likings the cards of the sandbox's judge, of planted judges and of tiny checkpoints
    name; with --honest 20, of how many judges without a fault one is named
    (`tests.judges.cards`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Figures = dict[str, object]


def main() -> None:
    """Measure, and end with one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; all")
    parser.add_argument("--fuzzed", type=int, default=100_000, help="texts of `answers`")
    parser.add_argument("--clones", type=Path, help="of the publishers' repositories, of `scalars`")
    told = "honest simulated judges of `cards`, to tell false alarms; none where 0"
    parser.add_argument("--honest", type=int, default=0, metavar="N", help=told)
    parser.add_argument("--page", type=Path, help="where the page of `cards` goes")
    given = parser.parse_args()
    unknown = set(given.parts) - set(_PARTS)
    if unknown:
        parser.error(f"unknown part {min(unknown)!r}; known: {', '.join(_PARTS)}")
    figures: dict[str, Figures] = {}
    for name in given.parts or _PARTS:
        began = time.monotonic()
        found = _PARTS[name](given)
        found["seconds_in_all"] = round(time.monotonic() - began, 1)
        print(f"== {name}\n{json.dumps(found, indent=2)}", flush=True)
        figures[name] = found
    print(json.dumps(figures))


def _families(given: Any) -> Figures:
    from tests.judges.families import figures

    return figures()


def _policies(given: Any) -> Figures:
    from tests.judges.policies import figures

    return figures()


def _damaged(given: Any) -> Figures:
    from tests.judges.damaged import figures

    return figures()


def _scalars(given: Any) -> Figures:
    from tests.judges.scalars import figures

    return figures(given.clones)


def _specifications(given: Any) -> Figures:
    from tests.judges.specifications import figures

    return figures()


def _answers(given: Any) -> Figures:
    from tests.judges.answers import figures

    return figures(num_fuzzed=given.fuzzed)


def _panel(given: Any) -> Figures:
    from tests.judges.panel import figures

    return figures()


def _results(given: Any) -> Figures:
    from tests.judges.results import figures

    return figures()


def _cards(given: Any) -> Figures:
    from tests.judges.cards import false_alarms, figures

    found = figures(page=given.page)
    return found | {"false alarms": false_alarms(given.honest)} if given.honest else found


_PARTS: dict[str, Callable[[Any], Figures]] = {
    "families": _families,
    "policies": _policies,
    "damaged": _damaged,
    "scalars": _scalars,
    "specifications": _specifications,
    "answers": _answers,
    "panel": _panel,
    "results": _results,
    "cards": _cards,
}


if __name__ == "__main__":
    main()
