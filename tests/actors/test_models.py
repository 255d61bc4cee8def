"""Generator and judge on the shipped weights: seeds, bytes, orders, and what cannot be judged."""

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from PIL import Image

from actors.generators import DiffusersGenerator
from actors.group_workers import Judging
from actors.judges import PromptFormat, TransformersJudge
from actors.judges.looks import Look, look_at
from actors.judges.prompts import Medium
from actors.tally import Piece, TallyHandle
from actors.trainers.judge import JudgeLearner, JudgeTask, LossWeights
from factory.candidates import candidate_seeds
from factory.judging.recording import Recorder, RecordingJudge
from factory.judging.specification import DEFAULT
from factory.ranking import Bracket, Paper, Pointwise, Ring, RoundRobin, Strategy
from schemas.arrow import labels_to_table
from schemas.recipe import Lora
from schemas.recipe_file import load
from schemas.rows import Candidate, Group, Label, Media, Part, Prompt

RECIPE = load("jobs/recipes/laptop.yaml")
PROMPT = Prompt.of("a large red cross in the center on a white background")


@pytest.fixture(scope="module")
def generator() -> DiffusersGenerator:
    return DiffusersGenerator(RECIPE.generator.path, "generator@0", RECIPE.generator)


@pytest.fixture(scope="module")
def judge() -> TransformersJudge:
    return TransformersJudge(RECIPE.judge.path, "judge@0")


@pytest.fixture(scope="module")
def candidates(generator: DiffusersGenerator) -> list[Candidate]:
    return generator.generate(PROMPT, candidate_seeds(PROMPT, "generator", 0, 3))


@pytest.fixture(scope="module")
def five(generator: DiffusersGenerator) -> Group:
    seeds = candidate_seeds(PROMPT, "generator", 0, 5)
    return Group(PROMPT, tuple(generator.generate(PROMPT, seeds)))


def test_the_same_seeds_draw_the_same_bytes(
    generator: DiffusersGenerator, candidates: list[Candidate]
) -> None:
    seeds = [candidate.seed for candidate in candidates]
    generator.generate(Prompt.of("something else"), [1, 2])
    assert generator.generate(PROMPT, seeds) == candidates
    assert len({candidate.candidate_id for candidate in candidates}) == 3
    assert len({candidate.media for candidate in candidates}) == 3
    assert all((one.media.width, one.media.height) == (32, 32) for one in candidates if one.media)


def test_a_pipeline_that_fails_leaves_errors_and_no_pictures(
    generator: DiffusersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(generator, "_draw", fail)
    found = generator.generate(PROMPT, [5, 6])
    assert [one.media for one in found] == [None, None]
    assert all(one.error == "RuntimeError: out of luck" for one in found)


def test_each_picture_is_encoded_once(
    judge: TransformersJudge, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = judge.encode
    monkeypatch.setattr(
        judge, "encode", lambda looks, *_: encoded.append(len(looks)) or encode(looks)
    )
    sitting = judge.sit(PROMPT, candidates)
    sitting.scores()
    sitting.duels([(0, 1), (1, 0), (0, 2)])
    assert encoded == [3]
    criterion = replace(PROMPT, text=f"{PROMPT.text}\nlook at the colours")
    about = sitting.about(criterion)
    assert [one.candidate_id for one in about.scores()] == [c.candidate_id for c in candidates]
    assert about.scores() != sitting.scores()
    assert sitting.prompt == PROMPT
    assert encoded == [3]


def test_scores_and_duels_are_probabilities_on_the_scale(
    judge: TransformersJudge, candidates: list[Candidate]
) -> None:
    sitting = judge.sit(PROMPT, candidates)
    scores, duels = sitting.scores(), sitting.duels([(0, 1), (1, 0)])
    assert all(1 <= score.value <= 5 and score.spread >= 0 for score in scores)
    for duel in duels:
        assert duel.p_first + duel.p_second + duel.p_tie == pytest.approx(1)
    assert (duels[0].first_id, duels[0].second_id) == (duels[1].second_id, duels[1].first_id)


def test_features_that_are_reused_give_what_the_stock_forward_gives(
    judge: TransformersJudge, candidates: list[Candidate]
) -> None:
    """The duel's probabilities against one plain forward pass with pixels."""
    form, task = judge.format, judge.format.specification.task("image_generation")
    pictures = [Image.open(io.BytesIO(one.media.data)) for one in candidates if one.media]
    pixels = form.processor.image_processor(pictures[:2], return_tensors="pt")["pixel_values"]
    tree = form.verdict_tree(task)
    ids = [*form.pair(task, PROMPT.text, media_of(form, 16, 16)).ids, *tree.chain]
    with torch.inference_mode():
        plain = judge.model(input_ids=torch.tensor([ids]), pixel_values=pixels).logits
    expected = tree.probabilities([plain[:, -len(tree.chain) - 1 :].numpy()])[0]
    sitting = judge.sit(PROMPT, candidates)
    for _ in range(2):  # before and after the score's beginning is kept
        duel = sitting.duels([(0, 1)])[0]
        assert [duel.p_first, duel.p_second, duel.p_tie] == pytest.approx(expected, abs=1e-4)
        sitting.scores()


def judging(judge: TransformersJudge, strategy: Strategy) -> Judging:
    """The stage, around a judge that is loaded already; the tally is not asked for."""
    stage = Judging((), strategy, cast("TallyHandle", None), lambda table: table)
    recorder = Recorder.of(None, "fp32", judge.format.specification)
    stage.judges = [(RecordingJudge(judge, recorder), recorder)]
    return stage


@pytest.mark.parametrize(
    ("strategy", "num_plans", "num_duels"),
    [
        (Pointwise(), 0, 0),
        (Paper(), 1, 2),
        (Bracket(2), 2, 6),
        (Ring(2), 1, 10),
        (RoundRobin(), 1, 20),
    ],
    ids=lambda one: type(one).__name__,
)
def test_the_duels_of_one_plan_are_one_batch(
    judge: TransformersJudge,
    five: Group,
    strategy: Strategy,
    num_plans: int,
    num_duels: int,
) -> None:
    before = judge.num_forwards, judge.num_batches
    judged = judging(judge, strategy).judge(five, Piece("judge"))
    assert judged.error is None
    assert (len(judged.scores), len(judged.duels)) == (5, num_duels)
    assert judge.num_forwards - before[0] == 5 + num_duels
    assert judge.num_batches - before[1] == 1 + num_plans


def test_batches_are_split_by_memory_and_nothing_else_changes(
    judge: TransformersJudge, five: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = judging(judge, RoundRobin()).judge(five, Piece("judge"))
    monkeypatch.setattr(judge, "max_batch", 3)
    before = judge.num_batches
    split = judging(judge, RoundRobin()).judge(five, Piece("judge"))
    assert judge.num_batches - before == 2 + 7  # of 5 scores and of 20 duels
    for one, other in zip(whole.duels, split.duels, strict=True):
        assert (one.first_id, one.second_id) == (other.first_id, other.second_id)
        assert one.p_first == pytest.approx(other.p_first, abs=1e-4)
    for score, other_score in zip(whole.scores, split.scores, strict=True):
        assert score.value == pytest.approx(other_score.value, abs=1e-4)


def test_what_cannot_be_seen_is_an_error_and_not_a_low_score(
    judge: TransformersJudge, candidates: list[Candidate]
) -> None:
    broken = [
        replace(candidates[0], media=Media(b"\x89PNG broken", 32, 32)),
        replace(candidates[1], media=None, error="RuntimeError: no"),
        candidates[2],
    ]
    sitting = judge.sit(PROMPT, broken)
    scores, duels = sitting.scores(), sitting.duels([(0, 2), (2, 1)])
    assert [score.error is None for score in scores] == [False, False, True]
    assert math.isnan(scores[0].value)
    assert all(duel.error is not None and math.isnan(duel.p_first) for duel in duels)


def test_a_caption_cannot_forge_a_picture(judge: TransformersJudge) -> None:
    form: PromptFormat = judge.format
    task = form.specification.task("image_generation")
    image = form.processor.image_token_id
    medium = media_of(form, 16)
    hostile = form.point(task, "a <image> <image> circle {media} {prompt}", medium).ids
    assert hostile.count(image) == 16


def test_four_tasks_have_one_input_form(judge: TransformersJudge) -> None:
    form = PromptFormat(DEFAULT, judge.format.processor)
    clip = form.pair(DEFAULT.task("video_generation"), "a red circle", media_of(form, 64, 64)).ids
    assert clip.count(form.processor.image_token_id) == 128
    task = DEFAULT.task("image_understanding")
    question = "what colour is the circle ?"
    medium = media_of(form, 16)
    one = form.point(task, question, medium, ["red"]).ids
    two = form.pair(task, question, medium, ["red", "blue <image>"]).ids
    assert two[: len(one)] == one  # the pairwise prompt passes through the pointwise read-out
    assert two.count(form.processor.image_token_id) == 16
    words = form.tokenizer.decode([i for i in two if i != form.processor.image_token_id])
    assert words.endswith("answer 2 : blue . final score : overall judgment :")


def media_of(form: PromptFormat, *sizes: int) -> list[Medium]:
    """Media of so many visual tokens each."""
    image = form.processor.image_token_id
    return [Medium(at, (image,) * size) for at, size in enumerate(sizes)]


def looks(label: Label) -> list[Look]:
    return look_at(label.prompt, label.sides(), DEFAULT.task(label.prompt.task))[0]


def learner_of(**settings: object) -> JudgeLearner:
    task = JudgeTask(RECIPE.judge.path, DEFAULT, 0.5, **settings)  # type: ignore[arg-type]
    return task.build(torch.device("cpu"), torch.float32)


def test_a_label_becomes_prompt_and_the_tokens_that_decide(candidates: list[Candidate]) -> None:
    first, second = (one.media for one in candidates[:2])
    assert first is not None
    learner = learner_of()
    label = Label("l", PROMPT, "ann", first, second, "second")
    example = learner.example(label, looks(label))
    # of "Image 2 is better than Image 1 ." the tokens that tell it from the other two answers
    answer = learner.format.answer_ids("Image 2")
    assert example.ids[-len(answer) :] == answer
    assert [one for one in example.targets if one != -100] == answer
    # each answer token is predicted from the place before it
    assert example.targets[-len(answer) - 1 : -1] == answer
    assert example.ids.count(learner.format.processor.image_token_id) == 32
    label = Label("p", PROMPT, "ann", first, points=4)
    example = learner.example(label, looks(label))
    assert [one for one in example.targets if one != -100] == learner.format.answer_ids("4")
    with pytest.raises(ValueError, match="scale"):
        learner.example(Label("p", PROMPT, "ann", first, points=7), looks(label))


@pytest.mark.parametrize(("kind", "num_seen"), [("drawn", 2), ("edited", 3), ("asked about", 1)])
def test_a_pair_is_learned_in_both_orders_as_if_it_were_labelled_in_either(
    kind: str, num_seen: int, candidates: list[Candidate]
) -> None:
    first, second, third = (one.media for one in candidates)
    prompt, sides = PROMPT, {"first": second, "second": third}
    if kind == "edited":
        prompt = Prompt.of_parts([Part("source", media=first), Part("user", "a red cross")])
    elif kind == "asked about":
        prompt = Prompt.of("what is seen ?", "image_understanding", media=first)
        sides = {"first": None, "first_answer": "a cross", "second_answer": "a circle"}
    label = Label("l", prompt, "ann", preference="second", **sides)  # type: ignore[arg-type]
    learner = learner_of()
    batch = learner.batch([label])
    other = learner.batch([replace(label.swap(), label_id="m")])
    assert torch.equal(batch.input_ids, other.input_ids.flip(0))
    shown, swapped = batch.media["pixel_values"].chunk(2)
    assert torch.equal(torch.cat([swapped, shown]), other.media["pixel_values"])
    assert len(shown.unique(dim=0)) == num_seen


def test_points_between_two_numbers_are_learned_as_both(candidates: list[Candidate]) -> None:
    first = candidates[0].media
    rows = {
        "points": labels_to_table(
            [
                Label("whole", PROMPT, "ann", first, points=4),
                Label("between", PROMPT, "ann", first, points=4.33, weight=0.5),
            ]
        )
    }
    learner = learner_of(weights=LossWeights(score=1.0))
    batch = learner.collate(rows)
    (four,), (five,) = (learner.format.answer_ids(one) for one in ("4", "5"))
    targets = [[one for one in row.tolist() if one != -100] for row in batch.targets]
    assert targets == [[four], [four]]
    assert batch.above is not None
    assert [[one for one in row.tolist() if one != -100] for row in batch.above] == [[], [five]]
    assert batch.share_above is not None
    assert batch.share_above.tolist() == pytest.approx([0, 0.33])
    assert batch.weights is not None
    assert batch.weights.tolist() == [1.0, 0.5]
    assert batch.points.tolist() == pytest.approx([4, 4.33])
    with torch.no_grad():
        logits = learner.module(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, **batch.media
        ).logits
        _, parts = learner.loss(learner.module, batch)
    said = [int((row != -100).nonzero()[0]) for row in batch.targets]
    log_p = torch.stack([logits[row, at].log_softmax(-1) for row, at in enumerate(said)])
    wanted = -(log_p[0, four] + 0.5 * (0.67 * log_p[1, four] + 0.33 * log_p[1, five])) / 2
    assert parts["loss_answer"].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_a_judge_that_writes_its_score_learns_the_decimals(candidates: list[Candidate]) -> None:
    task = replace(DEFAULT.task("image_generation"), reading="text")
    specification = replace(DEFAULT, tasks={**DEFAULT.tasks, "image_generation": task})
    learner = JudgeTask(RECIPE.judge.path, specification, 0.5).build(
        torch.device("cpu"), torch.float32
    )
    label = Label("l", PROMPT, "ann", candidates[0].media, points=4.33)
    example = learner.example(label, looks(label))
    written = learner.format.answer_ids("4.33")
    assert [one for one in example.targets if one != -100] == written
    assert example.ids[-len(written) :] == written
    assert example.above is None


def test_where_no_text_holds_both_numbers_each_label_is_one_of_them(
    candidates: list[Candidate],
) -> None:
    """On a scale that is spelt in digits; over many labels the mean is that of the points."""
    task = replace(DEFAULT.task("image_generation"), scale=tuple(range(0, 101)))
    specification = replace(DEFAULT, tasks={**DEFAULT.tasks, "image_generation": task})
    learner = JudgeTask(RECIPE.judge.path, specification, 0.5).build(
        torch.device("cpu"), torch.float32
    )
    label = Label("l", PROMPT, "ann", candidates[0].media, points=83.25)
    wanted = [learner._wanted(replace(label, label_id=str(n)), task) for n in range(400)]
    known = {number: list(ids) for number, ids in wanted[0].tree.tokens.items()}
    told = [next(one for one, ids in known.items() if ids == each.decides) for each in wanted]
    assert set(told) == {83, 84}
    assert sum(told) / 400 == pytest.approx(83.25, abs=0.09)  # four standard deviations
    assert all(each.above is None for each in wanted)


def test_a_justification_is_learned_in_the_order_it_was_written_in(
    candidates: list[Candidate],
) -> None:
    first, second = (one.media for one in candidates[:2])
    why = "image 2 is better because in image 1 the red circle is missing ."
    reasoned = {name: replace(task, reason="reason :") for name, task in DEFAULT.tasks.items()}
    task = JudgeTask(
        RECIPE.judge.path,
        replace(DEFAULT, tasks=reasoned),
        0.5,
        weights=LossWeights(justification=1.0),
    )
    learner = task.build(torch.device("cpu"), torch.float32)
    label = Label("l", PROMPT, "ann", first, second, "second", justification=why)
    why_tie = "both are equally good ."
    tie = replace(label, label_id="t", preference="tie", justification=why_tie)
    rows = {"pairs": labels_to_table([label, tie])}
    batch = learner.collate(rows)
    told = [[one for one in row.tolist() if one != -100] for row in batch.reasons]
    tokenizer = learner.format.tokenizer
    assert told == [[*learner.format.answer_ids(why), tokenizer.eos_token_id], [], [], []]
    words = tokenizer.decode(batch.input_ids[0], skip_special_tokens=True)
    assert words.strip().endswith(f"image 2 is better than image 1 . reason : {why}")
    # what is predicted is what follows
    at = (batch.reasons[0] != -100).nonzero().flatten()
    assert torch.equal(batch.reasons[0, at], batch.input_ids[0, at + 1])
    assert learner.loss(learner.module, batch)[1]["loss_justification"] > 0


def test_the_options_of_a_row_are_the_judges_own_probabilities(
    judge: TransformersJudge, candidates: list[Candidate]
) -> None:
    """The losses on verdict and score see what a judge would say."""
    learner = JudgeTask(
        RECIPE.judge.path, judge.format.specification, 0.5, weights=LossWeights(score=1.0)
    ).build(torch.device("cpu"), torch.float32)
    first, second = (one.media for one in candidates[:2])
    rows = {
        "pairs": labels_to_table([Label("l", PROMPT, "ann", first, second, "tie")]),
        "points": labels_to_table([Label("p", PROMPT, "ann", first, points=4)]),
    }
    batch = learner.collate(rows)
    learner.module.eval()
    with torch.no_grad():
        logits = learner.module(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            **batch.media,
        ).logits
        verdicts = batch.verdicts.log_probability(logits[:2]).exp()
        score = (batch.scores.log_probability(logits[2:]).exp() * batch.scale).sum()
    sitting = judge.sit(PROMPT, candidates[:2])
    for row, duel in zip(verdicts.tolist(), sitting.duels([(0, 1), (1, 0)]), strict=True):
        assert row == pytest.approx([duel.p_first, duel.p_second, duel.p_tie], abs=1e-4)
    assert score.item() == pytest.approx(sitting.scores()[0].value, abs=1e-4)


def test_pairs_are_learned_in_both_orders(candidates: list[Candidate]) -> None:
    first, second = (one.media for one in candidates[:2])
    assert first is not None
    rows = {
        "pairs": labels_to_table([Label("l", PROMPT, "ann", first, second, "second")]),
        "points": labels_to_table([Label("p", PROMPT, "ann", first, points=4)]),
    }
    losses = []
    for weights in (LossWeights(), LossWeights(2.0, 0.5, 3.0, order=2.0)):
        learner = learner_of(weights=weights)
        batch = learner.collate(rows)
        pixels = batch.media["pixel_values"]
        assert (batch.num_pairs, len(batch.input_ids), len(pixels)) == (1, 3, 5)
        assert torch.equal(pixels[:2], pixels[[3, 2]])
        answers = [[one for one in row.tolist() if one != -100] for row in batch.targets]
        assert answers == [learner.format.answer_ids(one) for one in ("Image 2", "Image 1", "4")]
        losses.append(learner.loss(learner.module, batch))
    (plain, _), (weighted, parts) = losses
    assert parts["order_gap"] > 0
    total = 2 * plain + 2 * parts["order_gap"] + 0.5 * parts["loss_verdict"]
    assert weighted.item() == pytest.approx((total + 3 * parts["loss_score"]).item(), rel=1e-4)


def test_adapters_train_alone_and_are_merged_into_the_saved_model(
    candidates: list[Candidate], tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    learner = learner_of(lora=Lora(rank=2, alpha=4))
    trained = [one for one in learner.module.parameters() if one.requires_grad]
    total = sum(one.numel() for one in learner.module.parameters())
    assert sum(one.numel() for one in trained) < 0.1 * total
    first, second = (one.media for one in candidates[:2])
    rows = {"pairs": labels_to_table([Label("l", PROMPT, "ann", first, second, "second")])}
    optimizer = torch.optim.SGD(trained, lr=0.1)
    losses = []
    for _ in range(3):
        loss, _ = learner.loss(learner.module, learner.collate(rows))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    expected = learner.loss(learner.module, learner.collate(rows))[0].item()
    learner.save(tmp_path)
    task = JudgeTask(str(tmp_path), DEFAULT, 0.5)
    again = task.build(torch.device("cpu"), torch.float32)
    # a plain model, without adapters
    assert set(again.module.state_dict()) == set(learner_of().module.state_dict())
    assert again.loss(again.module, again.collate(rows))[0].item() == pytest.approx(
        expected, abs=1e-4
    )


def test_batches_are_mixed_over_tasks_in_the_shares_asked_for() -> None:
    shares = {"image_generation": 3.0, "video_understanding": 1.0}
    task = JudgeTask(RECIPE.judge.path, DEFAULT, 0.75, task_shares=shares)  # type: ignore[arg-type]
    assert task.shares == pytest.approx(
        {
            "image_generation pairs": 0.5625,
            "image_generation points": 0.1875,
            "video_understanding pairs": 0.1875,
            "video_understanding points": 0.0625,
        }
    )


@pytest.mark.gpu
def test_a_seed_means_the_same_noise_on_a_gpu(generator: DiffusersGenerator) -> None:
    assert generator.device == "cuda"
    assert generator.generate(PROMPT, [7]) == generator.generate(PROMPT, [7])
