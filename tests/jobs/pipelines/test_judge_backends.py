"""Whoever judges is found, checked and known by one shape, wherever it is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from actors.refs import EndpointRef, JudgeRef, PluginRef
from jobs.pipelines.given_judge import check_judge, judge_parents, judging_pool
from jobs.pipelines.judge_backends import BACKENDS, backend_of, check_section, ref_of
from jobs.pipelines.models import judge_asking, judge_ref, named_judge, resolve
from jobs.rounds.workspace import InputError, Round
from jobs.stages.base import print_plan
from jobs.stages.distil import STAGE as DISTIL
from jobs.stages.evaluate import _heldout_judge
from schemas import manifest
from schemas.manifest import Manifest, Parent
from schemas.recipe import JudgeSpec
from schemas.recipe_file import load
from schemas.rows import Prompt

SHIPPED = "jobs/recipes/published-judge.yaml"
BASE = "factory/sandbox/weights/base"
URL = "http://127.0.0.1:9/v1"
SPECIFICATION = "unifiedreward-llava-onevision"
SERVED = f"{{path: '{URL}', endpoint: {{model: big}}, specification: {SPECIFICATION}}}"


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
