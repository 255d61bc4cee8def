"""The models of a round, and those that a command line names, as they travel to the workers."""

from __future__ import annotations

from typing import Any

from actors.refs import EndpointRef, GeneratorPluginRef, GeneratorRef, JudgeRef, OnnxRef, PluginRef
from factory.plugins import load
from jobs.rounds.checks import check_model
from jobs.rounds.workspace import InputError, Model, Round
from schemas.plugins import is_plugin
from schemas.recipe import GeneratorSpec, JudgeSpec, Recipe

#: Names the recipe's `evaluate.endpoint` where a judge is asked for.
ENDPOINT = "endpoint"


#: Ends the name of a judge in an ONNX file.
ONNX = ".onnx"


def judge_ref(at: Round, *, is_calibrated: bool = False) -> Any:
    """The round's judge, to be loaded by a worker."""
    spec = at.recipe.judge
    return JudgeRef(
        str(at.directory("judge")),
        at.address("judge"),
        spec.precision,
        spec.max_batch,
        is_calibrated=is_calibrated,
        trust_remote_code=spec.trust_remote_code,
    )


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
        ref = judge_ref(at)
        at.need("judge")
        return ref, Model(str(at.directory("judge")), at.address("judge"))
    if name == ENDPOINT:
        if at.recipe.evaluate.endpoint is None:
            raise InputError(f"--judge {ENDPOINT}: the recipe has no evaluate.endpoint")
        asked = EndpointRef(at.recipe.evaluate.endpoint)
        return asked, Model(asked.spec.url, asked.address)
    if is_plugin(name):
        load(name, "--judge")  # here, where the user still sees the error
        return PluginRef(name, "--judge", name), Model(name, name)
    if name.endswith(ONNX):
        directory, _, file = name.rpartition("/")
        check_model(directory or ".", "config.json", "--judge")
        return OnnxRef(directory or ".", name, file), Model(directory or ".", name)
    check_model(name, "config.json", "--judge")
    return JudgeRef.of(asked_as(name, at.recipe), name, name), Model(name, name)


def asked_as(path: str, recipe: Recipe) -> JudgeSpec:
    """How a judge elsewhere is asked: as the recipe's own, where it has one."""
    spec = recipe.judge if recipe.has("judge") else JudgeSpec(path=path)
    if path == spec.path:
        return spec
    # Trust in one checkpoint is none in another.
    return spec.model_copy(update={"trust_remote_code": False})


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

    if is_plugin(model.path):
        return GeneratorPluginRef(model.path, key, model.address, spec)
    return GeneratorRef(model.path, model.address, spec)
