"""The job by plain Ray Data, as its documentation would have it: read, map, map, write.

    python -m tests.against.plain_ray FOLDER --prompts 400 --candidates 8 --actors 2

A row that a killed worker held is made again by Ray; one that raises ends the run. Nothing is
recorded of how a row came about, and a killed run begins anew.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from schemas.rows import Candidate, Media, Prompt
from tests.against.job import MIN_MARGIN, SIDE, Job, run
from tests.against.models import NotedGenerator, NotedJudge, Notes


class Draw:
    """Adds the pictures of each prompt."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = NotedGenerator(side=SIDE, seconds=job.draw_s, notes=Notes(str(job.notes)))

    def __call__(self, table: pa.Table) -> pa.Table:
        prompts = table.column("text").to_pylist()
        seeds = range(self.job.num_candidates)
        drawn = [self.model.generate(Prompt.of(text), seeds) for text in prompts]
        media = [[one.media.data for one in of_prompt if one.media] for of_prompt in drawn]
        return table.append_column("pictures", pa.array(media, pa.list_(pa.large_binary())))


class Judge:
    """Adds scores, and the duel of the best and the worst in both orders."""

    def __init__(self, job: Job) -> None:
        self.model = NotedJudge(seconds=job.judge_s, notes=Notes(str(job.notes)))

    def __call__(self, table: pa.Table) -> pa.Table:
        columns: dict[str, list[object]] = {"scores": [], "chosen": [], "rejected": [], "p": []}
        texts, pictures = table.column("text").to_pylist(), table.column("pictures").to_pylist()
        for text, drawn in zip(texts, pictures, strict=True):
            candidates = [
                Candidate(str(number), "stub@0", number, Media(data, SIDE, SIDE))
                for number, data in enumerate(drawn)
            ]
            sitting = self.model.sit(Prompt.of(text), candidates)
            scores = [one.value for one in sitting.scores()]
            best, worst = scores.index(max(scores)), scores.index(min(scores))
            there, back = sitting.duels([(best, worst), (worst, best)])
            columns["scores"].append(scores)
            columns["chosen"].append(best)
            columns["rejected"].append(worst)
            columns["p"].append((there.p_first + back.p_second) / 2)
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
        return table


def is_clear(table: pa.Table) -> pa.Table:
    """The rows whose margin is not thin."""
    wide = [max(one) - min(one) >= MIN_MARGIN for one in table.column("scores").to_pylist()]
    return table.filter(pa.array(wide))


def make(job: Job, root: Path) -> dict[str, float]:
    """Run the job; no step is told apart."""
    import ray

    ray.init(num_cpus=job.num_actors + 2, include_dashboard=False, log_to_driver=False)
    data = ray.data.read_text(str(job.prompts))
    for step in (Draw, Judge):
        data = data.map_batches(
            step,
            fn_constructor_args=(job,),
            compute=ray.data.ActorPoolStrategy(size=job.num_actors // 2),
            num_cpus=1,
            batch_size=16,
            batch_format="pyarrow",
        )
    data = data.map_batches(is_clear, batch_format="pyarrow")
    data.write_parquet(str(root / "pairs"))
    return {}


if __name__ == "__main__":
    run(make)
