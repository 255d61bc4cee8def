"""Reading verdicts from logits against writing and parsing them, and encoding once against encoding
for every duel: the same judge, the same pictures, one thread of one machine.

    python -m tests.benchmarks.judge_reading [--root runs/laptop] [key=value …]

Takes the judge and the groups of the laptop loop, made first where missing; `--judge` and
`--groups` name others instead. The arms take turns, prompt by prompt, so that a busy machine is
busy for all of them.

Reading, on all duels of a group in both orders (56 for its 8 candidates):
logits: this code; each picture is encoded once, all duels are one batch.
generate: as the published scripts do it: each duel by itself, its pictures through the stock
    processor, the stock `generate` up to the length of the label format's sentence, then parsing.
generate_short: the same, but it stops as soon as the words that decide are written, which is the
    least that any text must cost.
generate_batched: this code reading text: encoded once, all duels in one batch, whole sentences.
agreement: share of duels on which `logits` and `generate` give the same verdict, of those that both
    read; its interval is clustered by prompt. What `generate` cannot read is `invalid_rate`.
The sandbox's judge is trained on the words that decide ("image 1", "both") and on nothing after
them, so those words are what is parsed.

Encoding, for N = 10 pictures of a prompt, all scored and then dueled by a bracket (top and bottom
two, then a final: 6 duels) or by a round robin (90 duels): the time with every picture encoded for
its score and again for each duel that it is in, over the time with each encoded once. `encoder`
counts the vision tower alone; the others are whole judgements, with prompts that share their
beginnings as the judge does it, and without.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from actors.judges import TransformersJudge
from actors.judges.eyes import LlavaEyes
from actors.judges.local import TransformersSitting
from actors.judges.prompts import Medium
from factory.judging.text import UnreadableError, parse_verdict
from factory.ranking import Bracket, Noise, Scale
from factory.statistics.intervals import clustered_bootstrap
from jobs import cli
from jobs.datasets.reading import read_groups
from jobs.rounds.workspace import Round
from jobs.stages.run import run_stages
from schemas.recipe_file import load
from schemas.rows import Candidate, Duel, Group, Preference, Prompt

Match = tuple[int, int]
_N = 10
_USUAL = Noise().on(Scale.of(1.0, 5.0))  # as a run plans before noise is fitted
#: On a CPU the seconds that this process computed: another's work on the machine does not count.
_now = time.perf_counter if torch.cuda.is_available() else time.process_time


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/laptop")
    parser.add_argument("--judge", help="directory of a judge; the loop's own where not given")
    parser.add_argument("--groups", help="directory of groups; the loop's own where not given")
    parser.add_argument("--num-groups", type=int, default=30)
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    if given.judge is None or given.groups is None:
        recipe = load(cli.LAPTOP, [f"root={given.root}", *given.overrides])
        run_stages(recipe, 1, ["label", "train_judge", "produce"])
        at = Round(recipe, 1)
        given.judge = given.judge or str(at.directory("judge"))
        given.groups = given.groups or str(at.directory("groups"))
    torch.set_num_threads(1)
    judge = TransformersJudge(given.judge, "judge@1")
    groups = read_groups(Path(given.groups))[: given.num_groups]
    print(json.dumps({**_reading(judge, groups), **_encoding(judge, groups)}))


# ------------------------------------------------------------------------------------- reading


def _reading(judge: TransformersJudge, groups: Sequence[Group]) -> dict[str, float]:
    """Duels a second of each arm, and how often they agree."""
    writer = _Writer(judge)
    arms: dict[str, Callable[[Group, list[Match]], list[Preference | None]]] = {
        "logits": lambda group, matches: _by_logits(judge, group, matches),
        "generate": lambda group, matches: writer.one_by_one(group, matches, stop_early=False),
        "generate_short": lambda group, matches: writer.one_by_one(group, matches, stop_early=True),
        "generate_batched": writer.all_at_once,
    }
    seconds = dict.fromkeys(arms, 0.0)
    said: dict[str, list[Preference | None]] = {arm: [] for arm in arms}
    prompts: list[str] = []
    for number, group in enumerate([groups[0], *groups]):  # the first once more, to warm up
        matches = list(itertools.permutations(range(len(group.candidates)), 2))
        for arm, run in arms.items():
            began = _now()
            found = run(group, matches)
            if number > 0:
                seconds[arm] += _now() - began
                said[arm] += found
        if number > 0:
            prompts += [group.prompt.prompt_id] * len(matches)
    num_duels = len(prompts)
    print(f"{num_duels} duels of {len(groups)} prompts, both orders; duels a second:")
    for arm, taken in seconds.items():
        print(f"  {arm:<17} {num_duels / taken:8.1f}")
    figures = {"num_duels": float(num_duels)}
    for arm in list(arms)[1:]:
        same = [
            math.nan if None in both else float(both[0] == both[1])
            for both in zip(said["logits"], said[arm], strict=True)
        ]
        share = clustered_bootstrap(same, prompts)
        invalid = said[arm].count(None) / num_duels
        print(
            f"  {arm}: verdicts as by logits {share.value:.4f} [{share.low:.4f}, {share.high:.4f}]"
            f", invalid {invalid:.4f}"
        )
        figures[f"speedup_over_{arm}"] = seconds[arm] / seconds["logits"]
        figures[f"agreement_{arm}"] = share.value
        figures[f"agreement_{arm}_low"] = share.low
        figures[f"invalid_rate_{arm}"] = invalid
    return figures


def _by_logits(
    judge: TransformersJudge, group: Group, matches: list[Match]
) -> list[Preference | None]:
    duels = judge.sit(group.prompt, group.candidates).duels(matches)
    return [one.preference if one.error is None else None for one in duels]


class _Writer:
    """The judge as one that writes its verdicts."""

    def __init__(self, judge: TransformersJudge) -> None:
        form = judge.format
        self.judge = judge
        self.task = form.specification.task("image_generation")
        self.decides = {key: list(ids) for key, ids in form.verdict_tree(self.task).tokens.items()}
        self.words: dict[Preference, str] = {
            key: form.read(ids) for key, ids in self.decides.items()
        }
        sentences = self.task.answers.values()
        self.num_tokens = max(len(form.answer_ids(one)) for one in sentences)

    def all_at_once(self, group: Group, matches: list[Match]) -> list[Preference | None]:
        """By this code: pictures encoded once, beginnings shared, all duels one batch."""
        sitting = self.judge.sit(group.prompt, group.candidates)
        texts = [sitting.pair(match) for match in matches]
        written = sitting.decoder.generate(texts, self.num_tokens, self.judge.stops)
        return [self._parsed(one.ids) for one in written]

    def one_by_one(
        self, group: Group, matches: list[Match], *, stop_early: bool
    ) -> list[Preference | None]:
        """By stock code, as published scripts do it."""
        return [self._duel(group, match, stop_early) for match in matches]

    def _duel(self, group: Group, match: Match, stop_early: bool) -> Preference | None:
        form, model = self.judge.format, self.judge.model
        media = [group.candidates[at].media for at in match]
        pictures = [Image.open(io.BytesIO(one.data)).convert("RGB") for one in media if one]
        pixels = form.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
        eyes = LlavaEyes(model, form.processor)
        tokens = (eyes.image,) * eyes.tokens_each
        shown = [Medium(at, tokens) for at in range(2)]
        ids = torch.tensor([form.pair(self.task, group.prompt.text, shown).ids])

        def decided(so_far: torch.Tensor, *_: object, **__: object) -> bool:
            return self._size(so_far[0, ids.shape[1] :].tolist()) is not None

        written = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=torch.ones_like(ids).to(model.device),
            pixel_values=pixels.to(model.device, model.dtype),
            max_new_tokens=self.num_tokens,
            do_sample=False,
            **({"stopping_criteria": [decided]} if stop_early else {}),
        )
        return self._parsed(written[0, ids.shape[1] :].tolist())

    def _parsed(self, ids: list[int]) -> Preference | None:
        # What follows the words that decide was never learned, and is not looked at.
        try:
            return parse_verdict(self.judge.format.read(ids[: self._size(ids)]), self.words)
        except UnreadableError:
            return None

    def _size(self, ids: list[int]) -> int | None:
        """How many tokens it took to decide; None where they do not."""
        sizes = [len(one) for one in self.decides.values() if ids[: len(one)] == one]
        return sizes[0] if sizes else None


# ------------------------------------------------------------------------------------ encoding


def _encoding(judge: TransformersJudge, groups: Sequence[Group]) -> dict[str, float]:
    """Seconds with pictures encoded for every use, over seconds with each encoded once."""
    figures: dict[str, float] = {}
    for name, size, per_group in (("bracket", 2, 1), ("round_robin", _N, 3)):
        arms = {"per_duel": 0.0, "once": 0.0, "once_shared": 0.0}
        encoder = {"per_duel": 0.0, "once": 0.0}
        some = list(groups)[:: per_group * 2]
        gap = 0.0
        for number, group in enumerate([some[0], *some]):
            candidates = _ten(group, groups)
            plan = _played(judge, group.prompt, candidates, size)
            found = {}
            for arm in arms:
                began = _now()
                found[arm], encoded = _ARMS[arm](judge, group.prompt, candidates, plan)
                if number > 0:
                    arms[arm] += _now() - began
                    if arm in encoder:
                        encoder[arm] += encoded
            numbers = np.array(list(found.values()))
            gap = max(gap, float(np.abs(numbers - numbers[0]).max()))
        num = sum(len(one) for one in plan)
        print(
            f"N = {_N}, {name} ({num} duels), {len(some)} prompts: ms a prompt "
            + ", ".join(f"{arm} {1e3 * taken / len(some):.1f}" for arm, taken in arms.items())
            + f"; largest difference of a probability {gap:.1e}"
        )
        figures[f"encode_once_ratio_{name}"] = arms["per_duel"] / arms["once"]
        figures[f"encode_once_ratio_{name}_shared_beginnings"] = (
            arms["per_duel"] / arms["once_shared"]
        )
        figures[f"encode_once_ratio_{name}_encoder"] = encoder["per_duel"] / encoder["once"]
    return figures


def _ten(group: Group, groups: Sequence[Group]) -> list[Candidate]:
    """Ten pictures: the group's own, filled up with the next group's."""
    at = [one.prompt.prompt_id for one in groups].index(group.prompt.prompt_id)
    pool = [*group.candidates, *groups[(at + 1) % len(groups)].candidates]
    return [one for one in pool if one.media is not None][:_N]


def _played(
    judge: TransformersJudge, prompt: Prompt, candidates: list[Candidate], size: int
) -> list[list[Match]]:
    """The rounds of duels that a bracket of `size` asks for."""
    sitting = judge.sit(prompt, candidates)
    scores, duels, rounds = sitting.scores(), list[Duel](), []
    while matches := Bracket(size, _USUAL).plan(scores, duels):
        duels += sitting.duels(matches)
        rounds.append([(match[0], match[1]) for match in matches])
    return rounds


def _timed_sitting(
    judge: TransformersJudge, prompt: Prompt, candidates: list[Candidate]
) -> tuple[TransformersSitting, float]:
    began = _now()
    return judge.sit(prompt, candidates), _now() - began


def _per_duel(
    judge: TransformersJudge, prompt: Prompt, candidates: list[Candidate], plan: list[list[Match]]
) -> tuple[list[float], float]:
    """Encode for the scores, and again both sides of every duel."""
    sitting, encoded = _timed_sitting(judge, prompt, candidates)
    sitting.decoder.shares = False
    numbers = [score.value for score in sitting.scores()]
    for matches in plan:
        sides = [candidates[at] for match in matches for at in match]
        sitting, more = _timed_sitting(judge, prompt, sides)
        sitting.decoder.shares = False
        encoded += more
        duels = sitting.duels([(2 * at, 2 * at + 1) for at in range(len(matches))])
        numbers += [duel.p_first for duel in duels]
    return numbers, encoded


def _once(
    judge: TransformersJudge,
    prompt: Prompt,
    candidates: list[Candidate],
    plan: list[list[Match]],
    shares: bool = False,
) -> tuple[list[float], float]:
    sitting, encoded = _timed_sitting(judge, prompt, candidates)
    sitting.decoder.shares = shares
    numbers = [score.value for score in sitting.scores()]
    for matches in plan:
        numbers += [duel.p_first for duel in sitting.duels(matches)]
    return numbers, encoded


def _once_shared(
    judge: TransformersJudge, prompt: Prompt, candidates: list[Candidate], plan: list[list[Match]]
) -> tuple[list[float], float]:
    return _once(judge, prompt, candidates, plan, shares=True)


_ARMS = {"per_duel": _per_duel, "once": _once, "once_shared": _once_shared}


if __name__ == "__main__":
    main()
