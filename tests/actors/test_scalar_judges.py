"""Scalar judges on tiny models in the published layouts: converted, loaded, asked, refused."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.converters import KINDS, ConversionError, convert
from actors.judges.scalar import ScalarJudge, check, is_scalar
from actors.judges.scalar.scorers import UnreadableCaptionError, cleaned
from factory.judging.by_scores import JudgeByScores, RaoKupper, RulesError, save
from factory.judging.recording import RecordingJudge
from factory.judging.scalar import shipped
from factory.judging.specification import SpecificationError
from jobs.rounds.workspace import InputError
from jobs.tools.convert import convert as convert_tool
from jobs.tools.fit_scale import Pairs, fit
from schemas.arrow import labels_to_table
from schemas.rows import Candidate, Label, Media, Part, Prompt
from tests.judges import scalars
from tests.judges.scalars import Case, candidates, picture, prompt
from tests.tiny import scalars as tiny

PICTURES = ["pickscore", "hpsv2", "imagereward", "hpsv3"]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return scalars.build(tmp_path_factory.mktemp("published"), is_short=True)


@pytest.fixture(scope="module")
def judges(
    cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ScalarJudge]:
    place = tmp_path_factory.mktemp("converted")
    return {kind: scalars.converted(kind, case, place) for kind, case in cases.items()}


@pytest.mark.parametrize("kind", shipped())
def test_scores_are_those_of_the_published_code(
    kind: str, cases: dict[str, Case], judges: dict[str, ScalarJudge]
) -> None:
    media = scalars.shown(kind)
    scores = judges[kind].sit(prompt(kind), candidates(media)).scores()
    assert max(scalars.differences(scores, cases[kind].reference(media))) < 1e-5
    values = [score.value for score in scores]
    assert max(values) - min(values) > 1e-3  # what is shown does matter
    other = judges[kind].sit(prompt(kind, "9 green birds"), candidates(media)).scores()
    assert max(abs(a.value - b.value) for a, b in zip(scores, other, strict=True)) > 1e-4


@pytest.mark.parametrize("kind", shipped())
def test_a_score_does_not_depend_on_what_is_scored_with_it(
    kind: str, judges: dict[str, ScalarJudge]
) -> None:
    judge, shown = judges[kind], candidates(scalars.shown(kind))
    together = judge.sit(prompt(kind), shown).scores()
    sitting = judge.sit(prompt(kind), shown)
    with pytest.raises(SpecificationError, match="no place in it for a criterion"):
        sitting.about(prompt(kind, "another"))
    alone = [sitting.scores([at])[0] for at in reversed(range(len(shown)))]
    for one, other in zip(together, reversed(alone), strict=True):
        assert one.candidate_id == other.candidate_id
        assert one.value == pytest.approx(other.value, abs=2e-5)


@pytest.mark.parametrize("kind", ["pickscore", "hpsv3"])
def test_what_cannot_be_judged_is_invalid_with_its_reason(
    kind: str, judges: dict[str, ScalarJudge]
) -> None:
    good = picture(1, 30, 30)
    bad = [
        Candidate("failed", "g@0", 0, error="out of memory"),
        Candidate("none", "g@0", 0),
        Candidate("torn", "g@0", 0, Media(good.data[:40], 30, 30)),
        Candidate("long", "g@0", 0, picture(2, 8, 2008)),
        Candidate("clip", "g@0", 0, scalars.clip(3, 4)),
    ]
    scores = judges[kind].sit(prompt(kind), [*candidates([good]), *bad]).scores()
    assert scores[0].error is None
    said = [str(one.error) for one in scores[1:]]
    assert all(math.isnan(one.value) for one in scores[1:])
    for error, words in zip(
        said,
        ["not generated: out of memory", "no media", "broken media", "251.0 times", "a clip of 4"],
        strict=True,
    ):
        assert words in error


def test_a_number_that_is_none_is_invalid(judges: dict[str, ScalarJudge], monkeypatch) -> None:
    judge = judges["pickscore"]
    monkeypatch.setattr(
        judge.scorer, "outputs", lambda _, seen: torch.tensor([[math.nan]] * len(seen))
    )
    sitting = judge.sit(prompt("pickscore"), candidates([picture(0, 30, 30)] * 2))
    (score, _), (duel,) = sitting.scores(), sitting.duels([(0, 1)])
    assert score.error == duel.error == "the judge's number is not a finite number"
    assert math.isnan(duel.p_first)


def test_a_candidate_that_the_model_does_not_take_fails_alone(
    judges: dict[str, ScalarJudge], monkeypatch
) -> None:
    judge = judges["pickscore"]
    outputs = judge.scorer.outputs

    def fails_on_wide(caption, seen):
        if any(one.shape[2] > 50 for one in seen):
            raise ValueError("too wide")
        return outputs(caption, seen)

    monkeypatch.setattr(judge.scorer, "outputs", fails_on_wide)
    media = [picture(0, 30, 30), picture(1, 30, 60), picture(2, 30, 30)]
    scores = judge.sit(prompt("pickscore"), candidates(media)).scores()
    assert [one.error is None for one in scores] == [True, False, True]
    assert "not taken by the judge: ValueError: too wide" in str(scores[1].error)


def test_tasks_and_parts_that_a_model_was_not_trained_on_are_refused(
    judges: dict[str, ScalarJudge],
) -> None:
    with pytest.raises(SpecificationError, match="VideoReward judges video_generation, and not"):
        judges["videoalign"].sit(prompt("hpsv3"), [])
    with pytest.raises(SpecificationError, match="PickScore judges image_generation, and not"):
        judges["pickscore"].sit(
            Prompt.of("why ?", "image_understanding", media=picture(0, 8, 8)), []
        )
    edit = Prompt.of_parts([Part("source", media=picture(0, 9, 9)), Part("user", "make it red")])
    with pytest.raises(SpecificationError, match="does not take a source picture"):
        judges["hpsv2"].sit(edit, [])


def test_duels_follow_from_scores_by_the_publishers_own_loss(
    judges: dict[str, ScalarJudge],
) -> None:
    media = [picture(at, 40, 40) for at in range(3)]
    matches = [(0, 1), (1, 0), (0, 2)]
    for kind in PICTURES:
        sitting = judges[kind].sit(prompt(kind), candidates(media))
        scores, duels = sitting.scores(), sitting.duels(matches)
        for (first, second), duel in zip(matches, duels, strict=True):
            assert (duel.first_id, duel.second_id) == (str(first), str(second))
            assert duel.p_tie == pytest.approx(0, abs=1e-12)
            assert duel.p_first + duel.p_second == pytest.approx(1)
            assert (duel.p_first > 0.5) == (scores[first].value > scores[second].value)
    # PickScore's `calc_probs`: the softmax of its scores.
    scores = judges["pickscore"].sit(prompt("pickscore"), candidates(media)).scores()
    (duel,) = judges["pickscore"].sit(prompt("pickscore"), candidates(media)).duels([(0, 1)])
    wanted = torch.softmax(torch.tensor([scores[0].value, scores[1].value]).double(), 0)
    assert duel.p_first == pytest.approx(float(wanted[0]))
    # HPSv2's slope is the exponential of the logit_scale of its weights.
    assert judges["hpsv2"].specification.slope == pytest.approx(math.exp(4.6052))


def test_without_a_scale_duels_are_refused_until_one_is_fitted(
    judges: dict[str, ScalarJudge],
) -> None:
    judge = judges["videoalign"]
    sitting = judge.sit(prompt("videoalign"), candidates(scalars.shown("videoalign")))
    with pytest.raises(RulesError, match=r"nobody fitted a scale\. Fit it .*jobs\.fit_scale"):
        sitting.duels([(0, 1)])
    directory = Path(judge.path)
    save({"video_generation": RaoKupper(2.0, 3.0)}, directory)
    try:
        fitted = ScalarJudge(judge.path, "v@0")
    finally:
        (directory / "verdict_rules.json").unlink()
    (duel,) = fitted.sit(prompt("videoalign"), sitting.candidates).duels([(0, 1)])
    difference = sitting.scores()[0].value - sitting.scores()[1].value
    assert duel.p_first == pytest.approx(1 / (1 + 3 * math.exp(-2 * difference)))
    assert duel.p_tie > 0


def test_replies_are_kept_and_taken_over(judges: dict[str, ScalarJudge], monkeypatch) -> None:
    judge = judges["hpsv3"]
    shown = candidates([picture(at, 40, 40) for at in range(2)])
    recorder = judge.recorder("weights of the judge")
    recording = JudgeByScores(RecordingJudge(judge, recorder), judge.rules)
    with recorder.open() as ledger:
        scores = recording.sit(prompt("hpsv3"), shown).scores()
    assert [reply.numbers for reply in ledger.replies] == [(s.value, s.spread) for s in scores]
    assert all(reply.key and reply.num_read and reply.request for reply in ledger.replies)
    monkeypatch.setattr(judge.scorer, "outputs", None)  # nobody may be asked
    with recorder.open(ledger.replies) as again:
        sitting = recording.sit(prompt("hpsv3"), shown)
        taken, (duel,) = sitting.scores(), sitting.duels([(0, 1)])
    assert (again.num_asked, taken) == (0, scores)
    assert duel.error is None
    changed = replace(judge.specification, template=judge.specification.template + "!")
    monkeypatch.setattr(judge, "specification", changed)
    other = judge.recorder("weights of the judge").asking(prompt("hpsv3"))
    assert other != recorder.asking(prompt("hpsv3")) or other.score != {}


def test_dimensions_are_in_the_breakdown_and_sum_up(judges: dict[str, ScalarJudge]) -> None:
    scores = (
        judges["videoalign"]
        .sit(prompt("videoalign"), candidates(scalars.shown("videoalign")))
        .scores()
    )
    for score in scores:
        assert list(score.breakdown) == ["vq", "mq", "ta", "overall"]
        assert sum(score.breakdown[one] for one in ("vq", "mq", "ta")) == pytest.approx(score.value)
        assert score.reply is not None
        assert score.reply.breakdown == score.breakdown


def test_a_clip_model_that_nobody_calls_a_reward_is_refused(cases: dict[str, Case]) -> None:
    path = str(cases["pickscore"].source)  # has no scalar.json
    with pytest.raises(SpecificationError, match="nothing says which reward model this is"):
        ScalarJudge(path, "clip@0")
    with pytest.raises(SpecificationError, match="nothing says which reward model this is"):
        check(path)
    assert not is_scalar(path)
    assert check(path, "pickscore").name == "PickScore"
    judge = ScalarJudge(path, "clip@0", specification="pickscore")
    assert judge.sit(prompt("pickscore"), candidates([picture(0, 9, 9)])).scores()[0].error is None
    with pytest.raises(SpecificationError, match="no scalar specification: neither one of hpsv2"):
        check(path, "picscore")
    with pytest.raises(SpecificationError, match="is of model type 'clip'"):
        check(path, "hpsv3")


@pytest.mark.parametrize("kind", ["hpsv3", "imagereward", "hpsv2"])
def test_weights_that_are_not_all_those_of_the_model_are_refused(
    kind: str, judges: dict[str, ScalarJudge], tmp_path: Path
) -> None:
    damaged = shutil.copytree(judges[kind].path, tmp_path / "damaged")
    assert is_scalar(str(damaged))
    check(str(damaged))
    tensors = load_file(damaged / "model.safetensors")
    lost = sorted(tensors)[-1]
    save_file(
        {name: one for name, one in tensors.items() if name != lost}, damaged / "model.safetensors"
    )
    for refused in (lambda: check(str(damaged)), lambda: ScalarJudge(str(damaged), "d@0")):
        with pytest.raises(SpecificationError, match=r"1 tensor\(s\) are missing"):
            refused()
    save_file({**tensors, "extra": torch.ones(2)}, damaged / "model.safetensors")
    for refused in (lambda: check(str(damaged)), lambda: ScalarJudge(str(damaged), "d@0")):
        with pytest.raises(SpecificationError, match=r"would be dropped \(extra\)"):
            refused()


def test_a_caption_with_the_token_that_is_read_is_invalid(judges: dict[str, ScalarJudge]) -> None:
    for words in ("a <|Reward|> cat", "a <|image_pad|> cat"):
        (score,) = (
            judges["hpsv3"].sit(prompt("hpsv3", words), candidates([picture(0, 9, 9)])).scores()
        )
        assert "stands 2 times in what the model is to read" in str(score.error)
        assert score.reply is not None
        assert not score.reply.is_attempt


def test_captions_are_repaired_as_published_or_said_to_be_unread(monkeypatch) -> None:
    assert cleaned(" a &amp;amp;lt; b\n") == "a < b"
    assert cleaned("1 < 2 &amp; 3") == "1 < 2 & 3"
    monkeypatch.setitem(__import__("sys").modules, "ftfy", None)
    with pytest.raises(UnreadableCaptionError, match=r"pip install .*scalar") as caught:
        cleaned("a café")
    assert caught.value.is_attempt


def test_precision_keeps_the_head_in_float32(judges: dict[str, ScalarJudge]) -> None:
    judge = ScalarJudge(judges["hpsv3"].path, "j@0", "bf16")
    assert judge.model.rm_head[0].weight.dtype == torch.float32
    assert judge.model.model.visual.patch_embed.proj.weight.dtype == torch.bfloat16
    shown = candidates([picture(0, 40, 40)])
    half = judge.sit(prompt("hpsv3"), shown).scores()[0].value
    full = judges["hpsv3"].sit(prompt("hpsv3"), shown).scores()[0].value
    assert half == pytest.approx(full, abs=0.3)
    assert half != full


# ------------------------------------------------------------------------------------ converters


def test_adapters_on_a_base_give_what_the_whole_state_gives(
    cases: dict[str, Case], judges: dict[str, ScalarJudge], tmp_path: Path
) -> None:
    case = cases["videoalign"]
    state = torch.load(case.source / "checkpoint-7" / "model.pth", weights_only=True)
    base = shutil.copytree(case.base, tmp_path / "base")
    source = tmp_path / "adapters"
    (source / "checkpoint-9").mkdir(parents=True)
    shutil.copy(case.source / "model_config.json", source)
    bare = "base_model.model."
    is_base = [name for name in state if ".base_layer." in name]
    weights = {one.replace(".base_layer.", ".").removeprefix(bare): state[one] for one in is_base}
    save_file(weights, base / "model.safetensors")
    lora = {n.replace(".default.", "."): one for n, one in state.items() if ".lora_" in n}
    save_file(lora, source / "checkpoint-9" / "adapter_model.safetensors")
    rest = {n: one for n, one in state.items() if n not in is_base and ".lora_" not in n}
    torch.save(rest, source / "checkpoint-9" / "non_lora_state_dict.pth")
    out = tmp_path / "out"
    out.mkdir()
    convert("videoalign", source, base, out)
    ours = load_file(out / "model.safetensors")
    wanted = load_file(Path(judges["videoalign"].path) / "model.safetensors")
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)


def test_a_conversion_leaves_no_tensor_unexplained_and_no_folder_behind(
    cases: dict[str, Case], tmp_path: Path
) -> None:
    case = cases["imagereward"]
    state = torch.load(case.source, weights_only=True)
    out = tmp_path / "out"
    for changed, words in (
        ({**state, "blip.more.weight": torch.ones(2)}, "have no place in the model: blip.more.we"),
        (
            {n: one for n, one in state.items() if n != "mlp.layers.7.bias"},
            "model are in no tensor",
        ),
        ({**state, "mlp.layers.7.bias": torch.ones(3)}, "have another shape than the model's"),
    ):
        torch.save(changed, tmp_path / "changed.pt")
        with pytest.raises(ConversionError, match=words):
            convert_tool("imagereward", str(tmp_path / "changed.pt"), out, str(case.base))
        assert [one.name for one in tmp_path.iterdir()] == ["changed.pt"]
    convert_tool("imagereward", str(case.source), out, str(case.base))
    told = json.loads((out / "conversion.json").read_text())
    assert set(told["sha256"]) == {"ImageReward.pt"}
    assert "blip.text_proj.bias" in told["dropped"]
    with pytest.raises(InputError, match="is there already"):
        convert_tool("imagereward", str(case.source), out, str(case.base))
    with pytest.raises(InputError, match="no layout that is known here: hpsv2, hpsv3"):
        convert_tool("aesthetic", str(case.source), tmp_path / "other", str(case.base))


class Evil:
    """What would run where a pickle is loaded without care."""

    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_pickle_that_asks_for_more_than_tensors_is_refused(
    cases: dict[str, Case], tmp_path: Path, capsys
) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}, "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ConversionError, match="cannot be read as a pickle of tensors alone"):
        KINDS["hpsv2"].plan(tmp_path / "evil.pt", cases["hpsv2"].base)
    assert "never" not in capsys.readouterr().out
    (tmp_path / "torn.pt").write_bytes(cases["hpsv2"].source.read_bytes()[:2000])
    with pytest.raises(ConversionError, match="cannot be read as a pickle"):
        KINDS["hpsv2"].plan(tmp_path / "torn.pt", cases["hpsv2"].base)


def test_a_checkpoint_of_another_training_or_base_is_refused(
    cases: dict[str, Case], tmp_path: Path
) -> None:
    case = cases["videoalign"]
    source = shutil.copytree(case.source, tmp_path / "source")
    told = json.loads((source / "model_config.json").read_text())
    told["data_config"]["prompt_template_type"] = "simple"
    (source / "model_config.json").write_text(json.dumps(told))
    with pytest.raises(ConversionError, match="prompt_template_type is 'simple'"):
        KINDS["videoalign"].plan(source, case.base)
    (tmp_path / "out").mkdir()
    more = shutil.copytree(case.base, tmp_path / "base")
    config = json.loads((more / "tokenizer_config.json").read_text())
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(more)
    tokenizer.add_tokens(["<one more>"], special_tokens=True)
    tokenizer.save_pretrained(more)
    assert config
    with pytest.raises(ConversionError, match="it was trained on another base"):
        convert("videoalign", case.source, more, tmp_path / "out")


def test_llava_qwen_weights_become_the_stock_class(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration

    source, base = tiny.save_llava_qwen(tmp_path / "llava")
    with pytest.raises(ConversionError, match="do not tell the number of heads"):
        KINDS["llava_qwen"].plan(source, source)
    out = tmp_path / "out"
    convert_tool("llava_qwen", str(source), out, str(base))
    model, info = LlavaOnevisionForConditionalGeneration.from_pretrained(
        out, use_safetensors=True, output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    theirs = load_file(source / "model.safetensors")
    assert torch.equal(model.model.image_newline, theirs["model.image_newline"])
    assert torch.equal(
        model.model.multi_modal_projector.linear_2.weight, theirs["model.mm_projector.2.weight"]
    )
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert model.config.image_token_id == tokenizer.convert_tokens_to_ids("<image>")
    assert model.config.image_grid_pinpoints == [[28, 28], [28, 56], [56, 28], [56, 56]]
    turn = tokenizer.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Rate it"}]}],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert turn == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<image>\nRate it<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_scale_is_fitted_and_used_from_then_on(
    judges: dict[str, ScalarJudge], tmp_path: Path
) -> None:
    judge = judges["pickscore"]
    place = shutil.copytree(judge.path, tmp_path / "judge")
    labels = []
    for at in range(24):
        caption = prompt("pickscore", f"thing {at}")
        sides = [picture(2 * at + side, 24, 24) for side in range(2)]
        first, second = judge.sit(caption, candidates(sides)).scores()
        said = "first" if first.value > second.value else "second"
        wanted = "tie" if at % 6 == 0 else said
        labels.append(Label(f"{at}", caption, "people", *sides, wanted, split="heldout"))
    pq.write_table(labels_to_table(labels), tmp_path / "labels.parquet")
    found = fit(place, str(tmp_path / "labels.parquet"), "heldout")["image_generation"]
    assert (found.num_pairs, found.num_ties, found.accuracy.value) == (24, 4, 1.0)
    fitted = ScalarJudge(str(place), "j@0")
    assert fitted.rules == {"image_generation": found.rule}
    (duel,) = fitted.sit(caption, candidates(sides)).duels([(0, 1)])
    assert duel.p_tie > 0
    with pytest.raises(InputError, match="no pair of split 'train' for image_generation"):
        fit(place, str(tmp_path / "labels.parquet"), "train")


def test_pairs_are_scored_for_the_fit_and_unreadable_ones_counted(
    judges: dict[str, ScalarJudge],
) -> None:
    good, torn = picture(0, 30, 30), Media(picture(1, 30, 30).data[:40], 30, 30)
    pairs = Pairs()
    for second in (picture(2, 30, 30), torn):
        label = Label("l", prompt("pickscore"), "people", good, second, "first")
        pairs.add(judges["pickscore"], label)
    pairs.add(judges["pickscore"], Label("l", prompt("pickscore"), "people", good, points=3.0))
    assert (len(pairs.differences), pairs.num_unreadable) == (1, 1)
