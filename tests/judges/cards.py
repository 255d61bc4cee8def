"""Judge cards of judges whose faults are known, because they were planted, and of real checkpoints.

    python -m tests.judges.cards [--pictures 64] [--clips 12] [--answers 48] [--page card.html]
    python -m tests.judges.cards --honest 20

Each planted judge (`factory.sandbox.planted_judges`) has one fault: the card is to name it, and
nothing else; of the honest one it is to name nothing. Beside them stand the sandbox's own judge, of
which no fault is known beforehand, and two tiny checkpoints with random weights, which nobody
should trust. All are asked in this process; `jobs.judge_card` has workers ask the same.

`--honest` tells false alarms: many simulated judges with noise and without any liking, each on
prompts of its own, and the share of their cards that name a fault all the same.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.card_workers import CardAsker, said_in, stability_of_groups
from actors.refs import JudgeRef, PluginRef
from factory.human_audit.estimate import wilson
from factory.judge_card.asking import ask
from factory.judge_card.figures import FALSE_DISCOVERY_RATE
from factory.judge_card.sets import CardSet
from factory.judge_card.verdict import JudgeCard, card_of, whom_to_trust
from factory.judge_card.watch import WatchedJudge
from factory.judging.recording import Recorder, RecordingJudge
from factory.keys import Asking
from factory.sandbox import card_set, planted_judges
from jobs.pages.judge_card import render
from schemas.rows import Group, Task
from tests.tiny.spelt import SAVERS

#: What a card is to name of each planted judge.
PLANTED: Mapping[str, tuple[str, ...]] = {
    "honest": (),
    "bright": ("likes brighter pictures", "likes brighter clips"),
    "left_loving": ("leans to what is shown first",),
    "blind": (
        "does not look at pictures",
        "does not look at clips",
        "does not look at the picture of a question",
    ),
    "verbose": ("likes answers about pictures padded with words that say nothing",),
}
SANDBOX = "factory/sandbox/weights/judge"
_MODULE = "factory.sandbox.planted_judges"
#: Prompts that the tiny checkpoints are asked about, and on which stability is measured.
_TINY, _STABLE = 40, 30


@dataclass(frozen=True)
class Sizes:
    """Prompts of each task."""

    pictures: int = 64
    clips: int = 12
    answers: int = 48

    def groups(self) -> CardSet:
        """The sandbox's set, as large as that."""
        groups: list[Group] = [
            *card_set.of_task("image_generation", self.pictures),
            *card_set.of_task("video_generation", self.clips),
            *card_set.of_task("image_understanding", self.answers),
        ]
        return CardSet("sandbox", tuple(groups))


def figures(sizes: Sizes = Sizes(), page: Path | None = None) -> dict[str, object]:
    """What the cards name of each judge, as plain values for JSON.

    Args:
        sizes: of the set.
        page: where the page of all of them goes; nowhere where None.
    """
    shown = sizes.groups()
    cards: list[JudgeCard] = []
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, ref in _refs(Path(directory)).items():
            began = time.perf_counter()
            few = _TINY if name.startswith("tiny") else None
            cards.append(_card(name, ref, shown, few))
            seconds[name] = round(time.perf_counter() - began, 1)
            print(f"{name}: {seconds[name]} s", flush=True)
    trust = whom_to_trust(cards)
    if page is not None:
        page.write_bytes(render(cards, trust, shown))
    return {
        "prompts": dict(shown.num_prompts()),
        "judges": {one.name: _told(one) | {"seconds": seconds[one.name]} for one in cards},
        "planted judges named rightly": sum(
            set(one.names) == set(PLANTED[one.name]) for one in cards if one.name in PLANTED
        ),
        "planted judges": len(PLANTED),
        "trust": list(trust),
    }


def false_alarms(num_judges: int, sizes: Sizes = Sizes(24, 0, 16)) -> dict[str, object]:
    """How often a card names a fault of a judge that has none.

    Args:
        num_judges: simulated ones, whose noise differs by their seeds.
        sizes: of each one's set, of whose prompts no other has any.
    """
    tasks: dict[Task, int] = {
        "image_generation": sizes.pictures,
        "image_understanding": sizes.answers,
    }
    drawn = {task: card_set.of_task(task, num * num_judges) for task, num in tasks.items()}
    named: dict[str, list[str]] = {}
    for seed in range(num_judges):
        judge = replace(planted_judges.honest(), seed=1000 + seed)
        groups = [
            one for task, num in tasks.items() for one in drawn[task][num * seed : num * (seed + 1)]
        ]
        recorder = Recorder(lambda _: Asking(None, "simulated"))
        watched = WatchedJudge(RecordingJudge(judge, recorder))
        asked = CardSet("sandbox", tuple(groups)).asked()
        said = [ask(watched, recorder, *both)[0] for both in asked]
        card = card_of(f"honest {seed}", judge.name, said, None, None, seed)
        if card.names:
            named[card.name] = list(card.names)
    share = wilson(len(named) / num_judges, num_judges)
    return {
        "honest judges": num_judges,
        "prompts of each": sum(tasks.values()),
        "cards that name a fault": len(named),
        "share": share.value,
        "interval": [share.low, share.high],
        "wanted at most": FALSE_DISCOVERY_RATE,
        "named": named,
    }


def _refs(directory: Path) -> dict[str, Any]:
    refs: dict[str, Any] = {
        name: PluginRef(f"{_MODULE}:{name}", "--judge", f"planted-{name}@0", is_renamed=True)
        for name in PLANTED
    }
    refs["sandbox"] = JudgeRef(SANDBOX, "sandbox@0")
    for kind, save in SAVERS.items():
        name = f"tiny-{kind.removeprefix('unifiedreward-')}"
        save(directory / name)
        refs[name] = JudgeRef(str(directory / name), f"{name}@0", specification=kind)
    return refs


def _card(name: str, ref: Any, shown: CardSet, few: int | None) -> JudgeCard:
    asked: Sequence[tuple[Group, Group]] = shown.asked()
    if few is not None:
        asked = [one for one in asked if one[0].prompt.task == "image_generation"][:few]
    asker = CardAsker(ref)
    said = [said_in(asker.ask(*both)) for both in asked]
    readable = [both for both, one in zip(asked, said, strict=True) if one.error is None]
    stable = stability_of_groups(ref, readable[:_STABLE], {}) if readable else None
    return card_of(name, getattr(ref, "plugin", getattr(ref, "path", name)), said, None, stable)


def _told(card: JudgeCard) -> dict[str, Any]:
    planted = PLANTED.get(card.name)
    return {
        "planted": None if planted is None else list(planted),
        "named": list(card.names),
        "answers": {line.question: f"{line.state}: {line.short}" for line in card.lines},
        "unreadable because": list(card.faults)[:2],
    }


def main() -> None:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    for name, default in (("pictures", 64), ("clips", 12), ("answers", 48)):
        arguments.add_argument(f"--{name}", type=int, default=default)
    arguments.add_argument("--page", type=Path)
    arguments.add_argument("--honest", type=int, default=0, metavar="N", help="judges; only these")
    given = arguments.parse_args()
    if given.honest:
        print(json.dumps(false_alarms(given.honest), indent=1, ensure_ascii=False))
        return
    found = figures(Sizes(given.pictures, given.clips, given.answers), given.page)
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
