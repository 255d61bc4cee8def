"""Human labels for the judge: read from label rows, or given by simulated annotators.

Without people the champion draws candidates for the label prompts, and what `labels.simulator`
names compares and scores them in people's place. Such labels name their annotator `simulated:NAME`.

People who label while the loop goes on put their label rows into `labels.inbox`. Each round takes
in what no earlier round has. What lies there when a round starts is up to people, so it is no part
of its identity; the manifest names it among the parents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from actors.media_store import media_store
from actors.storage import StorageError, explained, place
from factory.plugins import make
from factory.prompts import PromptsFile
from factory.protocols import Simulator
from jobs.datasets.at_hand import Source
from jobs.datasets.files import parquet, read_columns, write_file
from jobs.datasets.labels import label_batches, label_files
from jobs.datasets.reading import read_groups
from jobs.pipelines.groups import Throughput, pool_cpus, pool_gpus, run_pipeline
from jobs.pipelines.models import generator_ref
from jobs.pipelines.prompt_checks import check_drawn
from jobs.pipelines.reuse import reused
from jobs.rounds.checks import PIPELINE_OVERHEAD_CPUS, check_generator, prompts_file
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Round, champion
from jobs.stages.base import Outcome, Plan
from schemas import manifest
from schemas.arrow import labels_to_table
from schemas.columns import LABELS, SchemaError, check_schema
from schemas.digests import add_up_rows, digest_text
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.recipe import GeneratorSpec, Labels, Recipe
from schemas.rows import SIMULATED, Label
from schemas.section import Section

_FILE = "labels.parquet"
_CANDIDATES = "_candidates"
#: Where a recipe names what stands in for people.
_SIMULATOR = "labels.simulator"


class Settings(Labels):
    """What simulated labels depend on, beside their parents."""

    seed: int
    generator: GeneratorSpec


class MakeLabels:
    """Makes `labels@N`."""

    kind = "labels"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        is_simulated = recipe.has("labels") and recipe.labels.path is None
        return ("labels", "generator") if is_simulated else ("labels",)

    def plan(self, at: Round) -> Plan:
        labels = at.recipe.labels
        for path in _inbox(labels.inbox):
            _check_labels(path, "labels.inbox")
        if labels.path is not None:
            return Plan(f"{_check_labels(labels.path)} labels of {labels.path}", "no actors", 0)
        assert labels.prompts is not None  # the recipe's own check
        prompts = prompts_file(labels.prompts, "labels.prompts", at.recipe)
        check_generator(at.recipe.generator, at.recipe, tasks=prompts.tasks)
        check_drawn(prompts, {"generator.path": at.recipe.generator})
        simulator = _simulator(at)
        try:
            simulator.check(labels.prompts, prompts)
        except ValueError as error:
            raise InputError(f"{_SIMULATOR}: {error}") from error
        return Plan(
            f"{len(prompts)} prompts x {labels.num_candidates} candidates, simulated labels",
            f"{at.recipe.produce.generators.span} generator(s)",
            pool_cpus(at.recipe) + PIPELINE_OVERHEAD_CPUS,
            pool_gpus(at.recipe),
        )

    def settings(self, at: Round) -> Section:
        recipe = at.recipe
        if recipe.labels.path is not None:
            return Section()  # people's labels are what their files are
        return Settings(seed=recipe.seed, generator=recipe.generator, **dict(recipe.labels))

    def parents(self, at: Round) -> list[Parent]:
        labels = at.recipe.labels
        path = labels.path or labels.prompts
        assert path is not None  # the recipe's own check
        if labels.path is not None:
            return [_source(path)]
        file = Parent("prompts", path, digest_file(place(path)))
        return [file, champion(at).parent("generator")]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        labels, speed = at.recipe.labels, Throughput()
        inbox = _inbox(labels.inbox)
        for path in inbox:
            _check_labels(path, "labels.inbox")
        given = [file for path in inbox for file in label_files(path)]
        if labels.path is not None:
            own = label_batches(label_files(labels.path))
        else:
            speed, made = self._simulate(at, directory)
            print(f"{at.address('labels')}: {speed}", flush=True)
            own = iter(labels_to_table(made).to_batches())
        layout = at.recipe.storage
        store = media_store(directory, layout.max_inline_bytes)
        counts = Counter[str]()
        sums: list[int] = []
        known = _known_ids(at)

        def looked_at() -> Iterator[pa.Table]:
            # Each file by itself: its large media lie beside it.
            inboxes = (batch for file in given for batch in label_batches([file]))
            for source, batches in (("recipe", own), ("inbox", inboxes)):
                for batch in batches:
                    table = _new_rows(pa.Table.from_batches([batch]).cast(LABELS), known)
                    counts["labels"] += table.num_rows
                    counts["pairs"] += table.num_rows - table["preference"].null_count
                    counts["points"] += table.num_rows - table["points"].null_count
                    counts[source] += table.num_rows
                    sums.append(add_up_rows(table))
                    if table.num_rows:
                        yield store.put_out(table)

        write_file(directory / _FILE, looked_at(), LABELS, layout.row_group_bytes)
        if labels.inbox is not None:
            print(f"{at.address('labels')}: {counts['inbox']} labels from the inbox", flush=True)
        return Outcome(
            {key: counts[key] for key in ("labels", "pairs", "points")}
            | ({} if labels.inbox is None else {"inbox": counts["inbox"]}),
            speed.figures(),
            digest=digest_text(sums),
            files=(_FILE,),
            parents=tuple(replace(_source(path), role="inbox") for path in inbox),
        )

    def _simulate(self, at: Round, directory: Place) -> tuple[Throughput, list[Label]]:
        labels = at.recipe.labels
        assert labels.prompts is not None
        candidates = directory / _CANDIDATES
        speed, settled = run_pipeline(
            PromptsFile(place(labels.prompts)),
            candidates,
            at.recipe,
            generators=[generator_ref(champion(at), at)],
            num_candidates=labels.num_candidates,
            seed=at.seed,
            sources=[Source.of(one) for one in reused(at.recipe)],
        )
        simulate = _simulator(at)
        made = [
            label for group in read_groups(candidates, settled.files) for label in simulate(group)
        ]
        for label in made:
            if not label.annotator.startswith(SIMULATED):
                raise InputError(
                    f"{_SIMULATOR}: {labels.simulator!r} signs its labels {label.annotator!r}: "
                    f"what no person said is to be signed {SIMULATED}NAME"
                )
        return speed, made


def _simulator(at: Round) -> Simulator:
    """What stands in for people in the recipe; loaded only where there are none.

    Raises:
        PluginError: it cannot be loaded, or is no simulator.
    """
    labels = at.recipe.labels
    simulator: Simulator = make(labels.simulator, _SIMULATOR, Simulator, labels, at.recipe.seed)
    return simulator


def _inbox(folder: str | None) -> list[str]:
    """The label files and data sets that lie in the inbox. A data set without its manifest is still
    being written and waits for the next round.

    Raises:
        InputError: there is no such folder.
    """
    if folder is None:
        return []
    directory = place(folder)
    if not directory.is_dir():
        raise InputError(f"labels.inbox: {folder}: no such directory; make it, people may fill it")
    entries = [
        one
        for one in directory.glob("*")
        if (one.suffix == ".parquet" if one.is_file() else (one / manifest.FILE).is_file())
    ]
    return [str(one) for one in sorted(entries, key=str)]


def _known_ids(at: Round) -> set[str]:
    """The labels that earlier rounds have."""
    found: set[str] = set()
    for earlier in at.earlier():
        for file in label_files(str(earlier.directory("labels"))):
            found.update(read_columns(file, ["label_id"])["label_id"].to_pylist())
    return found


def _new_rows(table: pa.Table, known: set[str]) -> pa.Table:
    """The rows that were not seen before, which are known from then on."""
    is_new = []
    for one in table["label_id"].to_pylist():
        is_new.append(one not in known)
        known.add(one)
    return table if all(is_new) else table.filter(pa.array(is_new, pa.bool_()))


def _source(path: str) -> Parent:
    """The label rows that come from outside: a data set by its digest, a file by its bytes."""
    directory = place(path)
    found = manifest.read(directory) if directory.is_dir() else None
    return Parent("labels", path, found.digest if found else digest_file(directory))


def _check_labels(path: str, key: str = "labels.path") -> int:
    """Number of rows of label files. Raises InputError where they are none."""
    num_rows = 0
    for one in label_files(path):
        try:
            with explained(one), one.open("rb") as source:
                file = parquet(source, one)
                check_schema(file.schema_arrow, LABELS, str(one))
                num_rows += file.metadata.num_rows
        except SchemaError as error:
            raise InputError(
                f"{key}: {error}; `python -m jobs.import_labels` makes label rows of the "
                "formats in which labels are published"
            ) from None
        except StorageError as error:
            raise InputError(f"{key}: {one}: cannot be read as Parquet: {error}") from None
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{key}: {one}: cannot be read as Parquet: {error}") from None
    return num_rows


STAGE = MakeLabels()
