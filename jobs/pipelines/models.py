"""The models of a round, and those that a command line names, as they travel to the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from actors.refs import GeneratorPluginRef, GeneratorRef, JudgeRef, OnnxRef
from actors.storage import place
from actors.weights import model_weights, onnx_weights, revised
from factory.keys import Asking
from jobs.pipelines.given_judge import check_judge
from jobs.pipelines.judge_backends import check_section, member_sections, ref_of
from jobs.rounds.checks import check_model
from jobs.rounds.workspace import InputError, Model, Round, is_judge_given, judge, place_of
from schemas import manifest
from schemas.artifacts import ADDRESS
from schemas.places import MODELS
from schemas.plugins import is_plugin
from schemas.recipe import GeneratorSpec, JudgeSpec, Recipe, is_url, told_by
from schemas.recipe_file import without_credentials
from schemas.rows import Prompt

#: Ends the name of a judge in an ONNX file.
ONNX = ".onnx"
#: Names the one judge of the recipe that is behind an endpoint, where a command line asks for one.
ENDPOINT = "endpoint"
#: The argument that names a judge.
ARGUMENT = "--judge"


def judge_ref(at: Round, *, is_calibrated: bool = False) -> Any:
    """The round's judge, to be loaded by a worker."""
    model, spec = judge(at), at.recipe.judge
    if is_judge_given(at):
        ref = ref_of(spec, "judge", model.address)
    else:
        spec = spec.model_copy(update={"specification": None})  # its weights bring it
        ref = checkpoint_ref(spec, model.path, model.address)
    return replace(ref, is_calibrated=is_calibrated)


def judge_asking(at: Round) -> Callable[[Prompt], Asking | None] | None:
    """How the round's judge is asked about a prompt; None where there is none yet."""
    if not is_judge_given(at) and manifest.read(at.directory("judge")) is None:
        return None
    if at.recipe.judge.panel:
        return None  # of several judges, each with requests of its own
    asking: Callable[[Prompt], Asking | None] = judge_ref(at).recorder().asking
    return asking


def checkpoint_ref(spec: JudgeSpec, path: str, address: str) -> JudgeRef:
    """The transformers judge at `path`, asked as a recipe's section says, to be loaded by a worker.
    A revision is of the path that the section names, and of no other.
    """
    revision = spec.revision if path == spec.path else None
    return JudgeRef.of(spec, path, address, model_weights(path, revision))


def onnx_ref(path: str, address: str, file: str) -> OnnxRef:
    """A light judge in an ONNX file of the directory at `path`, to be loaded by a worker."""
    return OnnxRef(path, address, file, onnx_weights(path, file))


# ----------------------------------------------------------------------- those of a command line


@dataclass(frozen=True)
class Named:
    """A judge as a command line names it.

    spec: its section, of the recipe where that has one for it.
    key: of the section, or the argument.
    address: by which it signs.
    """

    spec: JudgeSpec
    key: str
    address: str


def named_judge(name: str | None, at: Round) -> tuple[Any, Model]:
    """A judge as a command line names it: what travels to the workers, and what it is called.

    Args:
        name: as `resolve` takes it, or the ONNX file of a light judge; the round's judge where
            None.
        at: whose judge, and whose sections and root.

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
    if name.endswith(ONNX):
        directory, _, file = name.rpartition("/")
        check_model(directory or ".", "config.json", "--judge")
        return onnx_ref(directory or ".", name, file), Model(directory or ".", name)
    found = resolve(name, at)
    check_section(found.spec, found.key)
    ref = ref_of(found.spec, found.key, found.address)
    if found.spec.told == "module" and found.key == ARGUMENT:
        ref = replace(ref, is_renamed=False)  # it signs as it calls itself
    return ref, Model(place_of(found.spec), found.address)


def resolve(name: str, at: Round) -> Named:
    """The judge's section that a command line means.

    Args:
        name: one of
            - NAME@0: the section of the recipe with this name, as it is;
            - NAME@N: a judge that a round of this root has trained, of any line;
            - an endpoint's address: the section with this path, or asked as `judge` is, where that
              is an endpoint too;
            - "endpoint": the only section of the recipe that is one;
            - package.module:name of what makes a judge;
            - a directory, an s3:// address or a hub name, asked as `judge.specification` says. Code
              that comes with a checkpoint is run only where it is the recipe's `judge.path` and
              `judge.trust_remote_code` is on.
        at: whose sections and root.

    Raises:
        InputError: there is none.
    """
    sections = judge_sections(at.recipe)
    if name == ENDPOINT:
        return _only_endpoint(sections)
    if is_url(name):
        return _at_address(name, sections, at.recipe)
    if is_plugin(name):
        return Named(JudgeSpec(path=name), ARGUMENT, name)
    if ADDRESS.fullmatch(name) and not place(name).is_dir():
        return _with_version(name, sections, at)
    return Named(asked_as(name, at.recipe), ARGUMENT, name)


def judge_sections(recipe: Recipe) -> dict[str, JudgeSpec]:
    """The sections of a recipe that name a judge, members of panels too, by their keys."""
    found = {"judge": recipe.judge} if recipe.has("judge") else {}
    found |= witness_sections(recipe)
    members = [member_sections(spec, key) for key, spec in found.items()]
    return {key: spec for sections in (found, *members) for key, spec in sections.items()}


def witness_sections(recipe: Recipe) -> dict[str, JudgeSpec]:
    """Those that judge beside the judge of the pairs."""
    found: dict[str, JudgeSpec] = {}
    if recipe.evaluate.endpoint is not None:
        found["evaluate.endpoint"] = recipe.evaluate.endpoint.judge
    if recipe.evaluate.heldout_judge is not None:
        found["evaluate.heldout_judge"] = recipe.evaluate.heldout_judge
    return found


def _only_endpoint(sections: Mapping[str, JudgeSpec]) -> Named:
    found = [(key, spec) for key, spec in sections.items() if spec.told == "endpoint"]
    if len(found) == 1:
        ((key, spec),) = found
        return Named(spec, key, f"{spec.name}@0")
    if not found:
        raise InputError(
            f"--judge {ENDPOINT}: no judge of the recipe is behind an endpoint: no "
            "evaluate.heldout_judge, evaluate.endpoint or judge with an http address as path"
        )
    names = ", ".join(f"{spec.name}@0 ({key})" for key, spec in found)
    raise InputError(f"--judge {ENDPOINT}: the recipe has {len(found)}; name one: {names}")


def _at_address(url: str, sections: Mapping[str, JudgeSpec], recipe: Recipe) -> Named:
    for key, spec in sections.items():
        if spec.path.rstrip("/") == url.rstrip("/"):
            return Named(spec, key, f"{spec.name}@0")
    if recipe.has("judge") and recipe.judge.told == "endpoint":
        spec = asked_as(url, recipe)
        return Named(spec, ARGUMENT, f"{spec.name}@0")
    shown = without_credentials(url)
    section = f'{{path: "{shown}", endpoint: {{model: NAME}}, specification: NAME_OR_FILE}}'
    raise InputError(
        f"--judge {shown}: no section of the recipe says which model is asked there, and how; add "
        f"'evaluate.heldout_judge={section}'"
    )


def _with_version(name: str, sections: Mapping[str, JudgeSpec], at: Round) -> Named:
    directory = at.root / MODELS / name
    if manifest.read(directory) is not None:
        made = asked_as(str(directory), at.recipe)
        # Its weights bring how it is asked; it carries the code of the base that it was made of.
        trust = at.recipe.has("judge") and at.recipe.judge.trust_remote_code
        update = {"specification": None, "trust_remote_code": trust}
        return Named(made.model_copy(update=update), ARGUMENT, name)
    for key, spec in sections.items():
        if name == f"{spec.name}@0":
            return Named(spec, key, name)
    known = [f"{spec.name}@0 ({key})" for key, spec in sections.items()]
    raise InputError(
        f"--judge {name}: {at.root / MODELS} has no such judge that is complete, and no section of "
        f"the recipe is called so{'; there: ' + ', '.join(known) if known else ''}"
    )


def asked_as(path: str, recipe: Recipe) -> JudgeSpec:
    """How a judge elsewhere is asked: as the recipe's own, where it has one."""
    if not recipe.has("judge"):
        return JudgeSpec(path=path)
    spec = recipe.judge
    if path == spec.path:
        return spec
    if spec.told in ("endpoint", "module", "panel") and spec.told != told_by(path):
        return JudgeSpec(path=path, specification=spec.specification)
    # Trust in one checkpoint is none in another, and so is a revision.
    others = {"path": path, "backend": "auto", "trust_remote_code": False, "revision": None}
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
    revision = spec.revision if model.path == spec.path else None
    if model.path != spec.path:  # what was made of it by training has weights of one form
        spec = spec.model_copy(update={"variant": None})
    if is_plugin(model.path):
        weights = revised("code", model.path, revision)
        return GeneratorPluginRef(model.path, key, model.address, spec, weights)
    return GeneratorRef(model.path, model.address, spec, model_weights(model.path, revision))
