"""What is drawn for a round's prompts, by whom, and what need not be drawn again.

Both who draws alone (`candidates@N`) and who draws and judges (`groups@N`) ask here.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.prompt_lengths import text_readers, told_too_long
from actors.storage import place
from factory.failures import failed_by_generator
from factory.generator_kinds import generator_kind
from factory.prompts import PromptsFile
from jobs.datasets.at_hand import Source
from jobs.datasets.files import parquet
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
from schemas.plugins import is_plugin
from schemas.recipe import GeneratorSpec
from schemas.section import Section

_IS_ATTEMPT = "candidates.list.element.is_attempt"
_ROWS_AT_ONCE = 8192


class Drawing(Section):
    """What candidates depend on, beside their parents."""

    seed: int
    num_candidates: int
    generator: GeneratorSpec
    also: list[GeneratorSpec]


def drawing_of(at: Round) -> Drawing:
    """What the recipe says of it."""
    recipe = at.recipe
    return Drawing(
        seed=recipe.seed,
        num_candidates=recipe.produce.num_candidates,
        generator=recipe.generator,
        also=recipe.produce.also,
    )


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


def check_drawing(at: Round) -> PromptsFile:
    """The prompts to draw.

    Raises:
        InputError, PromptsError: what would stop the drawing.
    """
    recipe = at.recipe
    prompts = prompts_file(recipe.produce.prompts, "produce.prompts", recipe)
    check_generator(recipe.generator, recipe, tasks=prompts.tasks)
    for key, spec in beside(at).items():
        check_generator(spec, recipe, key, tasks=prompts.tasks)
    check_drawn(prompts, {"generator.path": recipe.generator, **beside(at)})
    reused(recipe)
    return prompts


def notes_of_drawing(at: Round, prompts: PromptsFile) -> list[str]:
    """What a plan tells of generators that read less than they are given: guidance, and the ends of
    long prompts.
    """
    specs = {"generator": at.recipe.generator}
    specs |= {key.removesuffix(".path"): spec for key, spec in beside(at).items()}
    notes = told_of_calls(at.recipe, specs)
    for key, spec in specs.items():
        if not is_plugin(spec.path) and generator_kind(place(spec.path), spec) == "pipeline":
            texts = (prompt.text for prompt in prompts)
            notes += told_too_long(texts, text_readers(spec), key)
    return notes


def rows_to_draw(at: Round, prompts: PromptsFile) -> str:
    """What a plan says of the drawing."""
    produce = at.recipe.produce
    num = produce.num_candidates * (1 + len(produce.also))
    return f"{len(prompts)} prompts x {num} candidates"


def told_at_hand(at: Round, prompts: PromptsFile, *, is_judged: bool = False) -> str:
    """What a plan says of what is at hand of the drawing; nothing where there are no sources.

    Args:
        at: the round.
        prompts: of it.
        is_judged: whether the round's judge is to judge them, who may have done so before.
    """
    sources = [*drawn_before(at), *sources_of(at)]
    if not sources:
        return ""
    asking = judge_asking(at) if is_judged else None
    num = at.recipe.produce.num_candidates
    return str(forecast(prompts, generators_of(at), num, at.seed, sources, asking))


def drawn_from(at: Round) -> list[Parent]:
    """The prompts and the generators, as parents of what is drawn."""
    prompts = at.recipe.produce.prompts
    return [
        Parent("prompts", prompts, digest_file(place(prompts))),
        champion(at).parent("generator"),
        *(given(spec).parent("generator") for spec in at.recipe.produce.also),
    ]


def generators_of(at: Round) -> list[Any]:
    """The champion, and those that draw beside it."""
    return [generator_ref(champion(at), at), *refs_beside(at)]


def sources_of(at: Round) -> list[Source]:
    """What the recipe lets be taken over."""
    generators = [one for one in drawn_from(at) if one.role == "generator"]
    return [Source.of(directory, generators) for directory in reused(at.recipe)]


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
