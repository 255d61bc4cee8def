"""What is drawn for a round's prompts, by whom, and what need not be drawn again; and what is
brought along in the place of it or beside it.

Both who draws alone (`candidates@N`) and who draws and judges (`groups@N`) ask here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.prompt_lengths import text_readers, told_too_long
from actors.storage import place
from factory.failures import failed_by_generator
from factory.generator_kinds import generator_kind
from factory.ids import Ids, numbers_of
from factory.prompts import Prompts, PromptsFile
from jobs.datasets.at_hand import Source
from jobs.datasets.files import parquet
from jobs.pipelines.bringing import BroughtPrompts, Look, bring, bringing, look
from jobs.pipelines.forecast import forecast
from jobs.pipelines.models import beside, generator_ref, given, judge_asking, refs_beside
from jobs.pipelines.prompt_checks import check_drawn
from jobs.pipelines.reuse import reused
from jobs.rounds import lifecycle
from jobs.rounds.checks import check_generator, prompts_file, told_of_calls
from jobs.rounds.lifecycle import Blueprint
from jobs.rounds.workspace import Round, champion
from schemas import manifest
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.plugins import is_plugin
from schemas.recipe import Candidates, GeneratorSpec, Pool, Recipe
from schemas.rows import Prompt, Task
from schemas.section import Section

#: The recipe's key of candidates that exist.
CANDIDATES = "produce.candidates"

_IS_ATTEMPT = "candidates.list.element.is_attempt"
_ROWS_AT_ONCE = 8192
_IDLE_CPUS = 0.1  # of a generator's worker that only hands on what is there


class Drawing(Section):
    """What candidates depend on, beside their parents; no generator where nothing is drawn."""

    seed: int
    num_candidates: int
    generator: GeneratorSpec | None = None
    also: list[GeneratorSpec]
    candidates: Candidates | None = None


def drawing_of(at: Round) -> Drawing:
    """What the recipe says of it."""
    recipe, draws = at.recipe, at.recipe.produce.draws
    return Drawing(
        seed=recipe.seed,
        num_candidates=recipe.produce.num_candidates if draws else 0,
        generator=recipe.generator if draws else None,
        also=recipe.produce.also if draws else [],
        candidates=recipe.produce.candidates,
    )


@dataclass(frozen=True)
class Work:
    """What a run is about.

    prompts: all of them.
    drawn_for: ids of those for which generators draw, ascending; None for all.
    brought: where the candidates lie that exist already.
    counts: of what was brought along by this run.
    """

    prompts: Prompts
    drawn_for: Ids | None = None
    brought: tuple[Source, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Both:
    """Prompts to draw for, then those that are only brought along."""

    drawn: PromptsFile
    brought: BroughtPrompts

    def __len__(self) -> int:
        return sum(1 for _ in self.ids())

    def __iter__(self) -> Iterator[Prompt]:
        yield from self.drawn
        yield from (one for one in self.brought if one.prompt_id not in self.drawn)

    def ids(self) -> Iterator[str]:
        yield from self.drawn.ids()
        yield from (one for one in self.brought.ids() if one not in self.drawn)


def work_of(at: Round, directory: Place) -> Work:
    """The prompts of a round and what is brought along of them, which is read, measured and stored
    first where no `candidates@N` has it.

    Args:
        at: the round.
        directory: of what is made.

    Raises:
        InputError: what is brought along cannot be used.
    """
    produce = at.recipe.produce
    drawn = PromptsFile(place(produce.prompts)) if produce.draws else None
    if produce.candidates is None:
        assert drawn is not None  # one of them is given
        return Work(drawn)
    before = drawn_before(at) if directory != at.directory("candidates") else []
    counts: Mapping[str, int] = {}
    if before:
        prompts = BroughtPrompts(before[0].files)
        source = replace(before[0], is_brought=True)
    else:
        brought = bring(bringing(produce.candidates, CANDIDATES), directory, at.recipe)
        prompts, counts = brought.prompts, brought.counts
        source = Source(directory, prompts.files, is_brought=True)
    if drawn is None:
        return Work(prompts, np.empty(0, np.uint64), (source,), counts)
    return Work(_Both(drawn, prompts), np.sort(numbers_of(drawn.ids())), (source,), counts)


def drawn_before(at: Round) -> list[Source]:
    """The round's `candidates@N`, where somebody has drawn them apart.

    Raises:
        InputError: it was drawn with another recipe.
    """
    directory = at.directory("candidates")
    if manifest.read(directory) is None:
        return []
    made = lifecycle.find(Blueprint(directory, "candidates", drawing_of(at), tuple(drawn_from(at))))
    return [] if made is None else [Source.of(directory)]


def num_attempts(source: Source) -> int:
    """Candidates of a source that only an attempt failed at."""
    num = 0
    for path in source.files:
        with path.open("rb") as opened:
            for batch in parquet(opened, path).iter_batches(_ROWS_AT_ONCE, columns=[_IS_ATTEMPT]):
                (is_attempt,) = batch.column(0).flatten().flatten()
                num += pc.sum(is_attempt).as_py() or 0
    return num


@dataclass(frozen=True)
class Checked:
    """What is known of a round's prompts at the plan.

    drawn: those to draw for; None where nothing is drawn.
    brought: what the first rows that are brought along tell; None where there are none.
    """

    drawn: PromptsFile | None
    brought: Look | None

    @property
    def tasks(self) -> frozenset[Task]:
        """Of all prompts, as far as they are known."""
        return frozenset(task for one in self.each() for task in one.tasks)

    def each(self) -> list[PromptsFile | Look]:
        """Both, as far as they are there."""
        return [one for one in (self.drawn, self.brought) if one is not None]


def check_drawing(at: Round) -> Checked:
    """What is to be drawn, and what is brought along.

    Raises:
        InputError, PromptsError: what would stop the drawing, or what is brought along cannot be
            used.
    """
    recipe, brought = at.recipe, at.recipe.produce.candidates
    seen = None if brought is None else look(bringing(brought, CANDIDATES))
    reused(recipe)
    if not recipe.produce.draws:
        return Checked(None, seen)
    prompts = prompts_file(recipe.produce.prompts, "produce.prompts", recipe)
    check_generator(recipe.generator, recipe, tasks=prompts.tasks)
    for key, spec in beside(at).items():
        check_generator(spec, recipe, key, tasks=prompts.tasks)
    check_drawn(prompts, {"generator.path": recipe.generator, **beside(at)})
    return Checked(prompts, seen)


def notes_of_drawing(at: Round, prompts: Checked) -> list[str]:
    """What a plan tells of generators that read less than they are given: guidance, and the ends of
    long prompts.
    """
    if prompts.drawn is None:
        return []
    specs = {"generator": at.recipe.generator}
    specs |= {key.removesuffix(".path"): spec for key, spec in beside(at).items()}
    notes = told_of_calls(at.recipe, specs)
    for key, spec in specs.items():
        if not is_plugin(spec.path) and generator_kind(place(spec.path), spec) == "pipeline":
            texts = (prompt.text for prompt in prompts.drawn)
            notes += told_too_long(texts, text_readers(spec), key)
    return notes


def rows_to_draw(at: Round, prompts: Checked) -> str:
    """What a plan says of the drawing."""
    produce = at.recipe.produce
    said = []
    if prompts.drawn is not None:
        num = produce.num_candidates * (1 + len(produce.also))
        said.append(f"{len(prompts.drawn)} prompts x {num} candidates")
    if prompts.brought is not None:
        said.append(str(prompts.brought))
    return "; ".join(said)


def told_generators(recipe: Recipe) -> str:
    """What a plan says of who draws."""
    pool = recipe.produce.generators
    return f"{pool.span} generator(s)" if recipe.produce.draws else "no generator"


def told_at_hand(at: Round, prompts: Checked, *, is_judged: bool = False) -> str:
    """What a plan says of what is at hand of the drawing; nothing where there are no sources.

    Args:
        at: the round.
        prompts: of it.
        is_judged: whether the round's judge is to judge them, who may have done so before.
    """
    sources = [*drawn_before(at), *sources_of(at)]
    if not sources or prompts.drawn is None:
        return ""
    asking = judge_asking(at) if is_judged else None
    num = at.recipe.produce.num_candidates
    return str(forecast(prompts.drawn, generators_of(at), num, at.seed, sources, asking))


def drawn_from(at: Round) -> list[Parent]:
    """The prompts and the generators, as parents of what is drawn, and the table of what is brought
    along.
    """
    produce = at.recipe.produce
    parents = []
    if produce.draws:
        parents = [
            Parent("prompts", produce.prompts, digest_file(place(produce.prompts))),
            champion(at).parent("generator"),
            *(given(spec).parent("generator") for spec in produce.also),
        ]
    if produce.candidates is not None:
        parents.append(bringing(produce.candidates, CANDIDATES).parent())
    return parents


def generators_of(at: Round) -> list[Any]:
    """The champion, and those that draw beside it; none where nothing is drawn."""
    if not at.recipe.produce.draws:
        return []
    return [generator_ref(champion(at), at), *refs_beside(at)]


def idle(recipe: Recipe) -> Recipe:
    """The recipe with a pool of generators that takes nothing: they have nothing to draw."""
    produce = recipe.produce.model_copy(update={"generators": Pool(num_cpus=_IDLE_CPUS)})
    return recipe.model_copy(update={"produce": produce})


def sources_of(at: Round) -> list[Source]:
    """What the recipe lets be taken over."""
    generators = [one for one in drawn_from(at) if one.role == "generator"]
    return [Source.of(directory, generators) for directory in reused(at.recipe)]


def told_aside(counts: Mapping[str, int]) -> dict[str, int]:
    """What a manifest says of rows that were brought along and could not be used, where there are
    such.
    """
    return {"set_aside": counts["set_aside"]} if counts.get("set_aside") else {}


def count_candidates(table: pa.Table) -> dict[str, int]:
    """What a manifest says of a table of candidates."""
    candidates = table.column("candidates").combine_chunks().flatten()
    generators, errors = (
        pc.struct_field(candidates, name).to_pylist() for name in ("generator", "error")
    )
    return {
        "prompts": table.num_rows,
        "candidates": len(errors),
        "invalid": sum(one is not None for one in errors),
        **failed_by_generator(generators, errors),
    }
