"""Whoever judges is found, checked and known by one shape, wherever it is named."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.refs import EndpointRef, JudgeRef, PanelRef, PluginRef, ScalarRef
from factory.judging import scalar
from factory.judging.panel import PanelWeights, TaskWeights
from factory.media.pictures import encode_png
from jobs import judge_card
from jobs.pipelines.given_judge import (
    check_contest,
    check_judge,
    check_strategy,
    judge_parents,
    judging_pool,
)
from jobs.pipelines.judge_backends import BACKENDS, backend_of, check_section, name_of, ref_of
from jobs.pipelines.models import judge_asking, judge_ref, named_judge, resolve
from jobs.rounds.workspace import InputError, Round
from jobs.stages.base import print_plan
from jobs.stages.distil import STAGE as DISTIL
from jobs.stages.evaluate import _heldout_judge
from schemas import manifest
from schemas.manifest import Manifest, Parent
from schemas.recipe import JudgeSpec
from schemas.recipe_file import load
from schemas.rows import Candidate, Media, Prompt
from tests.tiny.scalars import save_clip_base

SHIPPED = "jobs/recipes/published-judge.yaml"
BASE = "factory/sandbox/weights/base"
URL = "http://127.0.0.1:9/v1"
SPECIFICATION = "unifiedreward-llava-onevision"
SERVED = f"{{path: '{URL}', endpoint: {{model: big}}, specification: {SPECIFICATION}}}"
PANEL = (
    "{path: '', name: both, panel: [{name: one, path: factory/sandbox/weights/base}, "
    "{name: two, path: factory/sandbox/weights/base4}]}"
)


def at(root: Path, *more: str) -> Round:
    return Round(load(SHIPPED, [f"root={root}", *more]), 1)


@pytest.mark.parametrize(
    ("judge", "backend", "kind"),
    [
        (f"{{path: {BASE}}}", "transformers", JudgeRef),
        (f"{{path: {BASE}, backend: transformers}}", "transformers", JudgeRef),
        (SERVED, "endpoint", EndpointRef),
        ("{path: 'tests.stubs:StubJudge'}", "module", PluginRef),
        ("{backend: 'tests.stubs:StubJudge'}", "module", PluginRef),
    ],
)
def test_each_backend_judges_the_round_as_its_judge_0(
    judge: str, backend: str, kind: type, tmp_path: Path
) -> None:
    one = at(tmp_path, f"judge={judge}")
    assert backend_of(one.recipe.judge) is BACKENDS[backend]
    print_plan(one.recipe, ["produce", "audit"])
    ref = judge_ref(one)
    assert isinstance(ref, kind)
    assert (ref.address, ref.name) == ("judge@0", "judge")
    asking = judge_asking(one)
    assert asking is not None
    assert asking(Prompt.of("x")) is not None
    roles = [parent.role for parent in judge_parents(one)]
    assert roles == (["judge"] if backend == "module" else ["judge", "specification"])


def test_what_is_served_asks_for_no_gpu_and_what_runs_here_does(tmp_path: Path) -> None:
    gpu = "produce.judges={num_gpus: 1.0}"
    assert judging_pool(at(tmp_path, gpu)).num_gpus == 1.0
    served = at(tmp_path, gpu, f"judge={SERVED}")
    assert judging_pool(served).num_gpus == 0.0
    assert judging_pool(served, [JudgeSpec(path=BASE)]).num_gpus == 1.0
    assert judging_pool(at(tmp_path, gpu, "judge={path: 'a.b:C'}")).num_gpus == 1.0


def test_an_endpoint_is_known_by_address_model_and_revision(tmp_path: Path) -> None:
    first, asked = judge_parents(at(tmp_path, f"judge={SERVED}"))
    assert first == Parent("judge", "judge@0", "127.0.0.1:9/v1 big")
    newer, same = judge_parents(at(tmp_path, f"judge={SERVED}", "judge.revision=2026-12"))
    assert newer.digest == "127.0.0.1:9/v1 big@2026-12"
    assert asked == same
    assert judge_ref(at(tmp_path, f"judge={SERVED}")).weights is None
    known = judge_ref(at(tmp_path, f"judge={SERVED}", "judge.revision=2026-12"))
    assert known.weights == "endpoint:big@2026-12"


@pytest.mark.parametrize(
    ("judge", "what"),
    [(SERVED, "a model behind an endpoint"), ("{path: 'tests.stubs:StubJudge'}", "code of your")],
)
def test_what_a_backend_cannot_do_is_refused_by_name(judge: str, what: str, tmp_path: Path) -> None:
    train = "train_judge={num_steps: 1, batch_size: 4, learning_rate: 1.0e-4}"
    labels = "labels={path: tests/fixtures/d5e4ef4/inbox/given@1}"
    with pytest.raises(InputError, match=rf"^judge\.path: .* is {what}.* cannot be trained here"):
        print_plan(at(tmp_path, f"judge={judge}", train, labels).recipe, ["train_judge"])
    with pytest.raises(InputError, match=rf"^judge\.path: .* is {what}.* cannot be distilled here"):
        DISTIL.plan(at(tmp_path, f"judge={judge}", labels, f"distil={train.partition('=')[2]}"))
    panel = at(tmp_path, f"judge={PANEL}", train, labels)
    with pytest.raises(InputError, match=r"^judge\.panel: a panel .* cannot be trained: name one"):
        print_plan(panel.recipe, ["train_judge"])
    with pytest.raises(InputError, match=rf"^produce\.is_calibrated: .* is {what}.*: there is no"):
        check_judge(at(tmp_path, f"judge={judge}", "produce.is_calibrated=true"))


def test_keys_of_another_backend_are_refused_where_a_directory_is_looked_at() -> None:
    spec = JudgeSpec(path=BASE, endpoint={"model": "m"})
    with pytest.raises(InputError, match=r"^judge\.endpoint: is of backend endpoint, and 'factory"):
        check_section(spec, "judge")


def test_an_endpoint_without_words_for_a_task_is_refused(tmp_path: Path) -> None:
    whole = json.loads(Path(f"factory/judging/published/{SPECIFICATION}.json").read_text())
    whole["tasks"] = {"image_generation": whole["tasks"]["image_generation"]}
    file = tmp_path / "pictures.json"
    file.write_text(json.dumps(whole))
    one = at(tmp_path, f"judge={SERVED}", f"judge.specification={file}")
    check_judge(one, ["image_generation"])
    with pytest.raises(InputError, match=r"^judge\.specification: .*'video_generation'"):
        check_judge(one, ["video_generation"])


# -------------------------------------------------------------------------- of a command line


def made(root: Path, name: str) -> None:
    directory = root / "models" / name
    directory.mkdir(parents=True)
    one = Manifest(name, "judge", "f", "digest", (), {})
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(one))


def test_a_command_line_names_any_judge_in_one_way(tmp_path: Path) -> None:
    other = "evaluate.heldout_judge={path: 'tests.stubs:StubJudge', name: other}"
    one = at(tmp_path, f"judge={SERVED}", other)
    named: dict[str, Any] = {name: resolve(name, one) for name in (
        "endpoint", URL, f"{URL}/", "judge@0", "other@0", "tests.stubs:StubJudge", BASE,
    )}  # fmt: skip
    for name in ("endpoint", URL, f"{URL}/", "judge@0"):
        assert (named[name].key, named[name].address) == ("judge", "judge@0")
        assert named[name].spec == one.recipe.judge
    assert named["other@0"].key == "evaluate.heldout_judge"
    assert named["other@0"].spec == one.recipe.evaluate.heldout_judge
    mine = named["tests.stubs:StubJudge"]
    assert (mine.key, mine.address, mine.spec.told) == ("--judge", mine.spec.path, "module")
    # A directory is asked as the recipe's judge is, whatever runs that.
    assert named[BASE].spec == JudgeSpec(path=BASE, specification=SPECIFICATION)
    elsewhere = resolve("https://elsewhere/v1", one)
    assert (elsewhere.key, elsewhere.spec.path) == ("--judge", "https://elsewhere/v1")
    assert elsewhere.spec.endpoint == one.recipe.judge.endpoint
    assert named_judge("other@0", one)[0].is_renamed
    assert not named_judge("tests.stubs:StubJudge", one)[0].is_renamed


def test_a_judge_that_a_round_has_trained_is_named_by_its_version(tmp_path: Path) -> None:
    made(tmp_path, "judge@3")
    one = at(tmp_path, "judge.precision=bf16", "judge.specification=unifiedreward-qwen2.5-vl")
    found = resolve("judge@3", one)
    assert found.spec.path == str(tmp_path / "models" / "judge@3")
    assert (found.spec.precision, found.spec.specification) == ("bf16", None)
    served = resolve("judge@3", at(tmp_path, f"judge={SERVED}")).spec
    assert served == JudgeSpec(path=str(tmp_path / "models" / "judge@3"))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("endpoint", r"no judge of the recipe is behind an endpoint"),
        (URL, r"no section of the recipe says which model is asked there.*endpoint: \{model: NAME"),
        ("http://u:secret@h/v1", r"--judge http://\*\*\*@h/v1: no section"),
        ("judge@7", r"--judge judge@7: .*no such judge that is complete.*judge@0 \(judge\)"),
        ("no_such:Judge", r"--judge: 'no_such:Judge': cannot be loaded"),
        ("./absent", r"--judge: no model at './absent'"),
    ],
)
def test_who_is_not_there_is_refused_with_what_to_do(name: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=fault):
        named_judge(name, at(tmp_path))


def test_two_endpoints_are_named_apart(tmp_path: Path) -> None:
    former = f"evaluate.endpoint={{url: 'http://h/v1', model: m, specification: {SPECIFICATION}}}"
    one = at(tmp_path, f"judge={SERVED}", former)
    with pytest.raises(InputError, match=r"has 2; name one: judge@0 \(judge\), endpoint@0"):
        resolve("endpoint", one)
    assert resolve("endpoint@0", one).key == "evaluate.endpoint"
    alone = at(tmp_path, former)
    _, model = named_judge("endpoint", alone)
    assert model.parent("judge") == Parent("judge", "endpoint@0", "h/v1")


def test_a_witness_behind_the_judges_own_endpoint_is_refused(tmp_path: Path) -> None:
    same = at(tmp_path, f"judge={SERVED}", f"evaluate.heldout_judge={SERVED}")
    with pytest.raises(InputError, match=r"evaluate\.heldout_judge: .* is judge@0"):
        _heldout_judge(same)
    other = SERVED.replace("model: big", "model: other")
    one = at(tmp_path, f"judge={SERVED}", f"evaluate.heldout_judge={other}")
    found = _heldout_judge(one)
    assert [parent.role for parent in found] == ["heldout judge", "specification"]
    assert found[0].digest == "127.0.0.1:9/v1 other"


def test_a_specification_travels_with_what_asks_by_it(tmp_path: Path) -> None:
    ref = ref_of(at(tmp_path, f"judge={SERVED}").recipe.judge, "judge", "judge@0")
    assert ref.specification.tasks["image_generation"].answers["tie"]
    assert ref.recorder().specification == ref.specification.in_text()


# -------------------------------------------------------------------- a model that gives numbers


@pytest.fixture(scope="module")
def pickscore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP with random weights that says it is a PickScore."""
    directory = save_clip_base(tmp_path_factory.mktemp("pickscore"))
    scalar.named("pickscore").save(directory)
    return directory


def test_a_reward_model_is_told_by_what_lies_beside_it(pickscore: Path, tmp_path: Path) -> None:
    one = at(tmp_path, f"judge.path={pickscore}")
    assert name_of(one.recipe.judge) == "scalar"
    assert name_of(JudgeSpec(path="./absent", specification="pickscore")) == "scalar"
    print_plan(one.recipe, ["produce", "audit"])
    assert [parent.role for parent in judge_parents(one)] == ["judge", "specification"]
    ref = judge_ref(one)
    assert isinstance(ref, ScalarRef)
    asking = judge_asking(one)
    assert asking is not None
    cup = Prompt.of("a cup")
    judge, recorder = ref.recorded()
    assert recorder.asking(cup) == asking(cup)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    media = [Media(encode_png(one), 32, 32) for one in pixels]
    candidates = [Candidate(str(n), "g@0", n, medium) for n, medium in enumerate(media)]
    with recorder.open() as ledger:
        sitting = judge.sit(cup, candidates)
        scores, (duel,) = sitting.scores(), sitting.duels([(0, 1)])
    assert [one.error for one in (*scores, duel)] == [None] * 3
    assert (duel.p_first > duel.p_second) == (scores[0].value > scores[1].value)
    with recorder.open(ledger.replies) as again:
        assert judge.sit(cup, candidates).scores() == scores
    assert (again.num_asked, again.num_taken) == (0, 2)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["curate.objections.min_margin=50"], r"unit of its own: curate\.objections\.min_margin"),
        (["judge.trust_remote_code=true"], r"trust_remote_code: is of backend transformers, and"),
        (["judge.specification=hpsv3"], r"is of model type 'clip', and .*'qwen2_vl' model"),
        (["judge.specification=nothing"], r"judge\.specification: 'nothing' is no scalar spec"),
    ],
)
def test_what_does_not_fit_a_reward_model_is_refused(
    words: list[str], fault: str, pickscore: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=fault):
        check_judge(at(tmp_path, f"judge={{path: {pickscore}, backend: scalar}}", *words))


def test_a_reward_model_is_not_asked_about_what_it_was_not_trained_on(
    pickscore: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"judges image_generation, and not video_generation"):
        check_judge(at(tmp_path, f"judge.path={pickscore}"), ["video_generation"])


# ---------------------------------------------------------------------------------- panels


def panel(*more: str) -> str:
    members = f"{{path: {BASE}, name: a}}, {{path: 'tests.stubs:StubJudge', name: b}}"
    return f"judge={{panel: [{members}], name: both{', '.join(('', *more))}}}"


def weigh(path: Path, *names: str) -> Path:
    told = TaskWeights((0.5, 0.5), (1.0, 1.0), 1.0, (3.0, 100.0), (1.0, 20.0), 60)
    path.write_text(PanelWeights(names, {"image_generation": told}).to_json())
    return path


def test_a_panel_is_planned_with_all_its_members(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^judge\.panel: b score on no scale .* jobs\.panel"):
        check_judge(at(tmp_path, panel()), ["image_generation"])
    one = at(tmp_path, panel(f"fusion: {weigh(tmp_path / 'panel.json', 'a', 'b')}"))
    print_plan(one.recipe, ["produce", "audit"])
    ref = judge_ref(one)
    assert isinstance(ref, PanelRef)
    assert (ref.address, [member.address for member in ref.members]) == ("both@0", ["a@0", "b@0"])
    parents = judge_parents(one)
    assert [parent.role for parent in parents] == [
        *("judge", "member", "specification", "member", "fusion"),
    ]
    weigh(tmp_path / "panel.json", "a", "b")
    other = at(tmp_path, panel(f"fusion: {weigh(tmp_path / 'other.json', 'b', 'a')}"))
    with pytest.raises(InputError, match=r"^judge\.fusion: .*weighs b, a, and the members of thi"):
        check_judge(other)
    assert resolve("b@0", one).key == "judge.panel.1"
    assert judging_pool(at(tmp_path, panel(), "produce.judges={num_gpus: 1.0}")).num_gpus == 1.0
    fitted = panel(f"fusion: {tmp_path / 'panel.json'}")
    with pytest.raises(InputError, match=r"is a panel: there is no directory"):
        check_judge(at(tmp_path, fitted, "produce.is_calibrated=true"))


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("{panel: [{path: x}]}", "panel: one judge is no panel"),
        ("{panel: [{path: x, name: a}, {path: y, name: a}]}", "panel: 'a' names two judges"),
        ("{panel: [{path: x}, {path: y, name: b}]}", "panel: 'judge' names two judges"),
        ("{path: x, panel: [{path: y, name: a}, {path: z, name: b}]}", "path: is of one judge"),
        ("{path: x, fusion: f.json}", "fusion: is of backend panel, and 'x' is"),
        (
            "{precision: bf16, panel: [{path: y, name: a}, {path: z, name: b}]}",
            "precision: is of backend transformers or scalar, and 'judge' is a panel",
        ),
    ],
)
def test_what_is_no_panel_is_refused_by_name(section: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=fault):
        check_section(at(tmp_path, f"judge={section}").recipe.judge, "judge")


def test_a_witness_with_a_member_that_judges_the_pairs_is_refused(tmp_path: Path) -> None:
    given = "evaluate.heldout_judge={panel: [{path: 'a.b:C', name: c}, {path: 'd.e:F', name: d}]}"
    found = _heldout_judge(at(tmp_path, given))
    assert [parent.role for parent in found] == ["heldout judge", "member", "member"]
    same = given.replace("a.b:C", BASE)
    with pytest.raises(InputError, match=rf"evaluate\.heldout_judge: {BASE} is judge@0"):
        _heldout_judge(at(tmp_path, same, f"judge.path={BASE}"))


def test_a_card_is_of_one_judge_and_a_panel_says_whose(tmp_path: Path, capsys) -> None:
    judge = panel(f"fusion: {weigh(tmp_path / 'panel.json', 'a', 'b')}")
    words = ["--recipe", SHIPPED, "--dry-run", f"root={tmp_path}", judge]
    assert judge_card.main(words) == 2
    said = capsys.readouterr().err
    assert "both@0 is a panel, and a card is of one judge" in said
    assert "--judge a@0 --judge b@0" in said


# ------------------------------------------------------------- what only a worker used to tell


def specification(path: Path, **changes: Any) -> Path:
    """A shipped specification with keys of its task of pictures changed; None takes one out."""
    whole = json.loads(Path(f"factory/judging/published/{SPECIFICATION}.json").read_text())
    task = {**whole["tasks"]["image_generation"], **changes}
    whole["tasks"] = {"image_generation": {k: v for k, v in task.items() if v is not None}}
    path.write_text(json.dumps(whole))
    return path


def test_a_model_without_a_chat_template_is_refused_where_it_is_to_be_asked_by_one(
    tmp_path: Path,
) -> None:
    base = tmp_path / "base"
    shutil.copytree(BASE, base)
    spec = JudgeSpec(path=str(base), specification=SPECIFICATION)
    with pytest.raises(InputError, match=r"^judge\.path: .*has none \(chat_template\.jinja, .*add"):
        check_section(spec, "judge")
    told = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(told | {"chat_template": "{{ 1 }}"}))
    check_section(spec, "judge")


def test_an_evaluation_asks_no_judge_what_it_was_not_trained_for(
    tmp_path: Path, pickscore: Path
) -> None:
    no_points = specification(tmp_path / "pairs.json", pointwise=None)
    served = SERVED.replace(SPECIFICATION, str(no_points))
    one = at(tmp_path, f"judge={served}", "curate.rank={strategy: duels}").recipe.judge
    check_strategy(one, "judge", ["image_generation"], "duels")
    with pytest.raises(
        InputError, match=r"^judge: http.*not trained for pointwise .*an evaluation"
    ):
        check_contest(one, "judge", ["image_generation"])
    witness = (
        f"evaluate.heldout_judge={{panel: [{served.replace('{path', '{name: c, path')}, "
        "{path: 'a.b:C', name: d}]}"
    )
    panel_spec = at(tmp_path, witness).recipe.evaluate.heldout_judge
    assert panel_spec is not None
    with pytest.raises(InputError, match=r"^evaluate\.heldout_judge\.panel\.0: "):
        check_contest(panel_spec, "evaluate.heldout_judge", ["image_generation"])
    check_contest(JudgeSpec(path=str(pickscore)), "judge", ["image_generation"])
    with pytest.raises(InputError, match=r"curate\.rank\.strategy: bracket: .*pointwise"):
        check_strategy(panel_spec, "judge", ["image_generation"], "bracket")
