"""A judge distilled into one of fewer layers, and such a judge as an ONNX file."""

import json
import random
from pathlib import Path

import pytest
import torch

from actors.judges import TransformersJudge
from actors.judges.onnx import OnnxJudge, export, quantise
from actors.refs import JudgeRef, OnnxRef
from actors.trainers.distil import DistilTask
from factory.judging.by_scores import RaoKupper, RulesError
from factory.judging.specification import JudgeSpecification, SpecificationError
from factory.media.pictures import encode_png
from factory.sandbox.four_tasks import drawn_cases
from factory.sandbox.imperfect import SIDE, imperfect
from factory.sandbox.world import caption, sample_scene
from schemas.arrow import groups_to_table
from schemas.rows import Candidate, Duel, Group, Media, Prompt, Score
from tests.tiny.spelt import save_qwen

BASE = Path("factory/sandbox/weights/base4")
OF_PICTURES = Path("factory/sandbox/weights/base")
RULES = {"image_generation": RaoKupper(2.0, 1.5), "video_understanding": RaoKupper(1.0, 2.0)}


def judged(prompt: Prompt, candidates: list[Candidate]) -> Group:
    """A group as a teacher leaves it that likes each candidate better than the one before; of the
    last it could read nothing.
    """
    names = [one.candidate_id for one in candidates]
    scores = [Score(name, "t@1", 1.0 + at, 0.1) for at, name in enumerate(names[:-1])]
    duels = [
        Duel(names[a], names[b], "t@1", *((0.7, 0.1, 0.2) if a > b else (0.1, 0.7, 0.2)))
        for a, b in ((0, 1), (1, 0), (1, 2), (2, 1))
    ]
    broken = Score(names[-1], "t@1", float("nan"), float("nan"), "broken media")
    return Group(prompt, tuple(candidates), (*scores, broken), tuple(duels))


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    rng = random.Random(3)
    scene = sample_scene(rng)
    pictures = [encode_png(imperfect(scene, rng)) for _ in range(4)]
    made = [
        Candidate(f"c{at}", "g@0", at, Media(one, SIDE, SIDE)) for at, one in enumerate(pictures)
    ]
    ((question, _),) = drawn_cases("video_understanding", 1, 1, seed=4)
    answers = [Candidate(f"a{at}", "g@0", at, answer=f"a red circle {at}") for at in range(4)]
    return [judged(Prompt.of(caption(scene)), made), judged(question, answers)]


def task(**changes) -> DistilTask:
    return DistilTask(str(BASE), JudgeSpecification.load(BASE), RULES, **changes)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A light judge of half the layers, not trained."""
    directory = tmp_path_factory.mktemp("light")
    task(text_layers=2).build(torch.device("cpu"), torch.float32).save(directory)
    return directory


def test_layers_are_left_out_evenly_and_the_rest_is_the_teachers(light: Path) -> None:
    teacher, student = (TransformersJudge(str(one), "j@0").model for one in (BASE, light))
    assert student.config.text_config.num_hidden_layers == 2
    kept = student.get_decoder().layers
    assert [one.self_attn.layer_idx for one in kept] == [0, 1]
    for mine, theirs in zip(kept, (0, 3), strict=True):
        old = teacher.get_decoder().layers[theirs].mlp.up_proj.weight
        assert torch.equal(mine.mlp.up_proj.weight, old)
    assert sum(one.numel() for one in student.parameters()) < sum(
        one.numel() for one in teacher.parameters()
    )


@pytest.mark.parametrize("knob", ["text_layers", "vision_layers"])
def test_more_layers_than_there_are_cannot_be_kept(knob: str) -> None:
    asked = JudgeSpecification.load(OF_PICTURES)
    of_pictures = DistilTask(str(OF_PICTURES), asked, {}, **{knob: 9})
    with pytest.raises(ValueError, match=f"{knob}: 9 of 4 layers cannot be kept"):
        of_pictures.build(torch.device("cpu"), torch.float32)


def test_a_tower_that_is_no_row_of_layers_keeps_them() -> None:
    with pytest.raises(ValueError, match=r"vision_layers: a segformer tower .* leave it out"):
        task(vision_layers=2).build(torch.device("cpu"), torch.float32)


def test_a_batch_holds_what_the_teacher_could_read(groups: list[Group]) -> None:
    learner = task().build(torch.device("cpu"), torch.float32)
    batch = learner.collate({"groups": groups_to_table(groups)})
    assert batch.scores.tolist() == [1, 2, 3, 1, 2, 3]
    assert batch.sides.tolist() == [[0, 1], [1, 2], [3, 4], [4, 5]]
    assert batch.verdicts[0].tolist() == pytest.approx([0.1, 0.7, 0.2])
    (pictures, is_picture), (answers, is_answer) = batch.rules
    assert (pictures, answers) == tuple(RULES.values())
    assert is_picture.tolist() == [True, True, False, False] == (~is_answer).tolist()
    loss, watched = learner.loss(learner.module, batch)
    parts = watched["loss_score"] + watched["loss_verdict"]
    assert loss.item() == pytest.approx(parts.item())
    assert 0 <= watched["agreement"] <= 1


def test_it_learns_the_teachers_order(groups: list[Group]) -> None:
    torch.manual_seed(0)
    learner = task(text_layers=2).build(torch.device("cpu"), torch.float32)
    optimizer = torch.optim.AdamW(learner.module.parameters(), lr=1e-3)
    batch = learner.collate({"groups": groups_to_table(groups[:1])})
    found = []
    for _ in range(24):
        loss, watched = learner.loss(learner.module, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < 0.5 * found[0]
    assert watched["agreement"] == 1


def test_a_light_judge_is_loaded_as_any_other(light: Path, groups: list[Group]) -> None:
    judge = JudgeRef(str(light), "light@1").load()
    for group in groups:
        sitting = judge.sit(group.prompt, group.candidates)
        scores = sitting.scores()
        one, other = sitting.duels([(0, 1), (1, 0)])
        assert one.judge == "light@1"
        assert one == other.swap()
        assert (one.p_first > one.p_second) == (scores[0].value > scores[1].value)
    with pytest.raises(RulesError, match="not for video_generation"):
        judge.sit(Prompt.of("a", "video_generation"), [])


@pytest.fixture(scope="module")
def exported(light: Path) -> Path:
    pytest.importorskip("onnxruntime")
    path = export(light)
    quantise(path)
    return path


@pytest.mark.parametrize(("file", "error"), [("judge.onnx", 1e-4), ("judge.int8.onnx", 0.3)])
def test_an_onnx_file_scores_as_the_weights_do(
    file: str, error: float, exported: Path, groups: list[Group]
) -> None:
    weights = JudgeRef(str(exported.parent), "light@1").load()
    judge = OnnxRef(str(exported.parent), "light@1", file).load()
    for group in groups:
        # One candidate alone, and all of them: batches of other sizes and other lengths.
        for some in (group.candidates[:1], group.candidates):
            wanted = weights.sit(group.prompt, some).scores()
            found = judge.sit(group.prompt, some).scores()
            assert [one.value for one in found] == pytest.approx(
                [one.value for one in wanted], abs=error
            )
            assert all(one.error is None for one in found)


def test_an_onnx_judge_marks_what_it_cannot_read(exported: Path, groups: list[Group]) -> None:
    judge = OnnxRef(str(exported.parent), "light@1", exported.name).load()
    broken = Candidate("x", "g@0", 0, Media(b"no picture", 1, 1))
    prompt, good = groups[0].prompt, groups[0].candidates[0]
    sitting = judge.sit(prompt, [good, broken])
    assert [one.error is None for one in sitting.scores()] == [True, False]
    (duel,) = sitting.duels([(0, 1)])
    assert duel.error is not None
    assert "broken media" in duel.error


def test_the_bytes_of_eight_bits_are_fewer(exported: Path) -> None:
    assert exported.with_name("judge.int8.onnx").stat().st_size < 0.4 * exported.stat().st_size


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    save_qwen(tmp_path / "qwen")
    with pytest.raises(SpecificationError, match="only 'llava' can"):
        export(tmp_path / "qwen")


def test_a_judge_without_rules_does_not_run_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava"}))
    with pytest.raises(RulesError, match="no light judge"):
        OnnxRef(str(tmp_path), "light@1", "judge.onnx").load()


def test_an_onnx_judge_that_is_asked_for_duels_of_its_own_refuses(
    exported: Path, groups: list[Group]
) -> None:
    judge = OnnxJudge(exported, "light@1")
    with pytest.raises(RulesError, match="only scores"):
        judge.sit(groups[0].prompt, groups[0].candidates).duels([(0, 1)])
