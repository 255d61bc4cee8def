"""Judges and a set -> what each says, kept -> one page that holds them side by side.

    CARDS/NAME@1/said-00007.json     what the judge said of a prompt, its replies word for word
    CARDS/NAME@1/stability.json      how far its answers move with how it is run
    CARDS/NAME-labels@1/             its opinions on labels, and the report on them
    CARDS/card.html, card.md, card.json

What a judge said is an artifact of its own: complete, it is never asked again, and a killed run
goes on with the prompt at which it died. The page is a function of these files and of nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from actors.card_workers import STEP, CardAsker, said_in, stability_of_groups
from actors.refs import EndpointRef, PanelRef
from actors.storage import local_copy, place, write_whole
from factory.evaluation.judge_report import report
from factory.judge_card.asking import Said, num_requests
from factory.judge_card.markdown import as_markdown
from factory.judge_card.sets import CardSet
from factory.judge_card.verdict import JudgeCard, card_of, whom_to_trust
from factory.judge_card.wording import short_names
from factory.judging.calibration import Calibration
from jobs.datasets.labels import label_files
from jobs.pages.judge_card import render
from jobs.pipelines.card_sets import card_set
from jobs.pipelines.given_judge import judge_parents
from jobs.pipelines.judge_backends import parents_of
from jobs.pipelines.models import ONNX, named_judge, resolve
from jobs.pipelines.opinions import OPINIONS_FILE, judge_labels, write_opinions
from jobs.rounds import lifecycle
from jobs.rounds.checks import check_cpus, check_writable
from jobs.rounds.lifecycle import Blueprint, Outcome
from jobs.rounds.workspace import InputError, Model, Round
from jobs.session.ray_session import ray_session
from schemas import manifest, results
from schemas.manifest import Parent
from schemas.places import CARDS, Place
from schemas.recipe import Recipe
from schemas.results import JudgeReport, Stability
from schemas.section import Section

HTML, MARKDOWN, NUMBERS = "card.html", "card.md", "card.json"
#: Prompts on which stability is measured, each as a duel in both orders.
_STABLE_ON = 100


@dataclass(frozen=True)
class Asked:
    """One judge of a card.

    given: as the command line names it; None for the round's own.
    ref: what travels to workers.
    model: where it is, and what it is called.
    """

    given: str | None
    ref: Any
    model: Model

    @property
    def name(self) -> str:
        return self.given or self.model.address

    @property
    def called(self) -> str:
        """On the page: of an endpoint its model."""
        served = self.ref.spec.endpoint if isinstance(self.ref, EndpointRef) else None
        return self.name if served is None else served.model

    @property
    def slug(self) -> str:
        """Of no other judge: the end of its name, and a few digits of a hash of all of it."""
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:6]
        words = re.sub(r"[^a-z0-9]+", "-", self.name.lower().rstrip("/").rpartition("/")[2])
        return f"{words.strip('-')[-40:].strip('-') or 'judge'}-{digest}"


class Settings(Section):
    """What is said of a set by a judge depends on these, beside the judge and the set."""

    judge: str
    specification: str | None = None
    seed: int
    stable_on: int = 0


class LabelSettings(Section):
    """The same of labels."""

    judge: str
    specification: str | None = None
    seed: int
    num_resamples: int
    tags: list[str]


@dataclass(frozen=True)
class Request:
    """What is to be on a card.

    at: whose pool of judges, seed and limits count.
    out: where cards go, and what judges said.
    labels: files or data sets, of which those held out are compared with.
    tags: slices of them.
    """

    at: Round
    out: Place
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def make_card(asked: Sequence[Asked], shown: CardSet, request: Request) -> list[JudgeCard]:
    """Ask each judge what it was not asked yet, and write the page.

    Raises:
        InputError: labels of which none is held out, or other work under an address.
    """
    cards, out, seed = [], request.out, request.at.recipe.seed
    names = short_names([one.called for one in asked])
    with ExitStack() as session:  # Ray starts where something is left to ask, and once
        for one, name in zip(asked, names, strict=True):
            said, stability = _said(one, shown, request, session)
            found = _report(one, request, session) if request.labels else None
            cards.append(card_of(name, one.name, said, found, stability, seed))
    trust = whom_to_trust(cards, seed)
    write_whole(out / HTML, render(cards, trust, shown))
    write_whole(out / MARKDOWN, as_markdown(cards, trust, shown.name, shown.notes).encode())
    numbers = {
        "set": shown.name,
        "digest": shown.digest(),
        "trust": trust,
        "judges": [_plain(one) for one in cards],
    }
    write_whole(out / NUMBERS, (json.dumps(numbers, indent=1, ensure_ascii=False) + "\n").encode())
    print("\n".join(trust), flush=True)
    for card in cards:
        print(f"\n{card.given}")
        for line in card.lines:
            print(f"  [{line.state}] {line.question} {line.short}")
    print(f"\n{out / HTML}", flush=True)
    return cards


def _plain(card: JudgeCard) -> dict[str, Any]:
    plain = asdict(card)
    plain["names"] = list(card.names)
    return plain


# --- what a judge says ---------------------------------------------------------------------------


def _said(
    one: Asked, shown: CardSet, request: Request, session: ExitStack
) -> tuple[list[Said], Stability | None]:
    at, out = request.at, request.out
    blueprint = Blueprint(
        out / f"{one.slug}@1",
        "judge_card",
        Settings(judge=one.name, specification=_specification(one), seed=at.recipe.seed,
                 stable_on=_STABLE_ON),
        [*_parents(one, at), Parent("set", shown.name, shown.digest())],
        "set, judge or recipe",
        "--out",
    )  # fmt: skip
    made = lifecycle.find(blueprint)
    if made is not None:
        lifecycle.say_complete(made)
    else:
        lifecycle.check_free(blueprint, "judge card")
        session.enter_context(ray_session(at.recipe))
        made = lifecycle.make(blueprint, lambda: _ask(one, shown, at, blueprint), resumes=True)
    if not lifecycle.is_finished(blueprint.directory):
        lifecycle.finish(blueprint.directory, made)
    files = sorted(blueprint.directory.glob("said-*.json"), key=lambda path: path.name)
    said = [said_in(json.loads(path.read_text(encoding="utf-8"))) for path in files]
    return said, results.read(blueprint.directory / results.STABILITY, Stability)


def _ask(one: Asked, shown: CardSet, at: Round, blueprint: Blueprint) -> Outcome:
    """Ask about every prompt that an earlier run did not come to."""
    import ray

    directory, pool = blueprint.directory, at.recipe.produce.judges
    asked = shown.asked()
    paths = [directory / f"said-{number:05d}.json" for number in range(len(asked))]
    left = [number for number, path in enumerate(paths) if not path.is_file()]
    stable = directory / results.STABILITY
    if left:
        _ask_pool(one, blueprint.address, asked, paths, left, at)
    told = [said_in(json.loads(path.read_text(encoding="utf-8"))) for path in paths]
    readable = [both for both, said in zip(asked, told, strict=True) if said.error is None]
    if readable and not stable.is_file():
        work = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(stability_of_groups)
        few = readable[:: _every(len(readable))]
        results.write(stable, ray.get(work.remote(one.ref, few, {})))
    counts = {
        "prompts": len(told),
        "refused": sum(each.is_refused for each in told),
        "failed": sum(each.error is not None and not each.is_refused for each in told),
        "verdicts": sum(each.num_scores + each.num_duels for each in told),
        "unreadable": sum(each.num_bad_scores + each.num_bad_duels for each in told),
    }
    return Outcome(counts, digest=manifest.digest_files(local_copy(directory)))


def _every(num: int) -> int:
    """So that about `_STABLE_ON` of `num` are left, of all tasks."""
    return max(1, -(-num // _STABLE_ON))


def _ask_pool(
    one: Asked, address: str, asked: Sequence[Any], paths: Sequence[Place], left: Sequence[int],
    at: Round,
) -> None:  # fmt: skip
    """Prompts go to whichever worker is free; what comes back is on disk at once."""
    import ray

    from actors.tally import TallyHandle
    from jobs.session import progress

    pool, produce = at.recipe.produce.judges, at.recipe.produce
    tally = TallyHandle(1.0, produce.row_timeout_s, produce.load_timeout_s)
    kind: Any = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(CardAsker)
    workers = [kind.remote(one.ref, tally) for _ in range(min(pool.size, len(left)))]
    waiting = list(left)
    running: dict[Any, tuple[int, Any]] = {}
    try:
        with progress.shown(address, len(left), tally, STEP):
            while waiting or running:
                while waiting and workers:
                    number, worker = waiting.pop(0), workers.pop()
                    running[worker.ask.remote(*asked[number])] = number, worker
                (ready,), _ = ray.wait(list(running), num_returns=1)
                number, worker = running.pop(ready)
                workers.append(worker)
                text = json.dumps(ray.get(ready), ensure_ascii=False)
                write_whole(paths[number], text.encode())
    except Exception:
        tally.check()  # a worker that was told to stop says so less clearly
        raise


# --- labels --------------------------------------------------------------------------------------


def _report(one: Asked, request: Request, session: ExitStack) -> JudgeReport:
    at, out, labels, tags = request.at, request.out, request.labels, request.tags
    files = [file for path in labels for file in label_files(path)]
    directory = out / f"{one.slug}-labels@1"
    blueprint = Blueprint(
        directory,
        "judge_card",
        LabelSettings(judge=one.name, specification=_specification(one), seed=at.recipe.seed,
                      num_resamples=at.recipe.evaluate.num_resamples, tags=list(tags)),
        [*_parents(one, at),
         *(Parent("labels", str(path), manifest.digest_file(path)) for path in files)],
        "labels, judge or recipe",
        "--out",
    )  # fmt: skip

    def work() -> Outcome:
        session.enter_context(ray_session(at.recipe))
        opinions = judge_labels(one.ref, files, at.recipe.produce, "heldout", with_scores=True)
        if not opinions:
            raise InputError(f"--labels: {', '.join(labels)}: no held-out label to compare with")
        judge = one.model.path
        write_opinions(directory / OPINIONS_FILE, opinions)
        results.write(
            directory / results.AGREEMENT,
            report(
                opinions,
                one.name,
                ", ".join(labels),
                Calibration.load(local_copy(judge)) if place(judge).is_dir() else None,
                tags=tags,
                num_resamples=at.recipe.evaluate.num_resamples,
                seed=at.recipe.seed,
            ),
        )
        return Outcome(
            {"labels": len(opinions)}, digest=manifest.digest_file(directory / OPINIONS_FILE)
        )

    made = lifecycle.find(blueprint)
    if made is not None:
        lifecycle.say_complete(made)
    else:
        lifecycle.check_free(blueprint, "judge card")
        made = lifecycle.make(blueprint, work, keeps=False)
    if not lifecycle.is_finished(directory):
        lifecycle.finish(directory, made)
    found = results.read(directory / results.AGREEMENT, JudgeReport)
    if found is None:
        raise InputError(f"{directory / results.AGREEMENT}: missing; remove {directory}")
    return found


def _parents(one: Asked, at: Round) -> list[Parent]:
    if one.given is None:
        return judge_parents(at)
    if one.given.endswith(ONNX):
        return [one.model.parent("judge")]
    found = resolve(one.given, at)  # an address alone does not say which model answers there
    return parents_of(found.spec, found.address)


def _specification(one: Asked) -> str | None:
    """How a checkpoint is asked, where that does not come with it."""
    asked = getattr(one.ref, "specification", None)
    return None if asked is None else asked if isinstance(asked, str) else repr(asked)


# --- the command ---------------------------------------------------------------------------------


def run(recipe: Recipe, given: argparse.Namespace) -> None:
    """Make the card that the command line names, or say what would be done.

    Raises:
        InputError: as `make_card`; a judge or a set that cannot be used.
    """
    at = Round(recipe, given.round)
    if given.num < 2:
        raise InputError("--num: at least 2 prompts: each is asked about beside another's")
    twice = {one for one in given.judge if given.judge.count(one) > 1}
    if twice:
        raise InputError(f"--judge: {', '.join(sorted(twice))}: is given twice")
    asked = [Asked(name, *named_judge(name, at)) for name in given.judge or [None]]
    for one in asked:
        if isinstance(one.ref, PanelRef):
            names = " ".join(f"--judge {member.address}" for member in one.ref.members)
            raise InputError(
                f"--judge: {one.ref.address} is a panel, and a card is of one judge; ask for one "
                f"of each member: {names}"
            )
    pool = recipe.produce.judges
    check_cpus(pool.size * pool.num_cpus + 1, recipe, "jobs.judge_card")
    out = place(str(given.out)) if given.out else place(recipe.root) / CARDS
    shown = card_set(given.pictures, given.groups, _map(given.map), given.num)
    for path in given.labels:
        label_files(path)
    if given.dry_run:
        check_writable(out)
        _print_plan(asked, shown, out)
        return
    make_card(asked, shown, Request(at, out, tuple(given.labels), tuple(given.slice)))


def _print_plan(asked: Sequence[Asked], shown: CardSet, out: Place) -> None:
    num = sum(num_requests(one) for one in shown.groups)
    told = ", ".join(f"{count} of {task}" for task, count in shown.num_prompts().items())
    print(f"{shown.name}: {told}; about {num} verdicts of each judge -> {out}")
    for note in shown.notes:
        print(f"  {note}")
    for one in asked:
        print(f"  {one.name}")
    small = [task for task, count in shown.num_prompts().items() if count < _ENOUGH]
    if small:
        print(
            f"  few prompts of {', '.join(small)}: most leanings will stay open, neither shown nor "
            f"shown to be absent (from about {_ENOUGH} on, those of size are found)"
        )


_ENOUGH = 48


def _map(given: Sequence[str] | None) -> dict[str, str]:
    found = {}
    for one in (part for text in given or () for part in text.split(",")):
        key, mark, column = one.partition("=")
        if not mark or key not in ("prompt", "media", "task", "answer", "source_media"):
            raise InputError(
                f"--map: {one!r}: is to be FIELD=COLUMN; fields: prompt, media, task, answer, "
                "source_media"
            )
        found[key] = column
    return found
