"""A checkpoint named as the judge of two jobs: `evaluate_judge` on label rows, and `produce` on
candidates that exist. What each writes is held against the same judge in this process, and the plan
of each is made first, as the command line does it. A Ray that is there is used.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from actors.judge_workers import opinion_of
from actors.judges import TransformersJudge
from jobs.datasets.reading import read_groups
from jobs.pipelines.opinions import OPINIONS_FILE, read_opinions
from jobs.rounds.workspace import Round
from jobs.stages.run import run_stages
from jobs.tools.evaluate_judge import Benchmark, evaluate_judge, print_plan
from schemas.arrow import labels_to_table
from schemas.recipe import Recipe
from schemas.rows import Duel, Label, Score
from tests.judges.holding import ASKED, CAPTION, PICTURES, SAID, Holding, WrongError


def recipe(folder: Path, judge: Path | None = None) -> Recipe:
    """Two prompts with candidates, and no generator.

    Args:
        folder: shared by all judges: MLflow's database and the table of candidates lie there.
        judge: directory of the checkpoint; `folder` where None, for a recipe that only starts Ray.
    """
    judge = judge or folder
    return Recipe.model_validate(
        {
            "name": "families",
            "root": str(folder / f"root-{judge.name}"),
            "tracking_uri": f"sqlite:///{folder / 'mlflow.db'}",
            "num_cpus": 4,  # fewer would let Ray Data wait for itself
            "judge": {"path": str(judge)},
            "produce": {"candidates": {"path": str(folder / "candidates.parquet")}},
            "evaluate": {"num_resamples": 20},
            "curate": {"rank": {"strategy": "ring", "ring_degree": 2}},
        }
    )


def evaluate(judge: TransformersJudge | None, base: Path, labels: Sequence[Label]) -> str:
    """ "yes", where every opinion of the job is this process's.

    Args:
        judge: of `base`; None where it does not load, which the plan is then to say.
        base: its directory, beside which the job's files go.
        labels: held out.

    Raises:
        WrongError: an opinion is another, or there is none.
        InputError: the plan refuses the judge.
    """
    folder, at = base.parent, Round(recipe(base.parent, base), 1)
    file, out = folder / f"{base.name}-labels.parquet", folder / f"{base.name}-benchmark@1"
    pq.write_table(labels_to_table(labels), file)
    benchmark = Benchmark(None, (str(file),))
    with _quietly():
        print_plan(benchmark, at, out)
        if judge is None:
            raise WrongError("the plan lets pass a judge that does not load")
        evaluate_judge(benchmark, at, out)
    found = {one.label_id: one for one in read_opinions(out / OPINIONS_FILE)}
    if set(found) != {one.label_id for one in labels}:
        raise WrongError(f"{len(found)} opinions on {len(labels)} labels")
    for label in labels:
        here, there = opinion_of(judge, label, with_scores=True), found[label.label_id]
        if fault := here.error or there.error:
            raise ValueError(fault)
        _same(there.scores, there.duels, here.scores, here.duels)
    return "yes"


def produce(judge: TransformersJudge | None, base: Path) -> str:
    """ "yes", where every score and duel of the job is this process's; arguments and errors as of
    `evaluate`.
    """
    folder, at = base.parent, Round(recipe(base.parent, base), 1)
    _write_candidates(folder / "candidates.parquet")
    with _quietly():
        run_stages(at.recipe, 1, ["produce"])
    if judge is None:
        raise WrongError("the plan lets pass a judge that does not load")
    groups = read_groups(at.directory("groups"))
    if sorted(len(group.scores) for group in groups) != [len(SAID), len(PICTURES)]:
        raise WrongError(f"{[len(group.scores) for group in groups]} scores of two prompts")
    for group in groups:
        if group.error is not None:
            raise ValueError(group.error)
        places = {one.candidate_id: at for at, one in enumerate(group.candidates)}
        sitting = judge.sit(group.prompt, group.candidates)
        matches = [(places[duel.first_id], places[duel.second_id]) for duel in group.duels]
        if not matches:
            raise WrongError("no duel was played")
        _same(group.scores, group.duels, sitting.scores(), sitting.duels(matches))
    return "yes"


def _same(
    scores: Sequence[Score],
    duels: Sequence[Duel],
    of_scores: Sequence[Score],
    of_duels: Sequence[Duel],
) -> None:
    """Hold what a job wrote against what is found here."""
    both: list[Score | Duel] = [*scores, *of_scores, *duels, *of_duels]
    if fault := next((one.error for one in both if one.error is not None), None):
        raise ValueError(fault)
    holding = Holding()
    holding.met([one.value for one in scores], [one.value for one in of_scores], "scores")
    for there, here in zip(duels, of_duels, strict=True):
        holding.met(_log_p(there), _log_p(here), "verdicts")


def _log_p(duel: Duel) -> list[float]:
    return [math.log(p) for p in (duel.p_first, duel.p_second, duel.p_tie)]


def _write_candidates(file: Path) -> None:
    """Three pictures of a caption, and two answers to a question about the first."""
    about = PICTURES[0].data
    rows = [{"prompt": CAPTION, "task": "image_generation", "media": one.data} for one in PICTURES]
    asked = {"prompt": ASKED, "task": "image_understanding", "source_media": about}
    table = pa.Table.from_pylist([*rows, *({**asked, "answer": one} for one in SAID)], _COLUMNS)
    if not file.exists():
        pq.write_table(table, file)


_COLUMNS = pa.schema(
    {
        **{"prompt": pa.string(), "task": pa.string(), "media": pa.binary()},
        **{"source_media": pa.binary(), "answer": pa.string()},
    }
)


@contextmanager
def _quietly() -> Iterator[None]:
    """What jobs print goes where it is in the way of no figure."""
    with redirect_stdout(sys.stderr):
        yield
