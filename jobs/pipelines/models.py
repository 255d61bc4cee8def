"""The models of a round, and those that a command line names, as they travel to the workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from actors.refs import EndpointRef, GeneratorPluginRef, GeneratorRef, JudgeRef, OnnxRef, PluginRef
from actors.storage import local_model
from actors.weights import model_weights, onnx_weights, revised
from factory.judging.recording import Recorder
from factory.judging.specification import JudgeSpecification, find
from factory.keys import Asking
from factory.plugins import load
from jobs.pipelines.given_judge import (
    ENDPOINT,
    check_checkpoint,
    check_judge,
    specification_given,
)
from jobs.rounds.checks import check_model
from jobs.rounds.workspace import InputError, Model, Round, is_judge_given, judge
from schemas import manifest
from schemas.plugins import is_plugin
from schemas.recipe import EndpointSpec, GeneratorSpec, JudgeSpec, Recipe
from schemas.rows import Prompt

#: Ends the name of a judge in an ONNX file.
ONNX = ".onnx"


def judge_ref(at: Round, *, is_calibrated: bool = False) -> Any:
    """The round's judge, to be loaded by a worker."""
    model, spec = judge(at), at.recipe.judge
    if is_judge_given(at):
        # Read here: a file that the recipe names need not lie where the workers are.
        asked: JudgeSpecification | None = specification_given(spec)
    else:
        spec, asked = spec.model_copy(update={"specification": None}), None  # its weights bring it
    ref = checkpoint_ref(spec, model.path, model.address)
    return replace(ref, specification=asked, is_calibrated=is_calibrated)


def judge_asking(at: Round) -> Callable[[Prompt], Asking | None] | None:
    """How the round's judge is asked about a prompt; None where there is none yet."""
    if not is_judge_given(at) and manifest.read(at.directory("judge")) is None:
        return None
    ref = judge_ref(at)
    specification = ref.specification or find(local_model(ref.path))
    return Recorder.of(ref.weights, ref.precision, specification).asking


def checkpoint_ref(spec: JudgeSpec, path: str, address: str) -> JudgeRef:
    """The judge at `path`, asked as a recipe's section says, to be loaded by a worker."""
    return JudgeRef.of(spec, path, address, weights_of(path, spec))


def onnx_ref(path: str, address: str, file: str) -> OnnxRef:
    """A light judge in an ONNX file of the directory at `path`, to be loaded by a worker."""
    return OnnxRef(path, address, file, onnx_weights(path, file))


def endpoint_ref(spec: EndpointSpec) -> EndpointRef:
    """The judge behind an endpoint, to be asked by a worker."""
    return EndpointRef(spec, revised("endpoint", spec.model, spec.revision))


def weights_of(path: str, spec: GeneratorSpec | JudgeSpec) -> str | None:
    """What tells a model apart from every other in keys (`factory.keys`).

    Args:
        path: of the model that the section names, or of one that was made of it.
        spec: the section; its revision is of the path that it names, and of no other.

    Raises:
        WeightsError: a hub's name of which no commit can be found.
    """
    revision = spec.revision if path == spec.path else None
    if is_plugin(path):
        return revised("code", path, revision)
    return model_weights(path, revision)


def named_judge(name: str | None, at: Round) -> tuple[Any, Model]:
    """A judge as a command line names it: what travels to the workers, and what it is called.

    Args:
        name: a directory or hub name, asked as `judge.specification` says, the ONNX file of a light
            judge, "endpoint", or `package.module:name` of what makes a judge; the round's judge
            where None. Code that comes with a checkpoint is run only where it is the recipe's
            `judge.path` and `judge.trust_remote_code` is on.
        at: whose judge, and whose endpoint.

    Raises:
        InputError: there is none.
        PluginError: the code that was named cannot be loaded.
    """
    if name is None:
        if is_judge_given(at):
            check_judge(at)
        else:
            at.need("judge")
        return judge_ref(at), judge(at)
    if name == ENDPOINT:
        if at.recipe.evaluate.endpoint is None:
            raise InputError(f"--judge {ENDPOINT}: the recipe has no evaluate.endpoint")
        asked = endpoint_ref(at.recipe.evaluate.endpoint)
        # No place: what it is like is in the settings of whoever measures it.
        return asked, Model(asked.spec.url.partition("://")[2], asked.address)
    if is_plugin(name):
        load(name, "--judge")  # here, where the user still sees the error
        return PluginRef(name, "--judge", name), Model(name, name)
    if name.endswith(ONNX):
        directory, _, file = name.rpartition("/")
        check_model(directory or ".", "config.json", "--judge")
        return onnx_ref(directory or ".", name, file), Model(directory or ".", name)
    spec = asked_as(name, at.recipe)
    check_checkpoint(spec, "--judge")
    specification_given(spec)
    return checkpoint_ref(spec, name, name), Model(name, name)


def asked_as(path: str, recipe: Recipe) -> JudgeSpec:
    """How a judge elsewhere is asked: as the recipe's own, where it has one."""
    spec = recipe.judge if recipe.has("judge") else JudgeSpec(path=path)
    if path == spec.path:
        return spec
    # Trust in one checkpoint is none in another, and so is a revision.
    others = {"path": path, "trust_remote_code": False, "revision": None}
    return spec.model_copy(update=others)


def generator_ref(model: Model, at: Round) -> Any:
    """A version of the recipe's generator, to be loaded by a worker."""
    return _generator_ref(model, at.recipe.generator, "generator.path")


def beside(at: Round) -> dict[str, GeneratorSpec]:
    """The generators that draw beside the champion, by the keys of the recipe that name them."""
    return {f"produce.also.{n}.path": spec for n, spec in enumerate(at.recipe.produce.also)}


def given(spec: GeneratorSpec) -> Model:
    """A generator of the recipe as it was before the first round."""
    return Model(spec.path, f"{spec.name}@0")


def refs_beside(at: Round) -> list[Any]:
    """The generators that draw beside the champion, to be loaded by a worker."""
    return [_generator_ref(given(spec), spec, key) for key, spec in beside(at).items()]


def _generator_ref(model: Model, spec: GeneratorSpec, key: str) -> Any:
    weights = weights_of(model.path, spec)
    if model.path != spec.path:  # what was made of it by training has weights of one form
        spec = spec.model_copy(update={"variant": None})
    if is_plugin(model.path):
        return GeneratorPluginRef(model.path, key, model.address, spec, weights)
    return GeneratorRef(model.path, model.address, spec, weights)
