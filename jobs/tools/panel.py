"""Held-out labels -> each member's opinions -> the weights of a panel, and what they are worth."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from factory.evaluation.panel_report import as_text
from factory.judging.panel import PanelWeights, fit
from jobs.datasets.labels import label_files
from jobs.pipelines.judge_backends import check_section, members_of
from jobs.pipelines.models import resolve
from jobs.pipelines.opinions import judge_labels
from jobs.rounds.checks import check_cpus
from jobs.rounds.workspace import InputError, Round
from jobs.session.ray_session import ray_session
from schemas.places import Place
from schemas.recipe import JudgeSpec, Recipe
from schemas.rows import Opinion


def fit_panel(spec: JudgeSpec, key: str, files: Sequence[Place], recipe: Recipe) -> PanelWeights:
    """Ask the members of a panel about held-out labels, print what they are worth, and weigh them.

    Args:
        spec: the panel's section.
        key: of the recipe that names it.
        files: of label rows.
        recipe: for the pool of judges and its limits.

    Raises:
        InputError: no label is held out.
    """
    members: Mapping[str, list[Opinion]]
    with ray_session(recipe):
        members = {
            name: judge_labels(ref, files, recipe.produce, "heldout", with_scores=True)
            for name, ref in members_of(spec, key).items()
        }
    if not any(members.values()):
        raise InputError(f"{', '.join(map(str, files))}: no held-out label to weigh a panel by")
    weights = fit(members)
    print(as_text(weights, members, recipe.evaluate.num_resamples, recipe.seed), flush=True)
    return weights


def run(recipe: Recipe, given: argparse.Namespace) -> None:
    """Weigh the panel that the command line names, or say what would be done.

    Raises:
        InputError: the judge is no panel, the file is there already, or no label can be read.
    """
    at = Round(recipe, given.round)
    if given.judge is None:
        spec, key = recipe.judge, "judge"
    else:
        named = resolve(given.judge, at)
        spec, key = named.spec, named.key
    if not spec.panel:
        raise InputError(
            f"{key}: is one judge and no panel: name its members, as "
            "judge={panel: [{path: DIRECTORY, name: a}, {path: OTHER, name: b}]}"
        )
    check_section(spec.model_copy(update={"fusion": None}), key)
    files = [file for path in given.file for file in label_files(path)]
    out: Path = given.out
    if out.exists():
        raise InputError(f"--out: {out} is there already; give another name")
    pool = recipe.produce.judges
    check_cpus(pool.size * pool.num_cpus + 1, recipe, "jobs.panel")
    names = ", ".join(one.name for one in spec.panel)
    if given.dry_run:
        print(f"{len(files)} file(s) of label rows, those held out; {names} -> {out}")
        return
    weights = fit_panel(spec, key, files, recipe)
    out.write_text(weights.to_json(), encoding="utf-8")
    print(f"{out}: name it in {key}.fusion", flush=True)
