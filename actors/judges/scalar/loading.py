"""A reward model's weights, loaded whole or not at all, and what is known of them before that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from actors.headers import HeaderError, Shapes, read_shapes, read_small
from factory.judging import by_scores
from factory.judging.by_scores import Rule, RulesError
from factory.judging.scalar import FILE, ScalarSpecification, check_config, find
from factory.judging.specification import SpecificationError
from schemas.rows import Task

#: Tensors that older files hold and no model has: their values are 0, 1, 2 …
_COUNTED = (".position_ids",)
_FEW = 3  # names that a message lists


def check(
    path: str, specification: str | None = None, commit: str | None = None
) -> ScalarSpecification:
    """Refuse a reward model that could not judge, as far as small files and the headers of its
    weights tell; nothing is loaded.

    Args:
        path: a directory, an address in an object store, or a hub's name.
        specification: named by whoever uses it; that of its `scalar.json` where not given.
        commit: of a hub's repository.

    Returns:
        how it is asked, and which tasks it judges.

    Raises:
        SpecificationError: nothing says which reward model it is, or it is not that one.
    """
    found = specification_of(path, specification, commit)
    config = read_small(path, "config.json", commit)
    if config is None:
        raise SpecificationError(f"{path}: has no config.json: it is no transformers model")
    check_config(path, config, found)
    try:
        check_shapes(path, config, read_shapes(path, commit), found)
    except HeaderError as error:
        raise SpecificationError(str(error)) from None
    return found


def is_scalar(path: str, commit: str | None = None) -> bool:
    """Whether what lies at a path says of itself that it is a scalar judge: it has a `scalar.json`.
    Arguments as of `check`.
    """
    return read_small(path, FILE, commit) is not None


def specification_of(
    path: str, specification: str | None = None, commit: str | None = None
) -> ScalarSpecification:
    """How a model is asked. Arguments and errors as of `check`, and nothing else is looked at."""
    return find(path, read_small(path, FILE, commit), specification)


def check_shapes(
    path: str, config: bytes, shapes: Shapes, specification: ScalarSpecification
) -> None:
    """Hold the names and shapes of a checkpoint's tensors against its model.

    Raises:
        SpecificationError: they are not those of the model; names some.
    """
    wanted = shapes_of(path, json.loads(config), specification)
    missing, unexpected = set(wanted) - set(shapes), set(shapes) - set(wanted)
    differing = [
        f"{name} {list(shapes[name])} for {list(shape)}"
        for name, shape in wanted.items()
        if name in shapes and shapes[name] != shape
    ]
    _refuse(path, missing, unexpected, differing)


def shapes_of(path: str, config: dict[str, Any], specification: ScalarSpecification) -> Shapes:
    """The tensors that a model of this configuration has, without making one.

    Raises:
        SpecificationError: the configuration describes none.
    """
    model_class, more = _class_of(specification)
    try:
        with torch.device("meta"):
            model = model_class(model_class.config_class.from_dict(config), **more)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise SpecificationError(f"{path}: its config.json describes no model: {error}") from error
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def load(path: str, specification: ScalarSpecification, dtype: torch.dtype) -> Any:
    """The model in a directory, with all of its weights and nothing else.

    Raises:
        SpecificationError: they are not those of the model.
    """
    check_config(path, _config(path), specification)
    model_class, more = _class_of(specification)
    try:
        model, info = model_class.from_pretrained(
            path,
            dtype=dtype,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told below, with all that is wrong
            output_loading_info=True,
            **more,
        )
    except OSError as error:
        raise SpecificationError(f"{path}: no weights that can be loaded: {error}") from None
    differing = [f"{name} {list(a)} for {list(b)}" for name, a, b in info["mismatched_keys"]]
    _refuse(path, info["missing_keys"], info["unexpected_keys"], differing)
    return model.eval().requires_grad_(False)


def rules_of(path: str, specification: ScalarSpecification) -> Mapping[Task, Rule]:
    """How scores become verdicts: as it was fitted to labels (`verdict_rules.json`), else as the
    publisher trained it; none for a task of which neither is known.

    Raises:
        RulesError: a file that cannot be read.
    """
    trained = specification.rule()
    rules: dict[Task, Rule] = {}
    if trained is not None:
        rules = dict.fromkeys(specification.tasks, trained)
    return {**rules, **(by_scores.load(Path(path)) or {})}


def no_rule(name: str, path: str, specification: ScalarSpecification) -> RulesError:
    """What to do where nothing says how scores become verdicts."""
    return RulesError(
        f"{name}: how its scores become verdicts is not known: {specification.duels}. Fit it to "
        f"people's labels (python -m jobs.fit_scale --judge {path} --labels FILE), or ask for "
        "scores alone (rank.strategy: pointwise)"
    )


def _class_of(specification: ScalarSpecification) -> tuple[Any, dict[str, Any]]:
    if specification.kind == "clip":
        from transformers import CLIPModel

        return CLIPModel, {}
    from actors.judges.scalar.networks import ImageRewardModel, RegressionModel

    if specification.kind == "blip":
        return ImageRewardModel, {}
    more = {"head": specification.head, "num_outputs": specification.head_outputs}
    return RegressionModel, more


def _config(path: str) -> bytes:
    try:
        return (Path(path) / "config.json").read_bytes()
    except OSError as error:
        raise SpecificationError(f"{path}: no transformers model: {error!r}") from None


def _refuse(
    path: str, missing: Iterable[str], unexpected: Iterable[str], differing: Iterable[str]
) -> None:
    unexpected = [name for name in unexpected if not name.endswith(_COUNTED)]
    faults = [
        f"{len(names)} tensor(s) are {what} ({', '.join(names[:_FEW])}{' …' * (len(names) > _FEW)})"
        for names, what in (
            (sorted(missing), "missing and would be filled at random"),
            (sorted(unexpected), "of no use to the model and would be dropped"),
            (sorted(differing), "of another shape than the model's"),
        )
        if names
    ]
    if faults:
        raise SpecificationError(
            f"{path}: these weights are not those of the reward model that its files describe: "
            f"{'; '.join(faults)}. Fetch the checkpoint anew, or convert it (python -m "
            "jobs.convert)"
        )
