"""Rows are made exactly once, whatever happens to runs, and a bad row never takes others along."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from actors.refs import GeneratorPluginRef, PluginRef
from actors.tally import TooManyFailuresError
from factory.curation.survey import count_table
from factory.ids import numbers_of
from factory.ranking import Bracket, ByTask, Pointwise, RoundRobin
from jobs.datasets import parts
from jobs.datasets.at_hand import Source
from jobs.datasets.files import write_table
from jobs.datasets.reading import read_groups
from jobs.pipelines.groups import Pilot, Throughput, make_groups, run_pipeline
from jobs.rounds.lifecycle import clear
from jobs.session.run_log import run_log
from schemas.arrow import groups_to_table
from schemas.columns import GROUPS
from schemas.recipe import GeneratorSpec, Recipe
from schemas.recipe_file import load
from schemas.rows import Candidate, Group, Media, Prompt, Score
from tests.stubs import Listed, Ref, StubGenerator, StubJudge

pytestmark = pytest.mark.slow  # Ray


@pytest.fixture
def small(tmp_path: Path) -> Recipe:
    return load(
        "jobs/recipes/laptop.yaml",
        [
            f"root={tmp_path}",
            "produce.groups_per_block=4",
            "produce.generators={size: 1, num_cpus: 0.5}",
            "produce.judges={size: 1, num_cpus: 0.5}",
        ],
    )


def prompts(*texts: str, num: int = 12) -> list[Prompt]:
    return [*(Prompt.of(text) for text in texts), *(Prompt.of(f"plain {n}") for n in range(num))]


def run(what: list[Prompt], directory: Path, recipe: Recipe, **generator: Any) -> Any:
    return run_pipeline(
        Listed(what),
        directory,
        recipe,
        generators=[Ref(StubGenerator(**generator))],
        num_candidates=4,
        judges=[Ref(StubJudge())],
        strategy=Bracket(1),
        count=count_table,
    )


def test_a_run_goes_on_where_it_was_and_makes_nothing_twice(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    what, calls = prompts(), tmp_path / "calls"
    _, whole = run(what, tmp_path / "data" / "whole", small)
    directory = tmp_path / "data" / "groups@1"
    # A part of an earlier run, a torn part of a killed writer, and a part of a driver that raced
    # and made rows that are there already.
    _, six = run(what[:6], directory, small)
    torn = (directory / six.files[0]).read_bytes()[:-20]
    (directory / "part-torn-000000-0.parquet").write_bytes(torn)
    some = read_groups(directory, six.files)[:3]
    pq.write_table(groups_to_table(some), directory / "part-raced-000000-0.parquet")

    speed, settled = run(what, directory, small, calls=str(calls))
    assert speed.num_rows == 6
    assert sorted(calls.read_text().split()) == sorted(one.prompt_id for one in what[6:])
    assert settled.digest == whole.digest
    assert settled.counts == whole.counts
    groups = read_groups(directory, settled.files)
    assert [one.prompt.prompt_id for one in groups] == sorted(one.prompt_id for one in what)

    calls.unlink()
    speed, again = run(what, directory, small, calls=str(calls))
    assert not calls.exists()
    assert (speed, again.digest) == (Throughput(), whole.digest)


def test_the_pilot_is_made_first_and_what_is_there_of_it_plans_the_others(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    what, directory = prompts(num=6), tmp_path / "data" / "groups@1"
    first = numbers_of(one.prompt_id for one in what[:2])
    first.sort()
    seen: list[int] = []

    def planned() -> ByTask:
        seen.append(len(read_groups(directory)))
        return ByTask(Pointwise())

    def once() -> tuple[Throughput, parts.Settled]:
        return run_pipeline(
            Listed(what),
            directory,
            small,
            generators=[Ref(StubGenerator())],
            num_candidates=4,
            judges=[Ref(StubJudge())],
            strategy=Bracket(1),
            pilot=Pilot(first, planned),
        )

    speed, settled = once()
    assert seen == [2]
    assert (speed.num_rows, speed.num_made["generate"]) == (6, 24)
    duels = {one.prompt.text: len(one.duels) for one in read_groups(directory, settled.files)}
    assert [duels[one.text] for one in what] == [2, 2, 0, 0, 0, 0]
    again, same = once()
    assert (again.num_rows, same.digest) == (0, settled.digest)


def test_bad_rows_are_written_with_stage_and_error_and_their_block_lives(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    bad = ("raise", "unreadable", "judge fails", "memory", "small judge")
    what = prompts(*bad, num=11)
    _, settled = run(what, tmp_path / "data" / "groups@1", small)
    found = {one.prompt.text: one for one in read_groups(tmp_path / "data/groups@1", settled.files)}
    assert len(found) == len(what)
    raised, unreadable, failed = (found[one] for one in bad[:3])
    assert (raised.failed_stage, raised.error) == ("generate", "KeyError: 'planted\\nfailure'")
    assert {one.error for one in unreadable.candidates} == {None}
    assert all("unreadable" in (one.error or "") for one in unreadable.scores)
    assert unreadable.is_invalid
    assert failed.failed_stage == "judge"
    assert failed.error == "stubjudge@1: RuntimeError: planted"
    assert all(one.media is not None for one in failed.candidates)
    # What only ran out of memory was done in smaller batches.
    for text in ("small judge", *(f"plain {n}" for n in range(11))):
        assert not found[text].has_failures, text
        assert len(found[text].scores) == 4
    assert settled.counts["invalid"] == 4  # `memory`: the stub itself does not halve
    assert found["memory"].failed_stage == "generate"


def test_a_run_in_which_too_much_fails_stops_and_says_why(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    what = [Prompt.of(f"raise {n}") for n in range(200)]
    with pytest.raises(TooManyFailuresError, match=r"rows failed in step 'generate'.*planted"):
        run(what, tmp_path / "data" / "groups@1", small)
    done = parts.read_parts(tmp_path / "data" / "groups@1", "prompt_id")
    assert 0 < sum(len(part.ids) for part in done) < 200


def test_a_row_that_hangs_or_kills_its_worker_is_given_up_and_the_others_are_made(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    limited = small.model_copy(
        update={"produce": small.produce.model_copy(update={"row_timeout_s": 3.0})}
    )
    bad = ("the generator hangs", "the generator dies", "the judge hangs")
    what = prompts(*bad, num=9)
    log = tmp_path / "log.jsonl"
    with run_log(log):
        _, settled = run(what, tmp_path / "data" / "groups@1", limited)
    found = {one.prompt.text: one for one in read_groups(tmp_path / "data/groups@1", settled.files)}
    assert len(found) == len(what)
    hung, died, judged = (found[one] for one in bad)
    limit = "no answer within produce.row_timeout_s: 3 s"
    assert (hung.failed_stage, hung.error) == ("generate", f"GivenUpError: {limit}")
    assert died.failed_stage == "generate"
    assert "its worker died 3 times, 2 of them at this row" in (died.error or "")
    assert (judged.failed_stage, judged.error) == ("judge", f"stubjudge@1: GivenUpError: {limit}")
    assert all(one.media is not None for one in judged.candidates)
    assert not any(found[f"plain {n}"].has_failures for n in range(9))
    assert settled.counts["invalid"] == 3
    said = [json.loads(line) for line in log.read_text().splitlines()]
    ids = {text: Prompt.of(text).prompt_id for text in bad}
    for event in ("row_given_up", "row_invalid"):
        assert sorted(one["row"] for one in said if one["event"] == event) == sorted(ids.values())
    lost = [one for one in said if one["event"] == "worker_lost"]
    assert {one["in"] for one in lost} == {"generate", "judge"}
    assert {one["stage"] for one in lost} == {"groups@1"}


@pytest.mark.parametrize("hangs", [1, 99], ids=["once", "always"])
def test_a_model_that_does_not_load_is_tried_again_and_then_ends_the_run(
    local_ray: None, small: Recipe, tmp_path: Path, hangs: int
) -> None:
    limited = small.model_copy(
        update={"produce": small.produce.model_copy(update={"load_timeout_s": 1.0})}
    )
    log, loads = tmp_path / "log.jsonl", tmp_path / "loads"
    directory = tmp_path / "data" / "groups@1"

    def run_it() -> Any:
        return run_pipeline(
            Listed(prompts(num=4)),
            directory,
            limited,
            generators=[Ref(StubGenerator())],
            num_candidates=2,
            judges=[Ref(StubJudge(), str(loads), hangs)],
            strategy=Bracket(1),
        )

    with run_log(log):
        if hangs == 1:
            assert len(read_groups(directory, run_it()[1].files)) == 4
        else:
            with pytest.raises(TooManyFailuresError, match=r"stubjudge was not loaded .* 2 times"):
                run_it()
    said = [json.loads(line) for line in log.read_text().splitlines()]
    hung = [one for one in said if one["event"] == "load_hung"]
    assert [(one["in"], one["model"]) for one in hung] == [("judge", "stubjudge")] * min(hangs, 2)
    assert not [one for one in said if one["event"] == "worker_lost"]


def test_code_of_ones_own_is_loaded_by_the_workers_and_goes_by_the_recipes_names(
    small: Recipe, local_ray: None, tmp_path: Path
) -> None:
    name = "tests.stubs:stub_generator"
    settings = GeneratorSpec(path=name, name="mine")
    models = {
        "generators": [GeneratorPluginRef(name, "generator.path", "mine@0", settings)],
        "num_candidates": 3,
        "strategy": Bracket(1),
    }
    judge = PluginRef("tests.stubs:StubJudge", "evaluate.heldout_judge.path", "other@0", True)
    made = run_pipeline(Listed(prompts(num=2)), tmp_path / "made", small, judges=[judge], **models)
    groups = read_groups(tmp_path / "made", made[1].files)
    assert {one.generator for group in groups for one in group.candidates} == {"mine@0"}
    assert {one.judge for group in groups for one in (*group.scores, *group.duels)} == {"other@0"}
    assert [len(group.scores) for group in groups] == [3, 3]
    assert all(group.duels for group in groups)
    # On the machine of the driver it was there.
    absent = PluginRef("not_on_this_worker:Judge", "evaluate.heldout_judge.path", "other@0", True)
    with pytest.raises(TooManyFailuresError) as told:
        run_pipeline(Listed(prompts(num=2)), tmp_path / "absent", small, judges=[absent], **models)
    assert str(told.value).startswith(
        "evaluate.heldout_judge.path: 'not_on_this_worker:Judge': cannot be loaded: No module named"
    )


def test_a_pool_grows_while_work_waits_for_it(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    pool = small.produce.generators.model_copy(update={"max_size": 3, "num_cpus": 0.25})
    growing = small.model_copy(
        update={"produce": small.produce.model_copy(update={"generators": pool})}
    )
    directory = tmp_path / "d"
    directory.mkdir()
    groups = [Group(one, ()) for one in prompts(num=240)]
    model = StubGenerator(seconds=0.2)
    speed = make_groups(groups, len(groups), directory, growing, [Ref(model)], 1, (), None)
    assert speed.num_rows == 240
    assert speed.bare_rate["generate"] > 1.5 * 5  # rows/s of one model that sleeps for 0.2 s


def read(directory: Path, settled: Any) -> list[Group]:
    return read_groups(directory, settled.files)


def test_what_another_run_has_is_neither_drawn_nor_asked_again(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    """More prompts and more candidates, a second judge, another strategy: each as a fresh run would
    have it, and only what is missing is paid for.
    """
    what, data = prompts(num=8), tmp_path / "data"
    generator = Ref(StubGenerator(), weights="w")
    judge, other = Ref(StubJudge(), weights="j"), Ref(StubJudge("other@1"), weights="o")

    def made(name: str, num: int, n: int, by: Ref, ranking: Any, *reuse: str) -> tuple[Any, Any]:
        return run_pipeline(
            Listed(what[:num]),
            data / name,
            small,
            generators=[generator],
            num_candidates=n,
            judges=[by],
            strategy=ranking,
            sources=[Source.of(data / one) for one in reuse],
        )

    speed, _ = made("first", 6, 4, judge, Bracket(1))
    num_scores, num_duels = 6 * 4, 6 * 2
    assert speed.num_made == {"generate": num_scores, "judge": num_scores + num_duels}
    for case, n, by, ranking, drawn, asked in (
        ("prompts", 4, judge, Bracket(1), 2 * 4, 2 * (4 + 2)),
        ("candidates", 6, judge, Pointwise(), 6 * 2 + 2 * 6, 6 * 2 + 2 * 6),
        ("judge", 4, other, Bracket(1), 2 * 4, 8 * (4 + 2)),
        ("strategy", 4, judge, RoundRobin(), 2 * 4, 6 * 10 + 2 * (4 + 12)),
    ):
        _, fresh = made(f"{case} afresh", 8, n, by, ranking)
        speed, again = made(case, 8, n, by, ranking, "first")
        assert speed.num_made == {"generate": drawn, "judge": asked}, case
        assert again.digest == fresh.digest, case
        taken = [*map(_record, read(data / case, again))]
        assert taken == [*map(_record, read(data / f"{case} afresh", fresh))], case
    # Of two sources, and with nothing left to do but to hand on.
    speed, both = made("both", 8, 4, judge, Bracket(1), "judge", "prompts")
    assert speed.num_made == {"generate": 0, "judge": 0}
    assert both.digest == made("prompts afresh", 8, 4, judge, Bracket(1))[1].digest


def _record(group: Group) -> tuple[Any, ...]:
    """What of a row's record must not depend on how it came about."""
    keys = sorted((one.key or "", one.first_id, one.second_id or "") for one in group.replies)
    return group.candidates, keys


def group(text: str, size: int = 10) -> Group:
    media = Media(random.Random(text).randbytes(size), 8, 8)  # zstd cannot make it smaller
    candidates = tuple(Candidate(f"{text}{n}", "g@0", n, media) for n in range(2))
    scores = tuple(Score(one.candidate_id, "j@1", 1.0, 0.1) for one in candidates)
    return Group(Prompt.of(text), candidates, scores)


def write(directory: Path, name: str, groups: list[Group]) -> None:
    directory.mkdir(exist_ok=True)
    write_table(directory / name, groups_to_table(groups))


def test_small_parts_are_joined_large_ones_stay_and_doubles_go(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    directory = tmp_path / "d"
    groups = [group(str(n)) for n in range(8)]
    write(directory, "a.parquet", groups[:3])
    write(directory, "b.parquet", groups[2:5])
    write(directory, "c.parquet", [replace(group("large", 200_000), attempts=2)])
    write(directory, "d.parquet", groups[:2])
    write(directory, "e.parquet", groups[5:])
    found = parts.read_parts(directory, "prompt_id")
    layout = small.storage.model_copy(update={"file_bytes": 300_000})
    settled = parts.settle(found, directory, GROUPS, layout)
    assert "c.parquet" in settled.files
    assert len(settled.files) == 2
    clear(directory, settled.files)
    read = read_groups(directory, settled.files)
    assert sorted(one.prompt.text for one in read) == sorted([*"01234567", "large"])
    whole = [*groups, replace(group("large", 200_000), attempts=2)]
    write(tmp_path / "whole", "x.parquet", whole)
    again = parts.settle(
        parts.read_parts(tmp_path / "whole", "prompt_id"), tmp_path / "whole", GROUPS, layout
    )
    assert again.digest == settled.digest


def test_missing_rows_are_an_error_and_not_a_smaller_data_set(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    write(tmp_path / "d", "a.parquet", [group("1"), group("2")])
    found = parts.read_parts(tmp_path / "d", "prompt_id")
    wanted = [Prompt.of(text).prompt_id for text in ("1", "2", "3")]
    with pytest.raises(parts.IncompleteError, match="1 of 3 rows are missing"):
        parts.settle(found, tmp_path / "d", GROUPS, small.storage, wanted=wanted)
    settled = parts.settle(found, tmp_path / "d", GROUPS, small.storage, wanted=wanted[:1])
    assert [one.prompt.text for one in read_groups(tmp_path / "d", settled.files)] == ["1"]


def test_a_row_that_is_twice_in_a_part_or_in_many_is_taken_once(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    many = [group(str(n)) for n in range(150)]  # more than are read at once
    write(tmp_path / "d", "a.parquet", [*many[100:120], many[101], many[100]])
    write(tmp_path / "d", "b.parquet", many)
    write(tmp_path / "d", "c.parquet", many[:130])
    found = parts.read_parts(tmp_path / "d", "prompt_id")
    assert parts.ids_of(found).tolist() == sorted(int(one.prompt.prompt_id, 16) for one in many)
    settled = parts.settle(found, tmp_path / "d", GROUPS, small.storage)
    read = read_groups(tmp_path / "d", settled.files)
    assert [one.prompt for one in read] == sorted(
        (one.prompt for one in many), key=lambda prompt: prompt.prompt_id
    )
    few = [one.prompt.prompt_id for one in many[110:125]]
    settled = parts.settle(found, tmp_path / "d", GROUPS, small.storage, wanted=iter(few))
    read = read_groups(tmp_path / "d", settled.files)
    assert sorted(one.prompt.prompt_id for one in read) == sorted(few)
    assert settled.counts == {"rows": 15}


def test_files_have_row_groups_of_the_wanted_size(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    for number in range(8):
        write(tmp_path / "d", f"{number}.parquet", [group(str(number), 50_000)])
    layout = small.storage.model_copy(update={"row_group_bytes": 250_000})
    found = parts.read_parts(tmp_path / "d", "prompt_id")
    settled = parts.settle(found, tmp_path / "d", GROUPS, layout)
    (name,) = settled.files
    file = pq.ParquetFile(tmp_path / "d" / name)
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [3, 3, 2]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert b"huggingface" in file.schema_arrow.metadata


def test_large_media_lie_outside_the_table_and_come_back(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    what = prompts(num=4)
    _, inside = run(what, tmp_path / "a" / "data" / "groups@1", small)
    outside_recipe = small.model_copy(
        update={
            "root": str(tmp_path / "b"),
            "storage": small.storage.model_copy(update={"max_inline_bytes": 10}),
        }
    )
    directory = tmp_path / "b" / "data" / "groups@1"
    _, outside = run(what, directory, outside_recipe)
    packs = list((tmp_path / "b" / "media").rglob("*.tar"))
    assert 1 <= len(packs) <= 4  # one for each block
    assert outside.digest == inside.digest
    raw = pq.read_table(directory / outside.files[0]).to_pylist()[0]["candidates"][0]["media"]
    assert raw["image"]["bytes"] is None
    first = read_groups(directory, outside.files)[0]
    assert first == read_groups(tmp_path / "a" / "data" / "groups@1", inside.files)[0]
    shutil.rmtree(tmp_path / "b" / "media")
    with pytest.raises(ValueError, match="the media that a table refers to are missing"):
        read_groups(directory, outside.files)


def test_speed_of_light_names_the_slowest_stage(
    local_ray: None, small: Recipe, tmp_path: Path
) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    groups = [Group(one, ()) for one in prompts(num=16)]
    speed = make_groups(
        groups,
        len(groups),
        directory,
        small,
        [Ref(StubGenerator(seconds=0.05))],
        2,
        [Ref(StubJudge(seconds=0.001))],
        Bracket(1),
    )
    assert speed.slowest == "generate"
    assert 0 < speed.bare_rate["generate"] <= 20  # rows/s of a model that sleeps for 50 ms
    assert 0 < speed.speed_of_light < 1
    assert "speed of light" in str(speed)
    assert "held back by 'generate'" in str(speed)
