"""What is refused before anything starts: paths, models, prompts files, too few CPUs; and which
checkpoints may bring code of their own.

Each section of a recipe that names a checkpoint says so for that one (`trust_remote_code`); what a
round makes of it by training carries the same code and is trusted with it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Literal

from actors import adapter_files, storage
from actors.calling import CallError, check_call, guidance_notes
from actors.headers import read_small
from actors.pipeline_files import pipeline_class, pipeline_files, small_parts_fault
from actors.storage import place
from actors.weights import WeightsError, commit_of, hub_commit, is_hub_name
from factory.evaluation.reference import reference_of
from factory.generator_kinds import MARKERS, PLAIN, generator_kind
from factory.media.encoding import check_encoding
from factory.plugins import load
from factory.prompts import PromptsFile
from factory.tensors import CheckpointError
from factory.weight_files import CONVERT, weights_fault
from jobs.rounds.workspace import InputError
from schemas.artifacts import ADDRESS
from schemas.places import Place
from schemas.plugins import is_plugin
from schemas.recipe import Answering, GeneratorSpec, JudgeSpec, Recipe, told_by
from schemas.rows import UNDERSTANDING, Task

_LOGGER = logging.getLogger("preference_factory.prompts")


def check_model(path: str, marker: str, key: str, revision: str | None = None) -> None:
    """Refuse a model path that is neither a model directory nor the name of a hub's repository.

    Args:
        path: of the model.
        marker: the file by which its directory is known.
        key: of the recipe, that names it.
        revision: of a hub's repository; its main branch where None.

    Raises:
        InputError: a directory without `marker`, a local-looking path that does not exist, a hub's
            repository of which no commit can be found, or code of the user's own where weights are
            needed.
    """
    if is_plugin(path):
        raise InputError(
            f"{key}: {path!r} is code of your own, and weights are needed here. Code of your own "
            "can judge where a judge is named, and draw as generator.path or produce.also"
        )
    directory = place(path)
    if directory.is_dir():
        if not (directory / marker).is_file():
            raise InputError(f"{key}: {path} is a directory but no model: it has no {marker}")
    elif storage.is_address(path):
        raise InputError(f"{key}: no model at {path}: there is nothing under this address")
    elif not is_hub_name(path):
        raise InputError(f"{key}: no model at {path!r}: neither a directory nor a hub name")
    else:
        try:
            commit_of(path, revision)
        except WeightsError as error:
            raise InputError(f"{key}: {error}") from None


def check_no_adapter(spec: GeneratorSpec | JudgeSpec, key: str) -> None:
    """Refuse a directory that holds an adapter: it may lack all else by which a model is known.

    Raises:
        InputError: says of which base it is, and what to do.
    """
    if is_plugin(spec.path) or not (place(spec.path) / "adapter_config.json").is_file():
        return
    try:
        adapter_files.check_no_adapter(spec.path)
    except CheckpointError as error:
        raise InputError(f"{key}: {error}") from None


def check_weights(
    spec: GeneratorSpec | JudgeSpec,
    key: str,
    allow_missing: Sequence[str],
    *,
    is_trained: bool = False,
) -> tuple[str, ...]:
    """Refuse a transformers model that is not what its configuration says, or whose weights cannot
    be loaded here, by its small files and the headers of its weights.

    Args:
        spec: the section that names it.
        key: of the recipe, that names it.
        allow_missing: patterns of names of tensors that may be missing.
        is_trained: whether it is to be trained.

    Returns:
        the tensors that are missing and may be.

    Raises:
        InputError: says what does not fit, and what to do.
    """
    from actors.checkpoints import check_not_quantised, check_stored  # torch, where it is needed

    commit = hub_commit(spec.path, spec.revision)
    try:
        if is_trained:
            check_not_quantised(spec.path, read_small(spec.path, "config.json", commit) or b"{}")
        return check_stored(
            spec.path,
            commit,
            allow_missing=allow_missing,
            trust_remote_code=spec.trust_remote_code,
        )
    except CheckpointError as error:
        raise InputError(f"{key}: {error}") from None


def told_missing(recipe: Recipe) -> list[str]:
    """Which tensors a recipe lets checkpoints lack, in sentences.

    Raises:
        InputError: of a checkpoint that lacks others too.
    """
    sentences = []
    for key, spec in _checkpoints(recipe).items():
        asked = spec.allow_missing if isinstance(spec, JudgeSpec) else _answering(spec)
        if not asked or is_plugin(spec.path):
            continue
        missing = check_weights(spec, f"{key}.path", asked)
        if missing:
            sentences.append(
                f"{key}: {spec.path} lacks {len(missing)} tensor(s), which are filled at random as "
                f"allow_missing says: {', '.join(missing)}"
            )
    return sentences


def _answering(spec: GeneratorSpec) -> list[str]:
    """What a model that answers may lack."""
    return [] if spec.answering is None else spec.answering.allow_missing


def check_revisions(recipe: Recipe) -> None:
    """Refuse a revision of what is known by its bytes.

    Raises:
        InputError: names the key.
    """
    for key, spec in _checkpoints(recipe).items():
        if spec.revision is None or told_by(spec.path) is not None:
            continue
        if not is_hub_name(spec.path) or place(spec.path).is_dir():
            raise InputError(
                f"{key}.revision: {spec.path} is a directory, and known by what lies in it; a "
                "revision is of a hub's name, an endpoint, or code of your own: leave it out"
            )


def check_generator(
    spec: GeneratorSpec,
    recipe: Recipe,
    key: str = "generator.path",
    *,
    tasks: Collection[Task] = (),
    is_trained: bool = False,
) -> None:
    """Refuse a generator path at which no generator of the recipe's kind can be, one that can make
    nothing of any prompt, weights that are not loaded, a pipeline that cannot be called as the
    recipe says, an encoding that does not fit the tasks of what it is to draw, and a model that
    answers whose weights are not its own, or whose processor cannot be built here.

    Raises:
        InputError: says what is there instead, and how to make it where the recipe's reference
            knows.
        EncodingError: says which key does not fit which task.
        PluginError: code of the user's own that cannot be loaded.
    """
    check_encoding(spec.encoding, tasks, f"{key.removesuffix('.path')}.encoding")
    if is_plugin(spec.path):
        load(spec.path, key)  # here, where the user still sees the error
        return
    check_no_adapter(spec, key)
    try:
        marker = MARKERS[generator_kind(place(spec.path), spec)]
    except ValueError as error:
        raise InputError(str(error)) from error
    try:
        check_model(spec.path, marker, key, spec.revision)
    except InputError as error:
        raise InputError(f"{error}{_hint('generator', spec.path, spec, recipe)}") from None
    _check_tasks(spec, key, tasks, answers=marker != MARKERS["pipeline"])
    _check_loadable(spec, key)
    if marker == MARKERS["pipeline"]:
        _check_called(spec, key)
        return
    if spec.call or spec.variant:
        knob = "call" if spec.call else "variant"
        raise InputError(
            f"{key.removesuffix('.path')}.{knob}: is of diffusers pipelines, and {spec.path} is a "
            "model that answers; say in `answering` how it is asked"
        )
    check_weights(spec, key, _answering(spec), is_trained=is_trained)
    _check_asked(spec, key)


def _check_tasks(spec: GeneratorSpec, key: str, tasks: Collection[Task], *, answers: bool) -> None:
    """Refuse a generator of which no prompt is: all that it is to draw would come to nothing."""
    if not tasks or any((task in UNDERSTANDING) == answers for task in tasks):
        return
    told = f"the prompts are of {', '.join(sorted(tasks))}"
    if answers:
        raise InputError(
            f"{key}: {spec.path} is a model that answers questions about pictures or clips, and "
            f"{told}: give a diffusers pipeline, or prompts whose `task` is of questions"
        )
    raise InputError(
        f"{key}: {spec.path} is a diffusers pipeline, and {told}: give a model that answers, or "
        "prompts to draw"
    )


def _check_asked(spec: GeneratorSpec, key: str) -> None:
    """Refuse a model that answers whose processor cannot be built here, or that cannot be asked as
    the recipe says: every worker would fail.

    Raises:
        InputError: names the package that it needs, or says what to do.
    """
    files = pipeline_files(spec.path, spec.revision)
    if files is None or spec.trust_remote_code:
        return
    from actors.answering import QuestionFormat
    from actors.processors import ProcessorError, load_processor

    try:
        processor = load_processor(str(files.small()))
        QuestionFormat(processor, spec.answering or Answering())
    except (ProcessorError, ValueError) as error:
        raise InputError(f"{key}: {error}") from None


def _check_loadable(spec: GeneratorSpec, key: str) -> None:
    """Refuse weights that lie there in another form than is loaded.

    Raises:
        InputError: says which form, and what to do.
    """
    files = pipeline_files(spec.path, spec.revision)
    fault = None if files is None else weights_fault(files.names, spec.variant)
    if fault is None:
        return
    how = ""
    if ".bin" in fault and files is not None and files.class_name is not None:
        target = f"{spec.path.rstrip('/').rpartition('/')[2]}-safetensors"
        how = f": {CONVERT.format(path=spec.path, target=target)}, and then {key}: {target}"
    raise InputError(f"{key}: {spec.path}: {fault}{how}")


def _check_called(spec: GeneratorSpec, key: str) -> None:
    """Refuse a pipeline that cannot draw here, and a call that it does not take.

    Raises:
        InputError: names what does not fit.
    """
    files = pipeline_files(spec.path, spec.revision)
    if files is None:
        return
    fault = small_parts_fault(files)
    if fault is not None:
        raise InputError(f"{key}: {spec.path}: {fault}")
    kind = None if _is_plain(files.class_name, spec) else pipeline_class(files)
    if kind is not None:
        try:
            check_call(kind, spec, key.removesuffix(".path"))
        except CallError as error:
            raise InputError(str(error)) from None


def _is_plain(name: str | None, spec: GeneratorSpec) -> bool:
    """Whether a pipeline is one of those that take all knobs of a recipe, and is called with
    nothing else. Then its class need not be looked at, which takes the driver some seconds.
    """
    if name not in PLAIN or spec.call:
        return False
    return spec.num_frames is None or PLAIN[name]


def told_of_calls(recipe: Recipe, keys: Collection[str]) -> list[str]:
    """What of the guidance of some generators their pipelines do not read, in sentences.

    Args:
        recipe: of the generators.
        keys: of their sections.
    """
    notes: list[str] = []
    for key, spec in _checkpoints(recipe).items():
        if key not in keys or not isinstance(spec, GeneratorSpec) or is_plugin(spec.path):
            continue
        files = pipeline_files(spec.path, spec.revision)
        if files is None or _is_plain(files.class_name, spec):
            continue
        kind = pipeline_class(files)
        if kind is not None:
            is_distilled = files.read("transformer/config.json").get("guidance_embeds")
            notes += guidance_notes(kind, spec, is_distilled, key)
    return notes


def prompts_file(path: str, key: str, recipe: Recipe) -> PromptsFile:
    """The prompts at a key of the recipe. Rows that look the same and are not are told of.

    Raises:
        InputError: there is no such file; says how to make it where the recipe's reference knows.
        PromptsError: it cannot be used.
    """
    file = place(path)
    if not file.is_file():
        hint = ""
        if recipe.has("generator"):
            hint = _hint("prompts", str(file.parent), recipe.generator, recipe)
        raise InputError(f"{key}: {path}: no such prompts file{hint}")
    prompts = PromptsFile(file)
    if prompts.alike:
        first, second = prompts.alike[0]
        _LOGGER.warning(
            "%s: %s: %d row(s) look the same as an earlier one, as rows %d and %d do: they differ "
            "by Unicode's normal form or by characters that nobody sees, and stay two prompts",
            *(key, path, len(prompts.alike), first, second),
        )
    return prompts


def _hint(
    part: Literal["generator", "prompts"], directory: str, generator: GeneratorSpec, recipe: Recipe
) -> str:
    """What the recipe's reference says of a part that is missing; nothing where there is none."""
    reference = reference_of(recipe.evaluate)
    advice = "" if reference is None else reference.how_to_make(part, directory, generator)
    return f"; {advice}" if advice else ""


def check_address(directory: Place, key: str) -> None:
    """Refuse a directory of the user's choice whose name is no address.

    Raises:
        InputError: says what it is to be called.
    """
    if ADDRESS.fullmatch(directory.name) is None:
        raise InputError(
            f"{key}: {directory}: what is made is a directory named NAME@VERSION, as pick-a-pic@1"
        )


def check_writable(root: Place) -> None:
    """Refuse an output root that cannot be written, or that cannot tell drivers apart who race.

    Raises:
        InputError: says which directory or server refuses.
    """
    try:
        storage.check_writable(root)
        storage.check_exclusive(root)
    except storage.StorageError as error:
        raise InputError(f"root: {error}") from None


#: A read task takes one logical CPU and a write task half of one: a pipeline whose pools take
#: everything would wait for itself for ever.
PIPELINE_OVERHEAD_CPUS = 2.0


def check_cpus(needed: float, recipe: Recipe, what: str) -> None:
    """Refuse a plan that cannot be placed, before anything starts.

    Raises:
        InputError: says how many logical CPUs are wanted and which keys to change.
    """
    if recipe.address == "local" and needed > recipe.num_cpus:
        raise InputError(
            f"num_cpus: {what} needs {needed:g} logical CPUs, the recipe gives {recipe.num_cpus}; "
            f"raise num_cpus (logical, they may exceed the cores) or make the pools smaller"
        )


def _checkpoints(recipe: Recipe) -> dict[str, GeneratorSpec | JudgeSpec]:
    """The sections of a recipe that name a checkpoint, by their keys."""
    specs: dict[str, GeneratorSpec | JudgeSpec] = {}
    if recipe.has("generator"):
        specs["generator"] = recipe.generator
    judges = {"judge": recipe.judge} if recipe.has("judge") else {}
    if recipe.evaluate.heldout_judge is not None:
        judges["evaluate.heldout_judge"] = recipe.evaluate.heldout_judge
    for key, spec in judges.items():
        members = {f"{key}.panel.{at}": one for at, one in enumerate(spec.panel)}
        specs |= members or {key: spec}
    return specs | {f"produce.also.{at}": one for at, one in enumerate(recipe.produce.also)}


def trusted_checkpoints(recipe: Recipe) -> list[tuple[str, str]]:
    """The recipe's keys that are on, each with the checkpoint that it is about."""
    found = [(key, one.path) for key, one in _checkpoints(recipe).items() if one.trust_remote_code]
    if recipe.has("localise"):
        local = recipe.localise
        if local.parent is not None and local.trust_remote_code:
            found.append(("localise", local.parent))
    return [(f"{name}.trust_remote_code", path) for name, path in found]
