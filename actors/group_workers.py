"""The steps of a Ray Data pipeline: callable classes from an Arrow table of groups to another, each
of which travels as one value (`actors.blocks`).

A step holds its model. What is at hand already (a candidate that was drawn before, a reply that a
judge gave before) comes with the group and is taken; the rest is drawn in one call and asked in one
sitting. What goes wrong with a row is written into the row (`error`), so that one bad row never
takes its block along. Each step writes what it has made before it hands it on: a run that is killed
loses only the blocks that were being worked on. Model libraries are loaded with a model, and a
model only where something is left for it to do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa

from actors.block_judging import Heard, Hearing, in_turns
from actors.blocks import packed, unpacked
from actors.memory import reason
from actors.refs import GeneratorLike, JudgingRef
from actors.tally import GENERATE, JUDGE, Piece, TallyHandle
from factory.candidates import candidate_seeds, is_brought, take
from factory.ids import Ids, numbers_of, positions
from factory.judging.panel_judge import PanelRecorder
from factory.judging.recording import Recorder, without_words
from factory.protocols import Generator, Judge, draws_ahead
from factory.ranking import ByTask, Strategy
from schemas.arrow import groups_from_table, groups_to_table, with_judgements
from schemas.rows import Candidate, Group, Prompt, content_id

#: Writes a table of groups where the next run finds it, and returns what the next step is to get.
Keep = Callable[[pa.Table], pa.Table]
#: A row whose media are read when somebody looks at them, of one with references.
Fetching = Callable[[Group], Group]

_LOOK_S = 0.05  # between two looks whether the judges have caught up


def one_thread_per_worker() -> None:
    """On CPUs Ray already runs one worker per core; more threads would only fight."""
    torch = sys.modules.get("torch")  # what was loaded needs it, or nothing does
    if torch is not None and not torch.cuda.is_available():
        torch.set_num_threads(1)


# ------------------------------------------------------------------------------------- drawing


@dataclass(frozen=True)
class _Share:
    """What one generator has to do with one group.

    wanted: its candidates as they are known before they are drawn, one for each seed.
    taken: those of them that are at hand, by seed.
    """

    ref: GeneratorLike
    wanted: Sequence[Candidate]
    taken: Mapping[int, Candidate]

    @property
    def missing(self) -> list[Candidate]:
        return [one for one in self.wanted if one.seed not in self.taken]


class Generate:
    """Adds candidates.

    Reads prompt columns and the candidates that are at hand; leaves in `candidates` those that were
    brought along and the `num_candidates` outputs of each generator, and nothing else. Seeds come
    from the generator's name without its version: two versions draw from equal noise. Where nothing
    could be drawn, `error` and `failed_stage` say so. In a run that is to stop, rows that were not
    begun are left out: they are no part of it.
    """

    def __init__(
        self,
        generators: Sequence[GeneratorLike],
        num_candidates: int,
        seed: int,
        tally: TallyHandle,
        keep: Keep,
        fetching: Fetching = lambda group: group,
        max_lead: int | None = None,
        *,
        is_last: bool = True,
        drawn_for: Ids | None = None,
    ) -> None:
        """Load nothing yet.

        Args:
            generators: each of which adds `num_candidates`.
            num_candidates: of each, for each prompt.
            seed: of the recipe.
            tally: of the run.
            keep: what becomes of a block that is drawn.
            fetching: a row whose media are read when a generator looks at them.
            max_lead: prompts that may be drawn, or begun, and not yet judged; None for any number.
            is_last: whether no step follows, so that a block is also kept where all of it was at
                hand.
            drawn_for: ids of the prompts for which the generators draw, ascending; None for all.
        """
        self.refs = generators
        self.num_candidates = num_candidates
        self.seed = seed
        self.tally = tally
        self.keep = keep
        self.fetching = fetching
        self.max_lead = max_lead
        self.is_last = is_last
        self.drawn_for = drawn_for
        self._loaded: dict[str, Generator] = {}

    def __call__(self, block: pa.Table) -> pa.Table:
        made = self.work(unpacked(block))
        return made if self.is_last else packed(made)

    def work(self, table: pa.Table) -> pa.Table:
        """From a table of groups to what `keep` makes of it with their candidates."""
        if self._is_to_stop():
            return self.keep(table.slice(0, 0))
        groups = [self.fetching(group) for group in groups_from_table(table)]
        shares = [self._shares(group) for group in groups]
        lacking = [share.ref for of_group in shares for share in of_group if share.missing]
        self._load(lacking)
        with self.tally.busy(GENERATE, [group.prompt.prompt_id for group in groups]) as done:
            drawn = groups_to_table(self._drawn(groups, shares, done))
            return self.keep(drawn) if lacking or self.is_last else drawn

    def generate(self, group: Group, done: Piece) -> Group:
        """One group alone."""
        shares = self._shares(group)
        self._load(share.ref for share in shares if share.missing)
        return self._drawn([group], [shares], done)[0]

    def _drawn(
        self, groups: Sequence[Group], shares: Sequence[Sequence[_Share]], done: Piece
    ) -> list[Group]:
        # What was drawn is encoded while the next prompt is drawn.
        with ThreadPoolExecutor(1) as encoders:
            begun = [
                [self._draw(group.prompt, share, done, encoders) for share in of_group]
                for group, of_group in zip(groups, shares, strict=True)
            ]
            return [
                self._end(group, of_group, [end() for end in ends], done)
                for group, of_group, ends in zip(groups, shares, begun, strict=True)
            ]

    def _is_to_stop(self) -> bool:
        """Whether the run begins no more rows; waits for judges that are far behind."""
        stopped, num_waiting = self.tally.last_state()
        while stopped is None and self.max_lead is not None and num_waiting >= self.max_lead:
            time.sleep(_LOOK_S)
            stopped, num_waiting = self.tally.state()
        return stopped is not None

    def _load(self, refs: Iterable[GeneratorLike]) -> None:
        for ref in refs:
            if ref.address not in self._loaded:
                with self.tally.loading(GENERATE, ref.name):
                    self._loaded[ref.address] = ref.load()
                one_thread_per_worker()

    def _is_drawn_for(self, prompt: Prompt) -> bool:
        if self.drawn_for is None:
            return True
        return bool((positions(numbers_of([prompt.prompt_id]), self.drawn_for) >= 0).any())

    def _shares(self, group: Group) -> list[_Share]:
        shares: list[_Share] = []
        if not self._is_drawn_for(group.prompt):
            return shares
        for ref in self.refs:
            seeds = candidate_seeds(group.prompt, ref.name, self.seed, self.num_candidates)
            wanted = ref.planned(group.prompt, seeds)
            shares.append(_Share(ref, wanted, take(wanted, group.candidates)))
        return shares

    def _draw(
        self, prompt: Prompt, share: _Share, done: Piece, encoders: ThreadPoolExecutor
    ) -> Callable[[], list[Candidate]]:
        missing = share.missing
        done.count(len(missing), len(share.taken))
        if not missing:
            return lambda: _in_order(share, [])
        seeds = [one.seed for one in missing]
        generator = self._loaded[share.ref.address]
        drawn: Future[list[Candidate]] = Future()
        try:
            with done.model(prompt.prompt_id, generator.name):
                if draws_ahead(generator):
                    drawn = encoders.submit(generator.draw_ahead(prompt, seeds))
                else:
                    drawn.set_result(generator.generate(prompt, seeds))
        except Exception as error:
            drawn.set_exception(error)

        def end() -> list[Candidate]:
            try:
                return _in_order(share, _one_a_seed(drawn.result(), seeds))
            except Exception as error:
                return _in_order(share, _failures(prompt, generator, missing, error))

        return end

    def _end(
        self,
        group: Group,
        shares: Sequence[_Share],
        drawn: Sequence[list[Candidate]],
        done: Piece,
    ) -> Group:
        brought = {one.candidate_id: one for one in group.candidates if is_brought(one)}
        candidates = [*brought.values(), *(one for of_generator in drawn for one in of_generator)]
        group = replace(group, candidates=tuple(candidates))
        if any(one.error is None for one in candidates):
            for share, of_generator in zip(shares, drawn, strict=True):
                lost = [one.error for one in of_generator if one.error is not None]
                if share.missing and len(lost) == len(of_generator):
                    done.lose(group.prompt.prompt_id, share.ref.name, lost[0])
            return group
        why = next((one.error for one in candidates if one.error), "no candidates")
        done.fail(group.prompt.prompt_id, why)
        return replace(group, error=why, failed_stage=GENERATE)


def _in_order(share: _Share, drawn: Sequence[Candidate]) -> list[Candidate]:
    """A generator's candidates in the order of their seeds: taken and drawn ones."""
    found = {**share.taken, **{one.seed: one for one in drawn}}
    return [found[one.seed] for one in share.wanted]


def _failures(
    prompt: Prompt, generator: Generator, missing: Sequence[Candidate], error: Exception
) -> list[Candidate]:
    """All that a generator was asked for, none of which came about."""
    why = reason(error)
    return [
        replace(
            one,
            # Of code of somebody's own, which gives its candidates ids that nobody else knows.
            candidate_id=one.candidate_id
            or content_id("candidate", prompt.prompt_id, generator.name, one.seed),
            error=why,
            is_attempt=True,  # what a generator has to say of a candidate it says in the candidate
        )
        for one in missing
    ]


def _one_a_seed(drawn: Sequence[Candidate], seeds: Sequence[int]) -> Sequence[Candidate]:
    """What a generator has drawn, where it kept to its protocol: it may be anybody's code.

    Raises:
        ValueError: not one candidate for each seed, in order, or two of one id.
    """
    if [one.seed for one in drawn] != list(seeds):
        raise ValueError("the generator did not give one candidate for each seed, in order")
    if len({one.candidate_id for one in drawn}) != len(drawn):
        raise ValueError("the generator gave two candidates of one id")
    return drawn


# ------------------------------------------------------------------------------------- judging


class Judging:
    """Adds scores and duels.

    Reads `candidates`, and the replies that are at hand; adds to `scores` one score for each, and
    to `duels` those that the ranking strategy asks for: all of one plan together, then the next
    plan, which is made for the groups of a block at once. `replies` are then what these were read
    from, and nothing else. Where a judge fails, `error` and `failed_stage` say so.
    """

    def __init__(
        self,
        judges: Sequence[JudgingRef],
        strategy: Strategy | ByTask,
        tally: TallyHandle,
        keep: Keep,
        fetching: Fetching = lambda group: group,
        *,
        keep_words: bool = True,
    ) -> None:
        """Load the judges.

        Args:
            judges: each of which judges every group.
            strategy: which duels to play; one of each task, where they differ by it.
            tally: of the run.
            keep: what becomes of a block that is judged.
            fetching: a row whose media are read when a judge looks at them, of one that came with
                references: what is not asked about is never read.
            keep_words: keep what judges wrote.
        """
        self.judges: list[tuple[Judge, Recorder | PanelRecorder]] = []
        for ref in judges:
            with tally.loading(JUDGE, ref.name):
                self.judges.append(ref.recorded())
        one_thread_per_worker()
        self.strategy = strategy
        self.tally = tally
        self.keep = keep
        self.fetching = fetching
        self.keep_words = keep_words

    def __call__(self, block: pa.Table) -> pa.Table:
        return self.work(unpacked(block))

    def work(self, table: pa.Table) -> pa.Table:
        """From a table of groups to what `keep` makes of it with what is said of them."""
        with self.tally.busy(JUDGE, table.column("prompt_id").to_pylist()) as done:
            groups = self.judge_all(groups_from_table(table), done)
            if not self.keep_words:
                groups = [without_words(group) for group in groups]
            return self.keep(with_judgements(table, groups))

    def judge(self, group: Group, done: Piece) -> Group:
        """One group alone."""
        return self.judge_all([group], done)[0]

    def judge_all(self, groups: Sequence[Group], done: Piece) -> list[Group]:
        """The groups of a block, each with what the judges say of it."""
        judged: list[Group] = []
        for some in in_turns(groups):
            judged += self._judge_together(some, done)
        return judged

    def _judge_together(self, groups: Sequence[Group], done: Piece) -> list[Group]:
        judged = [replace(group, replies=()) for group in groups]
        shown = {at: self.fetching(one) for at, one in enumerate(judged) if one.error is None}
        for judge, recorder in self.judges:
            left = [at for at in shown if judged[at].error is None]
            hearing = Hearing(judge, recorder, self.strategy, done)
            heard = hearing.hear([shown[at] for at in left], [groups[at].replies for at in left])
            for at, one in zip(left, heard, strict=True):
                judged[at] = _with(judged[at], one)
        for at in shown:
            why = judged[at].error
            if why is None and judged[at].is_invalid:
                errors = (score.error for score in judged[at].scores if score.error)
                why = next(errors, "fewer than two scores")
            if why is not None:
                done.fail(judged[at].prompt.prompt_id, why)
        return judged


def _with(group: Group, heard: Heard) -> Group:
    """A group with what one more judge says of it."""
    group = replace(group, replies=(*group.replies, *heard.ledger.replies))
    if heard.error is not None:
        return replace(group, error=heard.error, failed_stage=JUDGE)
    scores, duels = heard.scores, heard.duels
    return replace(
        group,
        scores=(*group.scores, *scores),
        duels=(*group.duels, *duels),
        member_scores=(*group.member_scores, *(m for one in scores for m in one.members)),
        member_duels=(*group.member_duels, *(m for one in duels for m in one.members)),
    )
