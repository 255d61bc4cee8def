"""Prompts of several parts against the models of a recipe, before anything runs: who would have to
leave a part out is refused by name, with the first row that asks for it.

What cannot be known yet, as of a pipeline on the hub, its worker says of each such row. A file of
plain prompts costs nothing here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from actors.pipeline_files import pipeline_class, pipeline_files
from actors.storage import place
from factory.evaluation.reference import REFERENCE_KEY
from factory.generator_kinds import PLAIN, generator_kind, takes_of_questions
from factory.judging.specification import JudgeSpecification, SpecificationError
from factory.plugins import load
from factory.prompt_parts import QUESTIONS, Need, PartsError, check_needs, declared
from factory.prompts import PromptsFile
from jobs.pipelines.judge_backends import name_of
from jobs.pipelines.judge_training import specification_of
from jobs.rounds.workspace import InputError
from schemas.plugins import is_plugin
from schemas.recipe import Answering, Evaluate, GeneratorSpec, JudgeSpec


class Asking(Protocol):
    """What is known of prompts before anything runs: of a file, or of the first rows of a table."""

    @property
    def path(self) -> object:
        """Where they stand."""

    @property
    def needs(self) -> Mapping[Need, int]:
        """What they ask for beside a text and a medium before it, with the first row that does."""


def check_drawn(prompts: PromptsFile, generators: Mapping[str, GeneratorSpec]) -> None:
    """Refuse prompts that one of these generators would not draw from, or answer, in full.

    Args:
        prompts: of a recipe.
        generators: by the keys of the recipe that name their paths.

    Raises:
        InputError: names file, row, key and what is not taken.
    """
    for key, spec in generators.items():
        if prompts.needs:
            found = _of_generator(spec, key)
            if found is not None:
                who, takes = found
                _check(prompts, takes, f"{key}: {who}")
        else:
            _check_start(prompts, spec, key)


def check_judged(prompts: Asking, judge: JudgeSpec, key: str = "judge") -> None:
    """Refuse prompts that a judge would not be shown in full. Raises as `check_drawn`."""
    if not prompts.needs:
        return
    for at, one in enumerate(judge.panel):
        check_judged(prompts, one, f"{key}.panel.{at}")
    if judge.panel:
        return
    if is_plugin(judge.path):
        _check(prompts, declared(load(judge.path, f"{key}.path")), f"{key}.path: {judge.path!r}")
        return
    if name_of(judge) == "scalar":
        _check(prompts, (), f"{key}: {judge.path}, which scores one picture or clip for a caption")
        return
    try:
        specification = specification_of(judge)
    except SpecificationError as error:
        raise InputError(f"{key}.specification: {error}") from None
    _check_shown(prompts, specification, key)


def check_trained(prompts: PromptsFile) -> None:
    """Refuse prompts on whose pairs a pipeline cannot be trained. Raises InputError, as
    `check_drawn`.
    """
    _check(prompts, (), "align: training a pipeline")


def check_witnesses(prompts: PromptsFile, settings: Evaluate) -> None:
    """As `check_judged`, of all who judge beside the judge of the pairs."""
    if not prompts.needs:
        return
    if settings.endpoint is not None:
        check_judged(prompts, settings.endpoint.judge, "evaluate.endpoint")
    if settings.heldout_judge is not None:
        check_judged(prompts, settings.heldout_judge, "evaluate.heldout_judge")
    if settings.oracle != "none":
        takes = declared(load(settings.oracle, REFERENCE_KEY))
        _check(prompts, takes, f"{REFERENCE_KEY}: {settings.oracle!r}")


def _check_start(prompts: PromptsFile, spec: GeneratorSpec, key: str) -> None:
    """Refuse plain prompts for a pipeline that starts from a picture. Where some prompts have one
    and others have not, the others fail each by itself.
    """
    if is_plugin(spec.path) or generator_kind(place(spec.path), spec) == "answering":
        return
    files = pipeline_files(spec.path, spec.revision)
    if files is None or files.class_name in PLAIN:
        return
    from actors.calling import needs_picture

    pipeline = pipeline_class(files)
    if pipeline is not None and needs_picture(pipeline):
        raise InputError(
            f"{key}: {pipeline.__name__} starts from a picture, and no prompt of {prompts.path} "
            "has one: give each a part of role 'source' (README, Prompts), or draw with a pipeline "
            "of texts"
        )


def _of_generator(spec: GeneratorSpec, key: str) -> tuple[str, Collection[Need]] | None:
    """What it is called, and what it takes; None where only the worker will know."""
    if is_plugin(spec.path):
        return repr(spec.path), declared(load(spec.path, key))
    if generator_kind(place(spec.path), spec) == "answering":
        asking = spec.answering or Answering()
        return "answering.question", takes_of_questions(asking)
    from actors.conditioning import takes

    pipeline = pipeline_class(pipeline_files(spec.path, spec.revision))
    return None if pipeline is None else (pipeline.__name__, takes(pipeline))


def _check_shown(prompts: Asking, specification: JudgeSpecification, key: str) -> None:
    of_pictures = specification.tasks.get("image_generation")
    takes = QUESTIONS if of_pictures is None else of_pictures.takes
    _check(prompts, takes, f"{key}: a specification without words for it (`source`)")


def _check(prompts: Asking, takes: Collection[Need], who: str) -> None:
    for need, row in prompts.needs.items():
        try:
            check_needs([need], takes, who)
        except PartsError as error:
            raise InputError(f"{prompts.path}: row {row}: {error}") from None
