"""A judge that is used as it was published: `judge@0`. How it is asked, what it is known by, and
what is refused of it before anything is drawn.

A round that trains no judge of its own has this one. It stays where it is: nothing is copied, and
what is made with it names the digest of its weights, or the hub's commit, and that of its
specification. A judge that was made by this factory, in another root, is given like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from actors.headers import read_small
from actors.storage import place
from actors.weights import hub_commit, model_weights
from factory.judging import calibration
from factory.judging.specification import (
    FILE,
    JudgeSpecification,
    SpecificationError,
    file_of,
    published,
)
from jobs.rounds.checks import check_model, check_no_adapter, check_weights
from jobs.rounds.workspace import InputError, Round, is_judge_given, judge, was_labelled
from schemas import manifest
from schemas.manifest import Parent, digest_file
from schemas.recipe import JudgeSpec
from schemas.rows import Task
from schemas.section import MissingSectionError

#: Names the recipe's `evaluate.endpoint` where a command line asks for a judge.
ENDPOINT = "endpoint"
_CONFIG = "config.json"


def judge_parents(at: Round) -> list[Parent]:
    """The round's judge, as a parent of what is made with it: of one that is given, its weights and
    how it is asked, and its calibration where the recipe uses it.

    Raises:
        InputError: it was to be trained, and is not complete.
    """
    if not is_judge_given(at):
        return [at.parent("judge")]
    spec, model = at.recipe.judge, judge(at)
    directory = place(spec.path)
    made = manifest.read(directory) if directory.is_dir() else None
    weights = made.digest if made is not None else model_weights(spec.path, spec.revision)
    name, text = _written(spec)
    parents = [
        Parent("judge", model.address, weights or spec.path),
        Parent("specification", name, hashlib.sha256(text.encode()).hexdigest()[:16]),
    ]
    file = directory / calibration.FILE
    if _uses_calibration(at) and file.is_file():
        parents.append(Parent("calibration", str(file), digest_file(file)))
    return parents


def specification_given(spec: JudgeSpec, key: str = "judge") -> JudgeSpecification:
    """How a judge is asked that was trained elsewhere: as the recipe says, else by the `judge.json`
    that comes with it. Nobody guesses: a judge is asked as it was trained to be.

    Raises:
        InputError: nothing says how, or what says so cannot be used.
    """
    name, text = _written(spec, key)
    try:
        return JudgeSpecification.read(text, name)
    except SpecificationError as error:
        raise InputError(f"{key}.specification: {error}") from None


def _written(spec: JudgeSpec, key: str = "judge") -> tuple[str, str]:
    """Where it is written how the judge is asked, and what is written there."""
    if spec.specification is not None:
        path = file_of(spec.specification)
        name, data = str(path), path.read_bytes() if path.is_file() else None
        why = f"{name}: no such file"
    else:
        name = f"{spec.path}/{FILE}"
        data = read_small(spec.path, FILE, hub_commit(spec.path, spec.revision))
        why = (
            f"{spec.path} has no {FILE}, and a judge that is used as it is must be asked as it was "
            "trained to be"
        )
    if data is None:
        raise InputError(
            f"{key}.specification: {why}: name a shipped specification ({', '.join(published())}), "
            "or a JSON file as factory/judging/specification.py describes it"
        )
    try:
        return name, data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{key}.specification: {name}: {error}") from None


def check_judge(at: Round, tasks: Collection[Task] = ()) -> None:
    """Refuse, before anything starts, a judge that could not judge: the one that is given, or the
    base of the one that is to be trained.

    Args:
        at: the round; a judge that it has trained already was looked at then.
        tasks: of what is to be judged.

    Raises:
        InputError: names the key and says what to do.
    """
    is_given = is_judge_given(at)
    if not is_given and manifest.read(at.directory("judge")) is not None:
        return
    check_checkpoint(at.recipe.judge)
    if not is_given:
        return
    specification = specification_given(at.recipe.judge)
    for task in tasks:
        try:
            specification.task(task)
        except SpecificationError as error:
            raise InputError(f"judge.specification: {error}") from None
    if _uses_calibration(at) and not (place(at.recipe.judge.path) / calibration.FILE).is_file():
        key = "produce.is_calibrated" if at.recipe.produce.is_calibrated else _ABSTAIN
        raise InputError(
            f"{key}: needs a judge that is calibrated, and {at.recipe.judge.path}, which is used "
            f"as it is, has no {calibration.FILE}: train it on people's labels (sections `labels` "
            "and `train_judge`), or leave the key out"
        )


_ABSTAIN = "curate.objections.abstain"


def _uses_calibration(at: Round) -> bool:
    return at.recipe.produce.is_calibrated or at.recipe.curate.objections.abstain


def check_checkpoint(spec: JudgeSpec, key: str = "judge.path", *, is_trained: bool = False) -> None:
    """Refuse a checkpoint that is no judge, as far as small files and the headers of its weights
    tell: that is all but the values.

    Raises:
        InputError: no model, an adapter, a family that cannot judge, tensors that are not those of
            its model, or weights that are quantised and to be trained, or whose library is away.
    """
    if spec.path == ENDPOINT or spec.path.startswith(("http://", "https://")):
        raise InputError(
            f"{key}: {spec.path!r}: a model behind an endpoint judges evaluations "
            "(`evaluate.endpoint`), and on the command line (--judge endpoint); this is the place "
            "of a checkpoint: a directory, an s3:// address or a hub's name"
        )
    check_no_adapter(spec, key)
    check_model(spec.path, _CONFIG, key, spec.revision)
    config = read_small(spec.path, _CONFIG, hub_commit(spec.path, spec.revision))
    if config is None:
        raise InputError(f"{key}: {spec.path}: has no {_CONFIG}: it is no transformers model")
    from actors.judges.kinds import check_config

    try:
        check_config(spec.path, config, brings_code=spec.trust_remote_code)
    except SpecificationError as error:
        raise InputError(f"{key}: {error}") from None
    check_weights(spec, key, spec.allow_missing, is_trained=is_trained)


def ask_for_labels(at: Round, reader: str) -> None:
    """Refuse a recipe without labels, for a job that holds judges against them.

    Raises:
        MissingSectionError: no round so far has any, and the recipe does not say whence they come.
    """
    lack = at.recipe.lacks("labels")
    if lack is not None and not was_labelled(at):
        raise MissingSectionError.of([lack], reader)


def told(at: Round) -> str:
    """The round's judge in a plan."""
    if not is_judge_given(at):
        return at.address("judge")
    spec = at.recipe.judge
    calibrated = "calibrated" if at.recipe.produce.is_calibrated else "raw verdicts"
    return f"{judge(at).address} as it is ({spec.path}, {calibrated})"
