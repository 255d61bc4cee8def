"""Curation of a data set of several files: exact across blocks, and a sample that people answer."""

import csv
import json
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from actors.media_store import MediaStore, media_store
from actors.tally import TooManyFailuresError
from factory.curation.curator import Curator
from factory.filters import objections_of
from factory.filters.across import Raised
from factory.filters.plugged_in import PluggedIn
from factory.human_audit.estimate import cells_of
from factory.human_audit.sheets import WORDS, SheetError
from factory.ids import numbers_of
from factory.ranking import Bracket
from jobs.datasets.files import write_table
from jobs.datasets.measured import with_measures
from jobs.datasets.parts import read_parts, settle
from jobs.datasets.reading import (
    data_files,
    digest_dataset,
    find_rows,
    read_table,
    small_blocks,
    stream,
)
from jobs.pages.audit_sample import (
    FOLDER,
    PAGE,
    SAMPLE,
    SHEET,
    read_answers,
    read_doubts,
    read_sample,
    write_sample,
)
from jobs.pages.collect import _pairs, collect
from jobs.pages.report import render
from jobs.pipelines.amending import Amend, Balance
from jobs.pipelines.curation import CurateTable, run_curation, survey_pairs
from jobs.rounds.lifecycle import LostRaceError, Outcome, clear, remake
from jobs.rounds.workspace import InputError, Round
from jobs.session.run_log import run_log
from jobs.stages.base import run_stage
from jobs.stages.human_audit import STAGE as BY_PEOPLE
from schemas import results
from schemas.arrow import groups_to_table, pairs_from_table, pairs_to_table
from schemas.columns import GROUPS, PAIRS
from schemas.manifest import FILE, to_bytes
from schemas.manifest import read as read_manifest
from schemas.recipe import AuditSample, HumanAudit, Objections
from schemas.rows import Candidate, Duel, Group, Pair, Prompt, Score
from tests.factory.simulated import constants
from tests.factory.some_pairs import GOOD, candidate, picture
from tests.stubs import Untallied

OBJECTIONS = Objections(min_margin=0.5, max_per_slice={"region": 3})
STORE = MediaStore("/nowhere", 0)  # these rows hold all their media
CURATOR = Curator(Bracket(2, constants()), objections_of(OBJECTIONS))


def group(number: int, look: int) -> Group:
    """A clear winner and a clear loser; groups of one `look` show the same two pictures."""
    prompt = Prompt.of(f"prompt {number}", tags={"region": "north" if number % 2 else "south"})
    ids = [f"{prompt.prompt_id}-{side}" for side in "ab"]
    candidates = tuple(candidate(name, picture(2 * look + at)) for at, name in enumerate(ids))
    scores = tuple(Score(name, "judge@1", 4.0 - 2 * at, 0.4) for at, name in enumerate(ids))
    first = Duel(ids[0], ids[1], "judge@1", 0.9, 0.1, 0.0)
    return Group(prompt, candidates, scores, (first, first.swap()))


GROUPS_OF_TEST = [group(number, look=min(number, 9)) for number in range(14)]


def write_groups(directory: Path, groups: list[Group], per_file: int) -> Path:
    directory.mkdir()
    for at in range(0, len(groups), per_file):
        table = groups_to_table(groups[at : at + per_file])
        pq.write_table(table, directory / f"{at:03d}.parquet", row_group_size=2)
    return directory


def test_a_table_of_groups_becomes_pairs_with_signatures():
    table = CurateTable(CURATOR, Untallied(), STORE)(groups_to_table(GROUPS_OF_TEST[:3]))
    assert table.num_rows == 3
    assert table.column("signature_chosen").null_count == 0
    failed = Group(Prompt.of("failed"), (), error="out of memory")
    table = CurateTable(CURATOR, Untallied(), STORE)(groups_to_table([failed]))
    assert table.column("signature_chosen").null_count == 1
    assert table.column("verdict").to_pylist() == ["invalid"]


class SeesPixels:
    """Objects to every pair whose chosen picture it can look at."""

    needs_media = True

    def __call__(self, pair):
        return f"seen: {len(pair.chosen.media.data)} bytes"


@pytest.mark.parametrize("is_measured", [True, False])
def test_pairs_keep_references_and_an_objection_sees_what_they_lead_to(tmp_path, is_measured):
    groups = GROUPS_OF_TEST[:3]
    if is_measured:
        groups = with_measures(groups, STORE)
    store = MediaStore(str(tmp_path), 0)
    away = store.put_out(groups_to_table(groups))
    whole, found = (
        pairs_from_table(CurateTable(CURATOR, Untallied(), store)(table))
        for table in (groups_to_table(groups), away)
    )
    assert [(one.verdict, one.objections) for one in found] == [
        (one.verdict, one.objections) for one in whole
    ]
    for pair in found:
        assert pair.chosen.media.stored is None
        assert pair.chosen.media.path is not None
        assert pair.chosen.measures is not None
    assert pairs_from_table(store.bring_in(pairs_to_table(found))) == whole
    seeing = replace(CURATOR, objections=(*CURATOR.objections, SeesPixels()))
    table = CurateTable(seeing, Untallied(), store)(away)
    for pair, shown in zip(pairs_from_table(table), whole, strict=True):
        assert pair.objections[-1] == f"seen: {len(shown.chosen.media.data)} bytes"
        assert pair.chosen.media.stored is None


def test_amending_adds_one_objection_and_drops_nothing():
    other = replace(GOOD, pair_id="b" * 16, objections=("unsafe: chosen: 0.9",), verdict="rejected")
    table = pairs_to_table([GOOD, other])
    raised = Raised.of(numbers_of([GOOD.pair_id]), ["over quota: x=y has 3 pairs already"])
    amended = pairs_from_table(Amend((raised,))(table))
    assert amended[0] == replace(
        GOOD, verdict="rejected", objections=("over quota: x=y has 3 pairs already",)
    )
    assert amended[1] == other
    assert Amend()(table).equals(table)
    assert Amend((Raised.of(numbers_of([]), []),))(table).equals(table)
    light = Amend((raised,), numbers_of([other.pair_id]), np.array([0.25]))
    assert [one.weight for one in pairs_from_table(light(table))] == [1.0, 0.25]


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_curation_says_how_far_it_is(tmp_path, recipe, monkeypatch, capsys):
    monkeypatch.setattr("jobs.session.progress._LINE_S", 0.0)  # at every look
    failed = Group(Prompt.of("failed"), (), error="out of memory")
    groups = write_groups(tmp_path / "groups", [*GROUPS_OF_TEST, failed], 5)
    directory = tmp_path / "pairs@1"
    directory.mkdir()
    balance = Balance({"brightness": 0.1}, 10.0)
    with run_log(tmp_path / "log.jsonl"):
        run_curation(groups, directory, CURATOR, OBJECTIONS, recipe, balance)
    said = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    last = {one["in"]: one for one in said if one["event"] == "progress"}
    assert list(last) == ["curate", "balance", "amend"]
    for one in last.values():
        assert (one["stage"], one["rows"], one["of"]) == ("pairs@1", 15, 15)
    assert [one["invalid"] for one in last.values()] == [1, 0, 0]
    (invalid,) = (one for one in said if one["event"] == "row_invalid")
    assert (invalid["row"], invalid["in"]) == (failed.prompt.prompt_id, "curate")
    assert "out of memory" in invalid["error"]
    assert "pairs@1: 15 of 15 rows" in capsys.readouterr().out


def test_few_groups_that_are_measured_are_paired_in_this_process(tmp_path, recipe, monkeypatch):
    monkeypatch.delattr("jobs.pipelines.curation._draft")  # by workers
    (data := tmp_path / "data").mkdir()
    failed = Group(Prompt.of("failed"), (), error="out of memory")
    groups = [*with_measures(GROUPS_OF_TEST, STORE), failed]
    source = write_groups(data / "groups@1", groups, 5)
    directory = data / "pairs@1"
    directory.mkdir()
    with run_log(tmp_path / "log.jsonl"):
        settled = run_curation(source, directory, CURATOR, OBJECTIONS, recipe)
    assert digest_dataset(directory) == settled.digest
    assert sorted(one.name for one in directory.iterdir()) == sorted(settled.files)
    counts = {"pairs": 15, "kept": 6, "rejected": 8, "invalid": 1}
    assert survey_pairs(directory).counts() == counts
    said = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (invalid,) = (one for one in said if one["event"] == "row_invalid")
    assert (invalid["row"], invalid["in"]) == (failed.prompt.prompt_id, "curate")


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_an_objection_that_a_worker_cannot_load_ends_curation_in_one_sentence(tmp_path, recipe):
    groups = write_groups(tmp_path / "groups", GROUPS_OF_TEST, 5)
    (directory := tmp_path / "pairs@1").mkdir()
    absent = PluggedIn("not_on_this_worker:Objection", needs_media=False)
    curator = replace(CURATOR, objections=(*CURATOR.objections, absent))
    with pytest.raises(TooManyFailuresError) as told:
        run_curation(groups, directory, curator, OBJECTIONS, recipe)
    assert str(told.value).startswith(
        "curate.objections.plugins: 'not_on_this_worker:Objection': cannot be loaded: No module"
    )
    assert not (directory / FILE).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_files_and_their_order_change_nothing(tmp_path, recipe):
    digests = []
    evens_first = GROUPS_OF_TEST[::2] + GROUPS_OF_TEST[1::2]
    layouts = [(GROUPS_OF_TEST, 5), (GROUPS_OF_TEST[::-1], 14), (evens_first, 3)]
    for number, (groups, per_file) in enumerate(layouts):
        directory = tmp_path / f"pairs-{number}"
        directory.mkdir()
        source = write_groups(tmp_path / f"groups-{number}", groups, per_file)
        settled = run_curation(source, directory, CURATOR, OBJECTIONS, recipe)
        clear(directory, settled.files)
        digests.append(digest_dataset(directory))
        assert digests[-1] == settled.digest
        assert sorted(one.name for one in directory.iterdir()) == sorted(settled.files)  # no draft
    assert len(set(digests)) == 1
    pairs = pairs_from_table(read_table(directory, PAIRS))
    assert len(pairs) == len(GROUPS_OF_TEST)
    # Five groups (9 to 13) show the same pictures, so one of them stays; three a region at most.
    survey = survey_pairs(directory)
    assert survey.reasons["near-duplicate pair"] == 4
    kept = [pair for pair in pairs if pair.verdict == "kept"]
    assert len(kept) == 6
    assert survey.counts() == {"pairs": 14, "kept": 6, "rejected": 8, "invalid": 0}
    assert {one.value: one.verdicts["kept"] for one in survey.slices()} == {"north": 3, "south": 3}
    everything = {pair.pair_id: pair for pair in pairs}
    for pair in pairs:
        for objection in pair.objections:
            if objection.startswith("near-duplicate pair: like "):
                twin = everything[objection.split()[3].rstrip(",")]
                assert twin.pair_id < pair.pair_id
                assert twin.chosen.media == pair.chosen.media


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_what_killed_runs_left_is_paired_once(tmp_path, recipe):
    left = tmp_path / "left"
    left.mkdir()
    distinct = [group(number, look=number) for number in range(9)]
    write_table(left / "part-a.parquet", groups_to_table(distinct[:6]), row_group_size=2)
    write_table(left / "part-b.parquet", groups_to_table(distinct[4:]), row_group_size=2)
    settled = settle(read_parts(left, "prompt_id"), left, GROUPS, recipe.storage)
    assert {path.name for path in left.iterdir()} == {"part-a.parquet", "part-b.parquet"} | {
        *settled.files
    }
    digests, objections = [], Objections(min_margin=0.5)
    for name in ("left", "whole"):
        groups = left if name == "left" else write_groups(tmp_path / "whole", distinct, 9)
        directory = tmp_path / f"pairs-{name}"
        directory.mkdir()
        curator = Curator(Bracket(2, constants()), objections_of(objections))
        of_it = run_curation(groups, directory, curator, objections, recipe)
        survey = survey_pairs(directory, of_it.files)
        assert survey.counts() == {"pairs": 9, "kept": 9, "rejected": 0, "invalid": 0}
        digests.append(of_it.digest)
    assert digests[0] == digests[1]


def test_rows_are_found_by_their_row_groups(tmp_path):
    directory = write_groups(tmp_path / "groups", GROUPS_OF_TEST, 5)
    wanted = {GROUPS_OF_TEST[0].prompt.prompt_id, GROUPS_OF_TEST[7].prompt.prompt_id}
    found = find_rows(directory, "prompt_id", wanted, GROUPS)
    assert set(found.column("prompt_id").to_pylist()) == wanted
    assert found.schema == GROUPS
    assert find_rows(directory, "prompt_id", {"none"}, GROUPS).num_rows == 0
    assert sum(batch.num_rows for batch in stream(directory, ["prompt_id"], 2)) == 14
    assert len(data_files(directory)) == 3


def test_large_sets_are_read_in_blocks_of_so_many_rows(tmp_path):
    files = data_files(write_groups(tmp_path / "groups", GROUPS_OF_TEST * 50, 350))
    assert len(files) == 2
    assert small_blocks(files, 3) == 234  # of 700 rows
    assert small_blocks(files, 4) is None  # 175 blocks: fewer than Ray makes
    assert small_blocks([], 4) is None


# ------------------------------------------------------------------------------ people's answers


def kept_pair(number: int) -> Pair:
    prompt = Prompt.of(
        "<script>alert(1)</script>" if number == 0 else f"prompt {number}",
        tags={"region": "north" if number % 4 else "south"},
    )
    return replace(
        GOOD,
        pair_id=f"{(number + 1) * 0x1234567890ABCD % 2**64:016x}",
        prompt=prompt,
        chosen=candidate(f"c{number}", picture(number)),
        rejected=Candidate(f"r{number}", "generator@1", 0, answer="an <b>answer</b>"),
    )


@pytest.fixture
def sampled(finished: Round) -> Round:
    """A finished round whose pairs are 40 kept ones and a rejected one, with an audit sample."""
    directory = finished.directory("pairs")
    for path in data_files(directory):
        path.unlink()
    pairs = [kept_pair(number) for number in range(40)]
    pairs.append(replace(kept_pair(41), verdict="rejected", objections=("unsafe: chosen",)))
    store = media_store(directory)
    for at in (0, 21):
        table = store.put_out(pairs_to_table(pairs[at : at + 21]))
        pq.write_table(table, directory / f"{at}.parquet")
    assert write_sample(directory, AuditSample(size=12, slice_by="region"), seed=1) == 12
    return finished


def answer(at: Round, path: Path, annotator: str, right: int) -> None:
    """A sheet in which the first `right` pairs are answered as the judge did, and others not."""
    rows = [
        (one.pair_id, one.verdict if index < right else "tie", annotator, "2.0")
        for index, one in enumerate(read_sample(at.directory("pairs")))
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("pair_id", "answer", "annotator", "seconds"), *rows])


def test_the_sample_lies_beside_the_pairs_and_gives_nothing_away(sampled):
    folder = sampled.directory("pairs") / FOLDER
    sample = read_sample(sampled.directory("pairs"))
    assert len(sample) == len({one.pair_id for one in sample}) == 12
    assert sum(1 / one.p_drawn for one in sample) == pytest.approx(40, rel=0.35)
    assert {one.is_chosen_first for one in sample} == {True, False}
    rows = pq.read_table(folder / SAMPLE).to_pylist()
    assert {row["verdict"] for row in rows} == {"kept"}
    assert {row["slice"] for row in rows} == {"north", "south"}
    # Large media lie in the packs already, and the page shows them.
    assert {row["chosen"]["media"]["image"]["bytes"] for row in rows} == {None}
    page = (folder / PAGE).read_text()
    assert "<script>alert" not in page
    assert "an &lt;b&gt;answer" in page
    assert "chosen" not in page
    assert "rejected" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<fieldset") == 12
    assert page.count("<img") == 12
    for word in WORDS:
        assert page.count(f'value="{word}"') == 12
    sheet = list(csv.DictReader((folder / SHEET).open()))
    assert {row["pair_id"] for row in sheet} == {one.pair_id for one in sample}
    assert {row["answer"] for row in sheet} == {""}


def test_the_pages_own_script_is_the_one_that_its_policy_names(sampled):
    import base64
    import hashlib
    import re

    page = (sampled.directory("pairs") / FOLDER / PAGE).read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    named = re.search(r"script-src 'sha256-([^']+)'", page)
    assert script is not None
    assert named is not None
    digest = hashlib.sha256(script.group(1).encode()).digest()
    assert named.group(1) == base64.b64encode(digest).decode()


def test_no_sample_of_nothing(tmp_path):
    pq.write_table(pairs_to_table([replace(GOOD, verdict="rejected")]), tmp_path / "0.parquet")
    assert write_sample(tmp_path, AuditSample(size=5), seed=0) == 0
    pq.write_table(pairs_to_table([GOOD]), tmp_path / "0.parquet")
    assert write_sample(tmp_path, AuditSample(size=0), seed=0) == 0
    assert read_sample(tmp_path) == []
    assert write_sample(tmp_path, AuditSample(size=5), seed=0) == 1


class SilentRun:
    """Takes what a stage logs."""

    def log_artifact(self, path):
        self.path = path


def audited(at: Round, *sheets: Path) -> Round:
    settings = HumanAudit(sheets=[str(one) for one in sheets], num_resamples=100)
    return Round(at.recipe.model_copy(update={"human_audit": settings}), at.number)


def test_filled_sheets_become_findings_and_a_section_of_the_report(sampled, tmp_path):
    paths = [tmp_path / "ann.csv", tmp_path / "ben.csv"]
    answer(sampled, paths[0], "ann", right=12)
    answer(sampled, paths[1], "ben", right=6)
    at = audited(sampled, *paths)
    assert BY_PEOPLE.plan(at).rows == "2 sheet(s)"
    assert [parent.role for parent in BY_PEOPLE.parents(at)] == ["pairs", "sheet", "sheet"]
    directory = at.directory("human_audit")
    directory.mkdir(parents=True)
    outcome = BY_PEOPLE.make(at, directory, SilentRun())
    assert outcome.counts == {
        "sampled": 12,
        "answered": 12,
        "answers": 24,
        "unclear": 0,
        "corrected": 0,
        "people": 2,
    }
    # Half of the pairs are right by both and half by one of two; weights move it from 0.75.
    assert 0.6 < outcome.figures["precision"] < 0.9
    assert outcome.figures["precision_low"] < outcome.figures["precision"]
    assert outcome.figures["seconds_per_look"] == 2.0
    found = results.read(directory / results.HUMAN_AUDIT, results.HumanAudit)
    assert found is not None
    assert found.people == ("ann", "ben")
    assert found.estimates[0].note.endswith("; by the answers alone")  # all doubts are the same
    assert json.loads((directory / results.HUMAN_AUDIT).read_text())["num_sampled"] == 12
    page = render(collect(at))
    assert "Human audit" in page
    assert "Krippendorff&#39;s alpha" in page
    assert "precision, north" in page
    assert "Human audit" not in render(collect(Round(at.recipe, 2)))


def test_the_doubt_of_all_kept_pairs_is_counted_and_told(tmp_path):
    pairs = [replace(kept_pair(at), margin=at / 10, margin_sd=1.0) for at in range(40)]
    pairs.append(replace(kept_pair(41), verdict="rejected", objections=("unsafe: chosen",)))
    pq.write_table(pairs_to_table(pairs), tmp_path / "0.parquet")
    assert write_sample(tmp_path, AuditSample(size=12, slice_by="region"), seed=1) == 12
    doubt = read_doubts(tmp_path, "region")
    assert {name: counts.sum() for name, counts in doubt.items()} == {"north": 30, "south": 10}
    sample = read_sample(tmp_path)
    assert all(0 < one.doubt <= 0.5 for one in sample)
    for one in sample:
        assert doubt[one.slice][cells_of(np.array([one.doubt]))[0]] > 0
    (tmp_path / "0.parquet").unlink()
    assert read_doubts(tmp_path, "region") is None  # nothing is there to be read


def test_a_faulty_audit_says_what_to_do(sampled, tmp_path):
    with pytest.raises(InputError, match=r"human_audit\.sheets: names no file"):
        BY_PEOPLE.plan(sampled)
    with pytest.raises(SheetError, match=r"none\.csv: no such sheet"):
        BY_PEOPLE.plan(audited(sampled, tmp_path / "none.csv"))
    path = tmp_path / "ann.csv"
    answer(sampled, path, "ann", right=3)
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    with pytest.raises(SheetError, match=r"ann\.csv: row 14: 'ann' has answered pair .* already"):
        BY_PEOPLE.make(audited(sampled, path), tmp_path, SilentRun())
    path.write_text("pair_id,answer,annotator\n")
    with pytest.raises(SheetError, match="hold no answer"):
        BY_PEOPLE.make(audited(sampled, path), tmp_path, SilentRun())
    (sampled.directory("pairs") / FOLDER / SAMPLE).unlink()
    with pytest.raises(InputError, match="has no audit sample"):
        BY_PEOPLE.make(audited(sampled, path), tmp_path, SilentRun())


class OneRun:
    """Stands in for the tracker: a single run, which takes note of what is logged."""

    run_id, client, name = "run", None, "laptop"

    def __init__(self):
        self.metrics, self.fingerprints = {}, []

    @contextmanager
    def stage(self, number, name, fingerprint=""):
        self.fingerprints.append(fingerprint)
        yield self

    def log_metrics(self, metrics):
        self.metrics |= metrics

    def __getattr__(self, name):
        if not name.startswith("log_"):
            raise AttributeError(name)
        return lambda *given: None


@pytest.fixture
def ann_and_ben(sampled, tmp_path):
    """A round, and the sheets of two people who see it differently."""
    paths = [tmp_path / "ann.csv", tmp_path / "ben.csv"]
    answer(sampled, paths[0], "ann", right=12)
    answer(sampled, paths[1], "ben", right=6)
    return sampled, *paths


def manifest_of(at: Round) -> bytes:
    return (at.directory("human_audit") / "manifest.json").read_bytes()


def found_in(at: Round) -> results.HumanAudit:
    found = results.read(at.directory("human_audit") / results.HUMAN_AUDIT, results.HumanAudit)
    assert found is not None
    return found


def test_a_late_sheet_is_taken_in_whether_or_not_the_earlier_one_is_named(ann_and_ben, capsys):
    at, ann, ben = ann_and_ben
    together = run_stage(BY_PEOPLE, audited(at, ann, ben), OneRun())
    figures = found_in(at)
    for late in ([ann, ben], [ben]):
        shutil.rmtree(at.directory("human_audit"))
        books = OneRun()
        first = run_stage(BY_PEOPLE, audited(at, ann), books)
        assert (first.counts["answers"], first.counts["people"]) == (12, 1)
        assert books.metrics["precision"] == 1.0
        again = run_stage(BY_PEOPLE, audited(at, *late), books)
        assert "1 new sheet(s): 12 new answer(s), 0 of 12 earlier ones" in capsys.readouterr().out
        # The same as if both had been there from the start, and the books follow.
        assert found_in(at) == figures
        assert (again.digest, again.counts) == (together.digest, together.counts)
        assert [one.role for one in again.parents] == ["pairs", "sheet", "sheet"]
        assert again.fingerprint == together.fingerprint == books.fingerprints[-1]
        assert books.metrics["precision"] == again.figures["precision"] < 1.0
        left = sorted(path.name for path in at.directory("human_audit").glob("*.parquet"))
        assert left == list(again.files)
        # Nothing is left to do, in whatever words it is asked for.
        written = manifest_of(at)
        for sheets in ([ann, ben], [ben, ann], [ann], [ben]):
            assert run_stage(BY_PEOPLE, audited(at, *sheets), books) == again
            assert "complete already" in capsys.readouterr().out
        assert manifest_of(at) == written


def test_a_person_who_answers_again_corrects_the_earlier_answer(ann_and_ben, capsys):
    at, ann, ben = ann_and_ben
    run_stage(BY_PEOPLE, audited(at, ann, ben), OneRun())
    rows = ann.read_text().splitlines()
    # The same file, edited: one answer is another one, and one is left out.
    ann.write_text("\n".join([rows[0], f"{rows[1].split(',')[0]},equal,ann,4.0", *rows[3:]]))
    made = run_stage(BY_PEOPLE, audited(at, ann), OneRun())
    assert "0 new answer(s), 1 of 24 earlier ones corrected" in capsys.readouterr().out
    assert (made.counts["answers"], made.counts["corrected"]) == (24, 1)
    assert found_in(at).num_corrected == 1
    assert "Corrected by a later sheet of the same person: 1." in render(collect(at))
    answers = read_answers(at.directory("human_audit") / made.files[0])
    said = {one.pair_id: one.word for one in answers if one.annotator == "ann"}
    assert len(said) == 12
    assert said[rows[1].split(",")[0]] == "equal"
    # At once it is the same: of the sheets of one command the later one counts.
    again = ann.with_name("again.csv")
    again.write_text(ben.read_text().replace(",ben,", ",ann,"))
    shutil.rmtree(at.directory("human_audit"))
    made = run_stage(BY_PEOPLE, audited(at, ann, again), OneRun())
    assert (made.counts["people"], made.counts["corrected"]) == (1, 7)


def test_another_recipe_or_a_faulty_late_sheet_changes_nothing(ann_and_ben):
    at, ann, ben = ann_and_ben
    run_stage(BY_PEOPLE, audited(at, ann), OneRun())
    written = manifest_of(at)
    other = audited(at, ann, ben)
    knobs = other.recipe.human_audit.model_copy(update={"num_resamples": 99})
    other = Round(other.recipe.model_copy(update={"human_audit": knobs}), 1)
    with pytest.raises(InputError, match="num_resamples: 100 -> 99"):
        run_stage(BY_PEOPLE, other, OneRun())
    ben.write_text("pair_id,answer,annotator\n")
    with pytest.raises(SheetError, match=r"ben\.csv: hold no answer"):
        run_stage(BY_PEOPLE, audited(at, ben), OneRun())
    assert manifest_of(at) == written
    pairs = at.directory("pairs") / "manifest.json"
    pairs.write_text(pairs.read_text().replace(at.need("pairs").digest, "another"))
    with pytest.raises(InputError, match="its inputs have changed"):
        run_stage(BY_PEOPLE, audited(at, ann), OneRun())


def test_what_a_killed_or_slower_driver_leaves_is_made_good(ann_and_ben, monkeypatch):
    at, ann, ben = ann_and_ben
    first = run_stage(BY_PEOPLE, audited(at, ann), OneRun())
    at_first = found_in(at)

    def killed(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("schemas.results.to_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            run_stage(BY_PEOPLE, audited(at, ben), OneRun())
    assert found_in(at) == at_first  # killed between the manifest and the figures
    made = run_stage(BY_PEOPLE, audited(at, ben), OneRun())
    assert made.counts["answers"] == found_in(at).num_answered * 2 == 24
    # Two drivers at once: the slower one still has the first manifest in hand.
    with pytest.raises(LostRaceError):
        remake(first, at.directory("human_audit"), Outcome({}), first.parents)
    assert manifest_of(at) == to_bytes(made)


def test_an_audit_of_an_earlier_version_takes_late_sheets_while_its_own_are_there(ann_and_ben):
    at, ann, ben = ann_and_ben
    made = run_stage(BY_PEOPLE, audited(at, ann), OneRun())
    directory = at.directory("human_audit")
    (directory / made.files[0]).unlink()
    earlier = replace(made, files=None)  # it kept no answers
    (directory / "manifest.json").write_bytes(to_bytes(earlier))
    assert run_stage(BY_PEOPLE, audited(at, ann), OneRun()).files is None
    moved = ann.with_name("moved.csv")
    ann.rename(moved)
    with pytest.raises(InputError, match=r"kept no answers, and .*ann\.csv is no longer"):
        run_stage(BY_PEOPLE, audited(at, ben), OneRun())
    assert run_stage(BY_PEOPLE, audited(at, moved, ben), OneRun()).counts["answers"] == 24


def test_examples_are_the_first_that_are_not_shown_elsewhere_however_many_there_are(finished):
    directory = finished.directory("pairs")
    for path in data_files(directory):
        path.unlink()
    reasons = [("unsafe: a",), ("unsafe: b", "thin margin: 0.1"), ("thin margin: 0.2",), ()]
    pairs = [
        replace(kept_pair(n), objections=one, verdict="rejected" if one else "kept")
        for n, one in enumerate(reasons * 60)
    ]
    pq.write_table(pairs_to_table(pairs[100:]), directory / "0.parquet")
    pq.write_table(pairs_to_table(pairs[:100]), directory / "1.parquet")
    verdicts, counted, examples = _pairs(finished, {"pairs": read_manifest(directory)})
    assert verdicts == {"rejected": 180, "kept": 60}
    assert counted == {"unsafe": 120, "thin margin": 120}
    shown = {one.title: [example.pair_id for example in one.examples] for one in examples}
    assert {one.title: one.num for one in examples} == {
        "kept": 60,
        "unsafe": 120,
        "thin margin": 120,
    }
    first = sorted(one.pair_id for one in pairs if not one.objections)
    assert shown["kept"] == first[:6]
    thin = sorted(one.pair_id for one in pairs if any("thin" in text for text in one.objections))
    assert shown["thin margin"] == thin[:3]
    unsafe = sorted(one.pair_id for one in pairs if any("safe" in text for text in one.objections))
    assert shown["unsafe"] == [one for one in unsafe if one not in thin[:3]][:3]


def test_the_report_counts_objections_by_slice(finished):
    survey = survey_pairs(finished.directory("pairs"))
    results.write(finished.directory("pairs") / results.SLICES, survey.slices())
    page = render(collect(finished))
    assert "n = &lt;b&gt;" in page
    assert "By slice" in page
