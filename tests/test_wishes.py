"""What a user wishes to add: by a module of their own, or by the files that CONTRIBUTING names.

The module is the one that README shows, written to a folder and loaded by its name, so that what is
promised there works. Nothing of the package is touched or replaced.
"""

import json
import pickle
import re
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from actors.group_workers import Generate
from actors.media_store import MediaStore
from actors.refs import GeneratorPluginRef, PluginRef
from actors.tally import Piece
from factory.curation.curator import Curator
from factory.filters import judge_pair, objections_of
from factory.filters.plugged_in import load_objection
from factory.labels.registry import FormatError, format_named
from factory.plugins import PluginError
from factory.protocols import Judge
from factory.ranking import Bracket
from jobs import curate, evaluate, evaluate_judge, import_labels, produce, train_judge
from jobs.datasets.reading import data_files
from jobs.pipelines.curation import CurateTable
from jobs.pipelines.drawing import generators_of
from jobs.pipelines.models import generator_ref
from jobs.rounds.workspace import Round, champion
from jobs.stages.align import STAGE as ALIGN
from jobs.stages.evaluate import _heldout_judge, _judges
from jobs.stages.produce import STAGE as PRODUCE
from schemas import manifest
from schemas.arrow import groups_to_table, labels_from_table, pairs_from_table
from schemas.identity import identity
from schemas.recipe import GeneratorSpec, Objections
from schemas.recipe_file import load
from schemas.rows import Candidate, Duel, Group, Prompt, Score
from tests.factory.labels.media import png
from tests.factory.simulated import constants
from tests.factory.some_pairs import GOOD, media, picture
from tests.stubs import StubJudge, Untallied

ROOT = Path(__file__).resolve().parents[1]
LAPTOP = "jobs/recipes/laptop.yaml"

# Code as users write it, before they have tried it.
HASTY = """
from factory.labels.draft import Draft
from factory.labels.registry import Format, row_by_row
from schemas.rows import Candidate, Prompt


class Divides:
    needs_media = False

    def __call__(self, pair):
        if "zero" in pair.prompt.text:
            return f"ratio: {1 / 0}"
        return None


class SaysTrue:
    needs_media = False

    def __call__(self, pair):
        return True


class GivesNoReason:
    needs_media = False

    def __call__(self, pair):
        return "too bright"


def bare(pair):
    return None


class Lazy:
    def __init__(self, name, settings):
        self.name = name

    def generate(self, prompt, seeds):
        num = 1 if "few" in prompt.text else len(seeds)
        same = "same" if "twins" in prompt.text else ""
        return [Candidate(same or str(one), self.name, one, answer="x") for one in seeds[:num]]


class Stubborn(Lazy):
    def __init__(self, name, settings):
        self.name = "stubborn@7"


def draft(record):
    left = record.medium("left")
    yield Draft(Prompt.of("a cup"), "me", preference=record.row["vote"], first=left)


HALF = Format("half", "One side only.", row_by_row(draft))
TAKEN = Format("pick-a-pic", "Another's name.", row_by_row(draft))
ODD = Format("a/b", "No name for a folder.", row_by_row(draft))
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The modules `my_module`, as README has it, and `hasty`."""
    block = re.search(
        r"```python\n(# my_module\.py\n.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert block is not None
    (tmp_path / "my_module.py").write_text(block[1])
    (tmp_path / "hasty.py").write_text(HASTY)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    load_objection.cache_clear()
    for name in ("my_module", "hasty"):
        sys.modules.pop(name, None)


# ----------------------------------------------------------------------------------- objections


def group(text: str) -> Group:
    """Three candidates, judged without doubt: the second is the best, the third the worst."""
    values = (3.0, 4.0, 1.5)
    candidates = tuple(
        Candidate(f"c{n}", "generator@0", n, media(picture(n))) for n in range(len(values))
    )
    scores = tuple(Score(f"c{n}", "judge@1", value, 0.5) for n, value in enumerate(values))
    duels = tuple(
        Duel(f"c{i}", f"c{j}", "judge@1", p := 0.9 if values[i] > values[j] else 0.1, 1 - p, 0.0)
        for i in range(3)
        for j in range(3)
        if i != j
    )
    return Group(Prompt.of(text), candidates, scores, duels)


STORE = MediaStore("/nowhere", 0)  # these rows hold all their media


def curated(plugins: list[str], *texts: str):
    """The pairs of some groups as a worker makes them, whose curator has travelled to it."""
    curator = Curator(
        Bracket(1, constants()), objections_of(Objections(min_margin=0.5, plugins=plugins))
    )
    stage = CurateTable(pickle.loads(pickle.dumps(curator)), Untallied(), STORE)
    return pairs_from_table(stage(groups_to_table([group(text) for text in texts])))


def test_an_objection_of_ones_own_is_raised_and_counted_as_any_other():
    kept, rejected = curated(["my_module:Shouting"], "a red cup", "A RED CUP")
    assert (kept.verdict, kept.objections) == ("kept", ())
    assert (rejected.verdict, rejected.objections) == ("rejected", ("shouting: A RED CUP",))


def test_where_it_fails_the_pair_is_invalid_and_the_others_live():
    plugins = ["hasty:Divides", "my_module:Shouting"]
    kept, invalid = curated(plugins, "one", "one by zero")
    assert kept.verdict == "kept"
    assert invalid.verdict == "invalid"
    assert invalid.objections == (
        "failed objection: hasty:Divides: ZeroDivisionError: division by zero",
    )


@pytest.mark.parametrize(
    ("plugin", "fault"),
    [
        ("hasty:SaysTrue", "gave a bool, not None or a text"),
        ("hasty:GivesNoReason", "gave 'too bright', not 'reason: detail'"),
    ],
)
def test_what_is_no_reason_is_a_fault_beside_other_objections(plugin: str, fault: str):
    thin = replace(GOOD, margin=0.05)
    found = judge_pair(thin, objections_of(Objections(plugins=[plugin])))
    assert found.verdict == "invalid"
    assert found.objections[0].startswith("thin margin: ")
    assert found.objections[-1] == f"failed objection: {plugin}: {fault}"


def test_the_recipe_that_readme_shows_is_one(tmp_path: Path):
    text = (ROOT / "README.md").read_text()
    block = re.search(r"```yaml\n([^`]*my_module:Shouting[^`]*)```", text)
    assert block is not None
    shown = yaml.safe_load(block[1])
    overrides = [
        f"{section}.{key}={json.dumps(value)}"
        for section in shown
        for key, value in shown[section].items()
    ]
    at = recipe(tmp_path, *overrides)
    assert at.recipe.curate.objections.plugins == ["my_module:Shouting"]
    assert [one.path for one in at.recipe.produce.also] == ["my_module:Noise"]
    assert at.recipe.evaluate.heldout_judge.path == "tests.stubs:StubJudge"


def test_what_is_named_is_identity_and_naming_nothing_is_none():
    assert "plugins" not in identity(Objections())
    named = Objections(plugins=["my_module:Shouting"])
    assert identity(named)["plugins"] == ["my_module:Shouting"]


# -------------------------------------------------------------------------------- label formats


def votes(path: Path, *given: str) -> Path:
    """A file of votes, and the pictures that it names."""
    sides = {"caption": "a cup", "left": "a.png", "right": "b.png"}
    path.write_text("\n".join(json.dumps({**sides, "vote": one}) for one in given))
    (path.parent / "a.png").write_bytes(png())
    (path.parent / "b.png").write_bytes(png((0, 0, 250)))
    return path


def test_a_format_of_ones_own_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, out = votes(tmp_path / "votes.jsonl", "left", "neither"), tmp_path / "votes@1"
    command = ["my_module:VOTES", str(file), f"--out={out}"]
    assert import_labels.main([*command, "--dry-run"]) == 0
    assert "2 label(s) of the first rows" in capsys.readouterr().out
    assert import_labels.main(command) == 0
    (path,) = data_files(out)
    labels = labels_from_table(pq.read_table(path))
    assert [one.preference for one in labels] == ["first", "tie"]
    assert {one.annotator for one in labels} == {"our-people"}
    made = manifest.read(out)
    assert made is not None
    assert (made.settings["format"], made.settings["plugin"]) == ("our-votes", "my_module:VOTES")
    assert import_labels.main(command) == 0
    assert "complete already" in capsys.readouterr().out


def test_a_row_at_which_it_fails_is_named_or_marked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file, out = votes(tmp_path / "votes.jsonl", "left", "both"), tmp_path / "votes@1"
    command = ["my_module:VOTES", str(file), f"--out={out}"]
    assert import_labels.main(command) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {file}: row 2: my_module:VOTES: KeyError: 'both'; --keep-going")
    assert import_labels.main([*command, "--keep-going"]) == 0
    made = manifest.read(out)
    assert made is not None
    assert (made.counts["labels"], made.counts["invalid"]) == (1, 1)
    assert len(data_files(out)) == 1


@pytest.mark.parametrize(
    ("vote", "fault"),
    [
        ("first", "gave a draft of image_generation without second"),
        ("left", "gave the preference 'left'; known: first, second, tie"),
    ],
)
def test_what_is_no_label_is_a_fault_of_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], vote: str, fault: str
):
    file = votes(tmp_path / "votes.jsonl", vote)
    assert import_labels.main(["hasty:HALF", str(file), f"--out={tmp_path / 'half@1'}"]) == 2
    assert f"{file}: row 1: hasty:HALF: {fault}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "error", "fault"),
    [
        ("pick-a-pik", FormatError, "'pick-a-pik' is no format; known: pick-a-pic, hpd"),
        ("my_module:Shouting", PluginError, "is of type type, no Format"),
        ("my_module:ABSENT", PluginError, "my_module has no 'ABSENT'"),
        ("hasty:TAKEN", PluginError, "calls itself 'pick-a-pic', as another format does"),
        ("hasty:ODD", PluginError, "calls itself 'a/b'; ids and addresses want"),
    ],
)
def test_what_is_no_format_is_told(name: str, error: type[ValueError], fault: str):
    with pytest.raises(error) as told:
        format_named(name, "FORMAT")
    assert str(told.value).startswith(f"FORMAT: {name!r}")
    assert fault in str(told.value)


def test_an_unknown_format_is_one_message_at_both_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = votes(tmp_path / "votes.jsonl", "left")
    assert import_labels.main(["pick", str(file), f"--out={tmp_path / 'a@1'}"]) == 2
    assert capsys.readouterr().err.startswith("error: FORMAT: 'pick' is no format; known: ")
    assert evaluate_judge.main(["--format=pick", f"--file={file}", f"root={tmp_path / 'run'}"]) == 2
    assert capsys.readouterr().err.startswith("error: --format: 'pick' is no format; known: ")


def test_a_judge_and_a_format_of_ones_own_meet_in_an_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = votes(tmp_path / "votes.jsonl", "left", "right")
    command = ["--format=my_module:VOTES", f"--file={file}", "--judge=tests.stubs:StubJudge"]
    assert evaluate_judge.main([*command, "--dry-run", f"root={tmp_path / 'run'}"]) == 0
    told = capsys.readouterr().out
    assert "2 label(s) of the first rows" in told
    assert f"our-votes; tests.stubs:StubJudge -> {tmp_path}/run/data/benchmark-our-votes@1" in told


# ------------------------------------------------------------------------- generators and judges


def recipe(tmp_path: Path, *overrides: str) -> Round:
    return Round(load(LAPTOP, [f"root={tmp_path / 'run'}", *overrides]), 1)


def test_a_generator_of_ones_own_draws_as_the_recipe_calls_it(tmp_path: Path):
    also = "produce.also=[{path: 'my_module:Noise', name: noise}]"
    at = recipe(tmp_path, "generator.path=my_module:Noise", also)
    refs = generators_of(at)
    assert [(one.key, one.name, one.address) for one in refs] == [
        ("generator.path", "generator", "generator@0"),
        ("produce.also.0.path", "noise", "noise@0"),
    ]
    first, second = (one.load().generate(Prompt.of("a cup"), [5, 6]) for one in refs)
    assert [one.generator for one in (*first, *second)] == ["generator@0"] * 2 + ["noise@0"] * 2
    assert len({one.candidate_id for one in (*first, *second)}) == 4
    assert first[0].media == second[0].media  # noise of the same seed
    # The plan says that it is there, and the parents which code it was.
    assert "16 candidates" in PRODUCE.plan(at).rows
    assert champion(at).parent("generator").digest == "my_module:Noise"
    assert generator_ref(champion(at), at) == refs[0]


def test_a_generator_that_goes_by_another_name_is_refused():
    settings = GeneratorSpec(path="hasty:Stubborn", name="mine")
    ref = GeneratorPluginRef("hasty:Stubborn", "generator.path", "mine@0", settings)
    with pytest.raises(PluginError, match=r"generator\.path: .* itself 'stubborn@7'; .* 'mine@0'"):
        ref.load()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("few", "did not give one candidate for each seed, in order"),
        ("twins", "gave two candidates of one id"),
    ],
)
def test_a_generator_that_breaks_its_protocol_fails_on_that_prompt(text: str, fault: str):
    settings = GeneratorSpec(path="hasty:Lazy", name="lazy")
    ref = GeneratorPluginRef("hasty:Lazy", "generator.path", "lazy@0", settings)
    stage = Generate([ref], 2, 0, Untallied(), lambda table: table)
    good, bad = (
        stage.generate(Group(Prompt.of(one), ()), Piece("generate")) for one in ("a", text)
    )
    assert [one.error for one in good.candidates] == [None, None]
    assert len(bad.candidates) == 2
    assert all(fault in str(one.error) for one in bad.candidates)
    assert bad.failed_stage == "generate"


def test_a_held_out_judge_of_ones_own_is_signed_by_the_recipe(tmp_path: Path):
    at = recipe(tmp_path, "evaluate.heldout_judge={path: 'tests.stubs:StubJudge', name: other}")
    ref = next(one for one in _judges(at, None) if isinstance(one, PluginRef))
    judge: Judge = ref.load()
    assert judge.name == "other@0"
    cup = Prompt.of("a cup")
    candidates = [Candidate(str(n), "g@0", n, media(picture(n))) for n in range(2)]
    sitting, plain = judge.sit(cup, candidates), StubJudge().sit(cup, candidates)
    assert [replace(one, judge="stubjudge@1") for one in sitting.scores()] == plain.scores()
    assert [one.judge for one in (*sitting.scores(), *sitting.duels([(0, 1)]))] == ["other@0"] * 3


def test_the_code_of_a_held_out_judge_is_its_parent(tmp_path: Path):
    at = recipe(tmp_path, "evaluate.heldout_judge={path: 'tests.stubs:StubJudge', name: other}")
    directory = Path(str(at.directory("judge")))
    directory.mkdir(parents=True)
    made = manifest.Manifest("judge@1", "judge", "f", "own", (), {})
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))
    (parent,) = _heldout_judge(at)
    assert (parent.address, parent.digest) == ("other@0", "tests.stubs:StubJudge")


# ----------------------------------------------------------------------------------- dry runs


@pytest.mark.parametrize(
    ("job", "override", "message"),
    [
        (
            curate,
            "curate.objections.plugins=[my_module:Whispering]",
            "curate.objections.plugins: 'my_module:Whispering': cannot be loaded: my_module has no",
        ),
        (
            curate,
            "curate.objections.plugins=['hasty:bare']",
            "curate.objections.plugins: 'hasty:bare': cannot be made of 0 argument(s): TypeError: ",
        ),
        (
            curate,
            "curate.objections.plugins=['my_module:Noise()']",
            "curate.objections.plugins.0: String should match pattern",
        ),
        (
            produce,
            "generator.path=no_such:Generator",
            "generator.path: 'no_such:Generator': cannot be loaded: No module named 'no_such'",
        ),
        (
            produce,
            "produce.also=[{path: 'no_such:Generator', name: mine}]",
            "produce.also.0.path: 'no_such:Generator': cannot be loaded",
        ),
        (
            train_judge,
            "judge.path=tests.stubs:StubJudge",
            "judge.path: 'tests.stubs:StubJudge' is code of your own, which judges as it is",
        ),
        (
            evaluate,
            "evaluate.heldout_judge={path: 'no_such:Judge'}",
            "evaluate.heldout_judge.path: 'no_such:Judge': cannot be loaded",
        ),
        (
            evaluate,
            "evaluate.heldout_judge={path: 'tests.stubs:StubJudge', specification: x}",
            "specification: is of backend transformers or scalar or endpoint, and 'tests.stubs",
        ),
    ],
)
def test_what_cannot_be_used_is_told_by_the_dry_run(
    job, override: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert job.main(["--dry-run", f"root={tmp_path / 'run'}", override]) == 2
    assert message in capsys.readouterr().err


def test_a_generator_of_ones_own_cannot_be_aligned(tmp_path: Path):
    with pytest.raises(ValueError, match=r"generator\.path: 'my_module:Noise' is code of your own"):
        ALIGN.plan(recipe(tmp_path, "generator.path=my_module:Noise"))


# ------------------------------------------------------------------------------------- the table


def wishes() -> dict[str, str]:
    """The rows of CONTRIBUTING's table by wish, each as one text."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| wish |") :].partition("\n\n")[0].splitlines()
    assert set(table[1]) == set("|-")
    return {row.split("|")[1].strip(): row for row in table[2:]}


def test_the_table_has_every_wish():
    assert list(wishes()) == [
        "an objection",
        "a generator family",
        "a judge family",
        "a label format",
        "an exporter",
        "a report section",
        "a storage backend",
        "an alignment method",
    ]


@pytest.mark.parametrize("wish", wishes())
def test_every_file_and_name_of_the_table_exists(wish: str):
    row = wishes()[wish]
    paths = re.findall(r"`([\w./-]+/[\w./-]*)`", row)
    assert any(path.startswith("tests/") for path in paths)
    assert len(paths) > 1
    for path in paths:
        is_new = Path(path).stem == "NAME"
        assert (ROOT / (Path(path).parent if is_new else path)).exists(), path
    for name, path in re.findall(r"`([\w.]+)` (?:of|in) `([\w./-]+/[\w./-]*)`", row):
        for part in name.split("."):
            assert re.search(rf"\b{part}\b", (ROOT / path).read_text()), f"{name} in {path}"
