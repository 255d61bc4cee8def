"""The ways to run a judge, and what each can do: one table, wherever a judge is named.

A judge's section (`schemas.recipe.JudgeSpec`) says where it is, and its backend how it is loaded,
what is refused of it before anything runs, and by what it is known afterwards. A further backend is
an entry of `BACKENDS`, its reference in `actors.refs` and its word in `schemas.recipe`. Left out:
which judge a round or a command line means (`given_judge`, `models`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.headers import read_small
from actors.refs import EndpointRef, JudgeRef, PanelRef, PluginRef, ScalarRef
from actors.storage import StorageError, local_model, place
from actors.weights import WeightsError, hub_commit, model_weights, revised
from factory.judging import scalar
from factory.judging.panel import PanelError, PanelWeights
from factory.judging.specification import (
    FILE,
    JudgeSpecification,
    SpecificationError,
    file_of,
    published,
)
from factory.plugins import load
from jobs.rounds.checks import check_model, check_no_adapter, check_weights
from jobs.rounds.workspace import InputError
from schemas import manifest
from schemas.manifest import Parent, digest_file
from schemas.recipe import Curate, JudgeSpec, Pool, check_keys
from schemas.rows import Task

_CONFIG = "config.json"


@dataclass(frozen=True)
class Backend:
    """One way to run a judge.

    what: runs it, in a message.
    check: refuses a section at a key of the recipe whose judge could not judge, as far as can be
        known before anything is loaded; raises InputError.
    ref: of a section, its key, and the judge's name@version: what travels to the workers.
    known: of a section, what tells its judge apart from every other, for manifests.
    is_specified: a judge specification says how it is asked.
    has_weights: it lies in a directory or at a hub; rules and a calibration may lie beside it.
    can_train: the factory trains it, and distils others from it.
    """

    what: str
    check: Callable[[JudgeSpec, str], None]
    ref: Callable[[JudgeSpec, str, str], Any]
    known: Callable[[JudgeSpec], str]
    is_specified: bool = True
    has_weights: bool = False
    can_train: bool = False


def backend_of(spec: JudgeSpec) -> Backend:
    """Who runs a judge."""
    return BACKENDS[name_of(spec)]


def name_of(spec: JudgeSpec) -> str:
    """The backend of a judge; where its section does not tell, what lies at its path does."""
    if spec.told is not None:
        return spec.told
    if spec.specification is not None:
        return "scalar" if spec.specification in scalar.shipped() else "transformers"
    try:
        beside = read_small(spec.path, scalar.FILE, hub_commit(spec.path, spec.revision))
    except (WeightsError, StorageError):
        return "transformers"  # whose check says what is wrong with the path
    return "transformers" if beside is None else "scalar"


def check_section(spec: JudgeSpec, key: str) -> Backend:
    """Refuse a judge that could not judge, and say who runs it.

    Args:
        spec: the judge's section.
        key: of the recipe, or the argument, that names it.

    Raises:
        InputError: names the key and says what to do.
        PluginError: code that cannot be loaded.
    """
    backend = backend_of(spec)
    try:
        check_keys(spec, name_of(spec))
    except ValueError as error:
        raise InputError(f"{key}.{error}") from None
    backend.check(spec, key)
    if backend.is_specified:
        asked = specification_given(spec, key)
        if backend is BACKENDS["transformers"]:
            check_template(spec, f"{key}.path", asked)
    return backend


def check_trainable(spec: JudgeSpec, key: str, what: str) -> None:
    """Refuse a judge of a backend that only judges, for a job that learns from its weights.

    Raises:
        InputError: names the key and what was to be made of the judge.
    """
    backend = backend_of(spec)
    if spec.panel:
        raise InputError(
            f"{key.removesuffix('.path')}.panel: a panel judges as it is and cannot be {what}: "
            f"name one model in {key}, or leave the section out that asks for it; members are "
            f"{what} each by a recipe of its own"
        )
    if not backend.can_train:
        raise InputError(
            f"{key}: {spec.path!r} is {backend.what}, which judges as it is and cannot be {what} "
            "here: name a transformers model that answers, or leave the section out that asks for "
            "it"
        )


def ref_of(spec: JudgeSpec, key: str, address: str) -> Any:
    """A judge as it travels to the workers, with how it is asked: a file that a recipe names need
    not lie where they are.

    Args:
        spec: the judge's section.
        key: of the recipe that names it.
        address: name@version, by which it signs.
    """
    backend = backend_of(spec)
    ref = backend.ref(spec, key, address)
    if not backend.is_specified:
        return ref
    return replace(ref, specification=specification_given(spec, key))


def parents_of(spec: JudgeSpec, address: str, role: str = "judge") -> list[Parent]:
    """A judge that is used as it is, as a parent of what is made with it: what it is, and how it is
    asked.
    """
    backend = backend_of(spec)
    parents = [Parent(role, address, backend.known(spec))]
    for one in spec.panel:
        parents += parents_of(one, f"{one.name}@0", "member")
    if spec.fusion is not None:
        parents.append(Parent("fusion", spec.fusion, digest_file(place(spec.fusion))))
    if backend.is_specified or backend is BACKENDS["scalar"]:
        name, text = _written(spec) if backend.is_specified else _scalar_written(spec)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        parents.append(Parent("specification", name, digest))
    return parents


def is_served(spec: JudgeSpec) -> bool:
    """Whether a judge runs elsewhere and asks for no GPU here: a panel if all of it does."""
    if spec.panel:
        return all(map(is_served, spec.panel))
    return spec.told == "endpoint"


def pool_for(refs: Sequence[Any], pool: Pool) -> Pool:
    """The pool of workers for some judges: without a GPU where all of them run elsewhere."""
    if pool.num_gpus and all(one.is_served for one in refs):
        return pool.model_copy(update={"num_gpus": 0.0})
    return pool


# ------------------------------------------------------------------------------ how it is asked


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


# --------------------------------------------------------------------- transformers, from weights


def check_checkpoint(spec: JudgeSpec, key: str = "judge.path", *, is_trained: bool = False) -> None:
    """Refuse a checkpoint that is no judge, as far as small files and the headers of its weights
    tell: that is all but the values.

    Raises:
        InputError: no model, an adapter, a family that cannot judge, tensors that are not those of
            its model, or weights that are quantised and to be trained, or whose library is away.
    """
    from actors.judges.kinds import check_config

    check_no_adapter(spec, key)
    check_model(spec.path, _CONFIG, key, spec.revision)
    config = read_small(spec.path, _CONFIG, hub_commit(spec.path, spec.revision))
    if config is None:
        raise InputError(f"{key}: {spec.path}: has no {_CONFIG}: it is no transformers model")
    try:
        check_config(spec.path, config, brings_code=spec.trust_remote_code)
    except SpecificationError as error:
        raise InputError(f"{key}: {error}") from None
    check_weights(spec, key, spec.allow_missing, is_trained=is_trained)


def check_clips(spec: JudgeSpec, key: str) -> None:
    """Refuse to show clips to a transformers model whose processor cannot read them here.

    Raises:
        InputError: names the package that it needs.
    """
    if name_of(spec) != "transformers" or spec.trust_remote_code:
        return
    from actors.judges import kinds

    config = read_small(spec.path, _CONFIG, hub_commit(spec.path, spec.revision))
    try:
        kinds.check_clips(spec.path, config or b"{}")
    except SpecificationError as error:
        raise InputError(f"{key}: {error}") from None


def check_template(spec: JudgeSpec, key: str, asked: JudgeSpecification) -> None:
    """Refuse a checkpoint that is to be asked by its chat template and has none, where no published
    prompt of its family stands in. Code that comes with it may write one, which its worker sees.

    Raises:
        InputError: says what to add.
    """
    if not asked.is_chat or asked.turn or spec.trust_remote_code:
        return
    from actors.judges.kinds import writes_own_prompt
    from actors.processors import TEMPLATE_FILES

    commit = hub_commit(spec.path, spec.revision)
    if writes_own_prompt(read_small(spec.path, _CONFIG, commit) or b"{}"):
        return
    for file in TEMPLATE_FILES:
        told = read_small(spec.path, file, commit)
        if told is not None and (file.endswith(".jinja") or b'"chat_template"' in told):
            return
    raise InputError(
        f"{key}: {spec.path}: the specification asks by a chat template, and the model has none "
        f"({', '.join(TEMPLATE_FILES)}): add the chat_template.jinja that it was trained with, or "
        'name a copy of the specification that asks in plain text ("is_chat": false)'
    )


def _transformers(spec: JudgeSpec, key: str, address: str) -> JudgeRef:
    return JudgeRef.of(spec, spec.path, address, weights_of(spec))


def _known_weights(spec: JudgeSpec) -> str:
    directory = place(spec.path)
    made = manifest.read(directory) if directory.is_dir() else None
    weights = made.digest if made is not None else model_weights(spec.path, spec.revision)
    return weights or spec.path


# ---------------------------------------------------------------- a model that gives a number


def scalar_given(spec: JudgeSpec, key: str) -> scalar.ScalarSpecification:
    """How a reward model is asked: as the recipe says, else by its `scalar.json`.

    Raises:
        InputError: nothing says how, or what says so cannot be used.
    """
    beside = read_small(spec.path, scalar.FILE, hub_commit(spec.path, spec.revision))
    try:
        return scalar.find(spec.path, beside, spec.specification)
    except SpecificationError as error:
        raise InputError(f"{key}.specification: {error}") from None


def check_units(spec: JudgeSpec, key: str, curate: Curate) -> None:
    """Refuse knobs in points that cannot be meant for the unit of a reward model's scores, and
    duels of one whose scores nobody can make into verdicts.

    Raises:
        InputError: names the knobs, and what would fit.
    """
    if name_of(spec) != "scalar" or not place(spec.path).is_dir():
        return  # of a hub's, which is not here yet, its worker says so
    from actors.judges.scalar.loading import rules_of

    told, rank = scalar_given(spec, key), curate.rank
    rules = rules_of(local_model(spec.path), told)
    if not rules and rank.strategy != "pointwise":
        raise InputError(
            f"curate.rank.strategy: {rank.strategy} plays duels, and nothing says how the scores "
            f"of {spec.path} become verdicts: fit that on labels (`python -m jobs.fit_scale`), or "
            "rank by `pointwise`"
        )
    knobs = {
        "rank.score_sd": rank.score_sd,
        "curate.objections.min_margin": curate.objections.min_margin,
    }
    if rank.strategy != "pointwise":
        knobs |= {"rank.duel_sd": rank.duel_sd, "rank.logits_per_point": rank.logits_per_point}
    for rule in rules.values():
        given = {name: one for name, one in knobs.items() if one is not None}
        faults = scalar.knob_faults(rule, given)
        if faults:
            told_knobs = "; ".join(faults)
            raise InputError(f"{key}: {spec.path} scores in a unit of its own: {told_knobs}")


def has_verdicts(spec: JudgeSpec, key: str) -> bool:
    """Whether something says how the scores of a reward model become verdicts. Of a hub's, which is
    not here yet, its worker says so.
    """
    if not place(spec.path).is_dir():
        return True
    from actors.judges.scalar.loading import rules_of

    return bool(rules_of(local_model(spec.path), scalar_given(spec, key)))


def _check_scalar(spec: JudgeSpec, key: str) -> None:
    check_model(spec.path, _CONFIG, _path_key(key), spec.revision)
    scalar_given(spec, key)
    from actors.judges.scalar import check

    try:
        check(spec.path, spec.specification, hub_commit(spec.path, spec.revision))
    except SpecificationError as error:
        raise InputError(f"{_path_key(key)}: {error}") from None


def _scalar_written(spec: JudgeSpec) -> tuple[str, str]:
    name = spec.specification or f"{spec.path}/{scalar.FILE}"
    return name, repr(scalar_given(spec, "judge"))


def _scalar(spec: JudgeSpec, key: str, address: str) -> ScalarRef:
    return ScalarRef(
        spec.path, address, spec.precision, spec.max_batch, spec.specification, weights_of(spec)
    )


# -------------------------------------------------------------------------------- an endpoint


def _check_endpoint(spec: JudgeSpec, key: str) -> None:
    """Its key must be there before anything runs, and the server writes its own turns."""
    assert spec.endpoint is not None  # as its section's validation asks for
    variable = spec.endpoint.key_variable
    if variable is not None and not os.environ.get(variable):
        raise InputError(f"{key}: the environment has no {variable}")
    if spec.specification is not None and specification_given(spec, key).turn:
        raise InputError(
            f"{key}.specification: {spec.specification} writes `turn` itself, and a server writes "
            "turns by its own chat template: serve the model with one that writes the same, and "
            "name a copy of the specification without `turn`"
        )


def _endpoint(spec: JudgeSpec, key: str, address: str) -> EndpointRef:
    return EndpointRef(spec, address, weights_of(spec))


def _known_endpoint(spec: JudgeSpec) -> str:
    assert spec.endpoint is not None
    version = "" if spec.revision is None else f"@{spec.revision}"
    return f"{spec.path.partition('://')[2]} {spec.endpoint.model}{version}"


# ------------------------------------------------------------------------------------ a panel


def member_sections(spec: JudgeSpec, key: str) -> dict[str, JudgeSpec]:
    """The members of a panel, by their keys; none of one judge alone."""
    return {f"{key}.panel.{at}": one for at, one in enumerate(spec.panel)}


def members_of(spec: JudgeSpec, key: str) -> dict[str, Any]:
    """The members of a panel as they travel to the workers, by their names."""
    return {
        one.name: ref_of(one, below, f"{one.name}@0")
        for below, one in member_sections(spec, key).items()
    }


def _check_panel(spec: JudgeSpec, key: str) -> None:
    for below, one in member_sections(spec, key).items():
        check_section(one, below)
    _fusion_of(spec, key)


def check_scales(spec: JudgeSpec, key: str, tasks: Collection[Task]) -> None:
    """Refuse a panel of which a member scores on no scale that is known, where no labels have told
    what its numbers mean. Raises InputError.
    """
    without = [one.name for one in spec.panel if not backend_of(one).is_specified]
    weights = _fusion_of(spec, key)
    lacking = [task for task in tasks if task not in weights.tasks]
    if without and lacking:
        raise InputError(
            f"{key}.panel: {', '.join(without)} score on no scale that is known, and no "
            f"labels of {lacking[0]} have told what the numbers mean: weigh the panel by "
            f"`python -m jobs.panel`, and name its file in {key}.fusion"
        )


def _fusion_of(spec: JudgeSpec, key: str) -> PanelWeights:
    names = tuple(one.name for one in spec.panel)
    if spec.fusion is None:
        return PanelWeights(names)
    try:
        return PanelWeights.load(Path(spec.fusion), names)
    except PanelError as error:
        raise InputError(f"{key}.fusion: {error}") from None


def _panel(spec: JudgeSpec, key: str, address: str) -> PanelRef:
    return PanelRef(address, tuple(members_of(spec, key).values()), _fusion_of(spec, key))


def _known_panel(spec: JudgeSpec) -> str:
    """By its members in their order, how they are asked, and how they are weighed."""
    parents = [parent for one in spec.panel for parent in parents_of(one, one.name)]
    said = [parent.digest for parent in parents]
    if spec.fusion is not None:
        said.append(digest_file(place(spec.fusion)))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]


# ----------------------------------------------------------------------------- code of one's own


def _check_module(spec: JudgeSpec, key: str) -> None:
    load(spec.path, _path_key(key))  # here, where the user still sees the error


def _module(spec: JudgeSpec, key: str, address: str) -> PluginRef:
    return PluginRef(spec.path, _path_key(key), address, True, weights_of(spec))


def _known_module(spec: JudgeSpec) -> str:
    return spec.path if spec.revision is None else f"{spec.path}@{spec.revision}"


def _path_key(key: str) -> str:
    return key if key.startswith("--") else f"{key}.path"


def weights_of(spec: JudgeSpec) -> str | None:
    """What tells a judge apart from every other in the keys of its replies (`factory.keys`); None
    where that is not known.

    Raises:
        WeightsError: a hub's name of which no commit can be found.
    """
    told = spec.told
    if told == "endpoint":
        assert spec.endpoint is not None
        return revised("endpoint", spec.endpoint.model, spec.revision)
    if told == "module":
        return revised("code", spec.path, spec.revision)
    return model_weights(spec.path, spec.revision)


BACKENDS: dict[str, Backend] = {
    "transformers": Backend(
        "a transformers model",
        lambda spec, key: check_checkpoint(spec, _path_key(key)),
        _transformers,
        _known_weights,
        has_weights=True,
        can_train=True,
    ),
    "scalar": Backend(
        "a model that gives a number",
        _check_scalar,
        _scalar,
        _known_weights,
        is_specified=False,
        has_weights=True,
    ),
    "endpoint": Backend(
        "a model behind an endpoint",
        _check_endpoint,
        _endpoint,
        _known_endpoint,
    ),
    "module": Backend(
        "code of your own", _check_module, _module, _known_module, is_specified=False
    ),
    "panel": Backend("a panel", _check_panel, _panel, _known_panel, is_specified=False),
}
