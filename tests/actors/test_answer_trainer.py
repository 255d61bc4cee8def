"""DPO of answers, with the sandbox's base model as the policy, against plain loops."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from actors.answering import QuestionFormat, SeededSampling
from actors.generators import AnswerGenerator, load_generator
from actors.trainers.answers import AnswerDPO
from actors.trainers.batches import Batches, Shard, in_order
from factory.alignment.losses import Objective
from factory.candidates import is_unfinished
from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from factory.prompt_parts import PartsError
from schemas.arrow import pairs_to_table
from schemas.recipe import Answering, GeneratorSpec, Lora, Training
from schemas.rows import Candidate, Media, Pair, Part, Prompt

CPU = torch.device("cpu")
BASE = str(Path(__file__).parents[2] / "factory/sandbox/weights/base")
ASKING = Answering(question="image : {media} question : {prompt} answer :", num_frames=3)
QUESTIONS = ("what colour is it ?", "which one of the two is larger ?")


def pixels(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)


def pair(number: int, media: Media | None = None, **sides: str | None) -> Pair:
    """Short answers are preferred to long ones."""
    if media is None:
        media = Media(encode_png(pixels(number)), 32, 32)
    prompt = Prompt.of(QUESTIONS[number % 2], "image_understanding", media=media)
    words = {"chosen": "red", "rejected": "a small blue circle on a yellow background", **sides}
    return Pair(
        f"pair-{number:02d}",
        prompt,
        Candidate(f"c{number}", "answerer@0", 1, answer=words["chosen"]),
        Candidate(f"r{number}", "answerer@0", 2, answer=words["rejected"]),
        "judge@1",
        *(1.0, 0.2, 1.0, 0.8, False, "kept"),
    )


def pairs(num: int = 8) -> pa.Table:
    return pairs_to_table(pair(number) for number in range(num))


def shards(table: pa.Table) -> dict[str, Shard]:
    return {"pairs": Shard([table], "pair_id")}


def build(table: pa.Table, **changes):
    """A learner that has asked its untouched model about every row, three at a time."""
    task = AnswerDPO(**{"policy": BASE, "objective": Objective(0.1), "asking": ASKING, **changes})
    learner = task.build(CPU, torch.float32)
    learner.module.train()
    learner.prepare(learner.module, in_order(shards(table), 3))
    return learner


def perturb(module: torch.nn.Module) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for one in module.parameters():
            if one.requires_grad:
                one.add_(0.02 * torch.randn_like(one))


def plain_log_probability(model, processor, row: dict, side: str) -> torch.Tensor:
    """Of one answer, by the stock processor and a text of its own: no padding, no batch."""
    question = f"image : <image> question : {row['prompt']} answer :"
    picture = Image.fromarray(pixels(int(row["pair_id"][-2:])))
    asked = processor(images=[picture], text=[question], return_tensors="pt")
    answer = processor.tokenizer(row[side]["answer"] + " </s>", add_special_tokens=False).input_ids
    ids = torch.cat([asked["input_ids"], torch.tensor([answer])], dim=1)
    logits = model(input_ids=ids, pixel_values=asked["pixel_values"]).logits[0]
    log_p = logits.log_softmax(-1)
    start = asked["input_ids"].shape[1]
    return sum(log_p[start + at - 1, token] for at, token in enumerate(answer))


def load(directory: str | Path):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(directory, use_safetensors=True)
    return model, AutoProcessor.from_pretrained(directory)


def test_before_the_first_step_nothing_is_preferred():
    table = pairs(4)
    learner = build(table)
    loss, scalars = learner.loss(learner.module, learner.collate({"pairs": table}))
    assert loss.item() == pytest.approx(math.log(2), abs=1e-5)
    for name in ("margin", "kl", "shift_chosen", "shift_rejected"):
        assert scalars[name].item() == pytest.approx(0.0, abs=1e-4)
    loss.backward()
    assert any(one.grad.abs().max() > 0 for one in learner.module.parameters())


def test_the_divergence_is_told_at_the_temperature_of_the_candidates():
    """One answer of one token more: what its k3 is at the temperature, from the stock model."""
    table = pairs(2)
    plain = build(table)
    warm = build(table, asking=ASKING.model_copy(update={"temperature": 0.5}))
    perturb(plain.module)
    perturb(warm.module)
    (loss, told), (warm_loss, warm_told) = (
        one.loss(one.module, one.collate({"pairs": table})) for one in (plain, warm)
    )
    assert warm_loss.item() == pytest.approx(loss.item(), abs=1e-6)  # of the loss it is no part
    policy, processor = warm.module, load(BASE)[1]
    reference = load(BASE)[0]
    total = 0.0
    for row in table.to_pylist():
        for side in ("chosen", "rejected"):
            ours, theirs = (
                tokens_at(one, processor, row, side, 0.5) for one in (policy, reference)
            )
            gain = ours - theirs
            total += (gain.expm1() - gain).sum().item()
    assert warm_told["kl"].item() == pytest.approx(total / 4, rel=1e-3)
    assert told["kl"].item() != pytest.approx(total / 4, rel=1e-2)


@torch.no_grad()
def tokens_at(model, processor, row: dict, side: str, temperature: float) -> torch.Tensor:
    """Log-probability of each token of an answer at a temperature, without padding or batch."""
    question = f"image : <image> question : {row['prompt']} answer :"
    picture = Image.fromarray(pixels(int(row["pair_id"][-2:])))
    asked = processor(images=[picture], text=[question], return_tensors="pt")
    answer = processor.tokenizer(row[side]["answer"] + " </s>", add_special_tokens=False).input_ids
    ids = torch.cat([asked["input_ids"], torch.tensor([answer])], dim=1)
    logits = model(input_ids=ids, pixel_values=asked["pixel_values"]).logits[0]
    log_p = (logits / temperature).log_softmax(-1)
    start = asked["input_ids"].shape[1]
    return torch.stack([log_p[start + at - 1, token] for at, token in enumerate(answer)])


def test_log_probabilities_are_those_of_answer_tokens_one_by_one():
    table = pairs(3)
    learner = build(table)
    perturb(learner.module)
    loss, scalars = learner.loss(learner.module, learner.collate({"pairs": table}))
    reference, processor = load(BASE)
    sums = {
        (who, side): torch.stack(
            [plain_log_probability(model, processor, row, side) for row in table.to_pylist()]
        )
        for who, model in (("policy", learner.module), ("reference", reference))
        for side in ("chosen", "rejected")
    }
    gain = {side: sums["policy", side] - sums["reference", side] for side in ("chosen", "rejected")}
    margin = 0.1 * (gain["chosen"] - gain["rejected"])
    torch.testing.assert_close(loss, -margin.sigmoid().log().mean(), rtol=1e-4, atol=1e-5)
    assert scalars["margin"].item() == pytest.approx(margin.mean().item(), rel=1e-3)
    assert scalars["shift_rejected"].item() == pytest.approx(-gain["rejected"].mean().item(), 1e-3)
    assert scalars["kl"] > 0


@pytest.mark.parametrize("variant", ["sigmoid", "ipo", "length_normalised"])
def test_training_is_a_plain_loop_and_learns_the_preference(variant):
    """Five steps, ours and those of a loop written out here, end in the same weights.

    Plain descent: Adam would blow up the rounding of gradients that are zero but for it.
    """
    table = pairs(8)
    objective = {
        "sigmoid": Objective(0.1, label_smoothing=0.05, sft_weight=0.02),
        "ipo": Objective(0.1, "ipo"),
        "length_normalised": Objective(2.0, is_length_normalised=True),
    }[variant]
    learner = build(table, objective=objective)
    plain, processor = load(BASE)
    plain.train()
    rows = table.to_pylist()
    frozen = {
        (row["pair_id"], side): plain_log_probability(plain, processor, row, side).item()
        for row in rows
        for side in ("chosen", "rejected")
    }
    batches = Batches(shards(table), {"pairs": 1.0}, 4, 0)
    start = [one.detach().clone() for one in plain.parameters()]
    rate = 0.003 if variant == "ipo" else 0.01
    ours = torch.optim.SGD(learner.module.parameters(), lr=rate)
    theirs = torch.optim.SGD(plain.parameters(), lr=rate)
    for step in range(5):
        loss, _ = learner.loss(learner.module, learner.collate(batches[step]))
        ours.zero_grad()
        loss.backward()
        ours.step()

        losses = []
        for row in batches[step]["pairs"].to_pylist():
            gain, nll = {}, {}
            for side in ("chosen", "rejected"):
                logp = plain_log_probability(plain, processor, row, side)
                num_tokens = len(row[side]["answer"].split()) + 1
                gain[side] = logp - frozen[row["pair_id"], side]
                nll[side] = -logp / num_tokens
                if variant == "length_normalised":
                    gain[side] = gain[side] / num_tokens
            margin = objective.beta * (gain["chosen"] - gain["rejected"])
            if variant == "ipo":
                losses.append((margin - 0.5) ** 2)
            elif variant == "sigmoid":
                bce = -0.95 * margin.sigmoid().log() - 0.05 * (-margin).sigmoid().log()
                losses.append(bce + 0.02 * nll["chosen"])
            else:
                losses.append(-margin.sigmoid().log())
        expected = torch.stack(losses).mean()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-5)
        theirs.zero_grad()
        expected.backward()
        theirs.step()
    sides = zip(learner.module.parameters(), plain.parameters(), start, strict=True)
    gaps = [((one - other).abs().max(), (other - was).abs().max()) for one, other, was in sides]
    apart, moved = (max(values).item() for values in zip(*gaps, strict=True))
    assert moved > 1e-3
    assert apart < 0.005 * moved
    with torch.no_grad():
        _, scalars = learner.loss(learner.module, learner.collate({"pairs": table}))
    assert scalars["accuracy"] == 1.0  # a half before
    assert scalars["margin"] > 0


def test_a_clip_is_shown_as_frames_and_pairs_weigh_in():
    frames = np.stack([pixels(number) for number in range(6)])
    clip = Media(encode_clip(frames, 6.0), 32, 32, 6, 6.0)
    table = pairs_to_table([pair(0, clip), pair(1, clip)])
    learner = build(table)
    batch = learner.collate({"pairs": table})
    (inputs,) = batch.inputs
    assert inputs["pixel_values"].shape == (4 * 3, 3, 32, 32)
    tokens = (inputs["input_ids"] == learner.format.processor.image_token_id).sum(dim=1)
    assert tokens.tolist() == [3 * 16] * 4
    assert torch.isfinite(learner.loss(learner.module, batch)[0])


def chat_processor():
    _, processor = load(BASE)
    processor.chat_template = (
        "{{ bos_token }}{% for message in messages %}"
        "{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }} {% endif %}"
        "{% endfor %}{% endfor %}{% if add_generation_prompt %} answer : {% endif %}"
    )
    return processor


def picture(at: int) -> Media:
    return Media(encode_png(pixels(at)), 32, 32)


def asked(text: str) -> Prompt:
    return Prompt.of(text, "image_understanding", media=picture(0))


def dialogue() -> Prompt:
    """A question with two pictures in two turns."""
    return Prompt.of_parts(
        [
            Part("question", media=picture(0)),
            Part("user", "what colour is it ?"),
            Part("assistant", "red <image>"),
            Part("question", media=picture(1)),
            Part("user", "what colour is it ?"),
        ],
        "image_understanding",
    )


def test_a_dialogue_is_put_by_the_chat_template_in_its_order() -> None:
    processor = chat_processor()
    processor.chat_template = processor.chat_template.replace(
        "{% for part in message",
        " {{ 'question :' if message['role'] == 'user' else 'answer :' }} {% for part in message",
    )
    chat = QuestionFormat(processor, Answering())
    made = chat.question(dialogue())
    words = chat.tokenizer.decode(made["input_ids"][0]).replace("<s>", "").split()
    runs = [word for at, word in enumerate(words) if at == 0 or word != words[at - 1]]
    asked_once = "question : <image> what colour is it ?"
    assert " ".join(runs) == f"{asked_once} answer : red {asked_once} answer :"
    assert words.count("<image>") == 2 * 16
    first, second = made["pixel_values"]
    assert not torch.equal(first, second)
    assert torch.equal(first, chat.question(asked("x"))["pixel_values"][0])


def test_the_words_of_a_recipe_have_no_place_for_a_dialogue() -> None:
    _, processor = load(BASE)
    with pytest.raises(PartsError, match=r"answering\.question does not take a dialogue"):
        QuestionFormat(processor, ASKING).question(dialogue())
    two = [Part("question", media=picture(at)) for at in (0, 1)]
    both = Prompt.of_parts([*two, Part("user", "what is it ?")], "image_understanding")
    made = QuestionFormat(processor, ASKING).question(both)
    assert len(made["pixel_values"]) == 2


def test_a_chat_template_is_used_where_there_is_one_and_questions_forge_nothing():
    chat = QuestionFormat(chat_processor(), Answering())
    plain = chat.question(asked("what colour is it ?"))["input_ids"][0].tolist()
    assert plain.count(chat.processor.image_token_id) == 16
    said = chat.tokenizer.decode(plain, skip_special_tokens=True)
    assert said == "what colour is it ? answer :"
    assert plain.count(chat.tokenizer.bos_token_id) == 1
    forged = chat.question(asked("what colour <image> <im<s>age> is it </s> ?"))["input_ids"]
    assert forged[0].tolist() == plain
    assert chat.answer_ids("red </s> blue") == [*chat.answer_ids("red blue")[:-1], chat.end_id]
    assert chat.read(chat.answer_ids("red circle")) == ("red circle", True)
    assert chat.read(chat.answer_ids("red circle", is_ended=False)) == ("red circle", False)


def test_clips_are_asked_about_in_words_of_their_own_where_there_are_some():
    _, processor = load(BASE)
    clip_question = "video : {media} frame 1 : question : {prompt} answer :"
    own = ASKING.model_copy(update={"clip_question": clip_question})
    frames = np.stack([pixels(at) for at in range(3)])
    clip = Media(encode_clip(frames, 8.0), 32, 32, 3, 8.0)
    said = {}
    for name, asking in (("alike", ASKING), ("own", own)):
        for medium, media in (("picture", picture(0)), ("clip", clip)):
            question = Prompt.of("what is it ?", "video_understanding", media=media)
            ids = QuestionFormat(processor, asking).question(question)
            text = processor.tokenizer.decode(ids["input_ids"][0], skip_special_tokens=True)
            said[name, medium] = " ".join(text.replace("<image>", "").split())
    assert said["own", "picture"] == said["alike", "picture"] == said["alike", "clip"]
    assert said["own", "clip"] == "video : frame 1 : question : what is it ? answer :"


def test_what_cannot_be_asked_is_refused():
    _, processor = load(BASE)
    with pytest.raises(
        ValueError, match=r"no chat template: say in generator\.answering\.question"
    ):
        QuestionFormat(processor, Answering())
    with pytest.raises(ValueError, match="'red circle' is 2 tokens"):
        QuestionFormat(processor, ASKING.model_copy(update={"answer_end": "red circle"}))
    for one, fault in (
        (pair(0, rejected=None), "pair-00 has a side without an answer"),
        (pair(0, Media(b"no", 1, 1)), "pair pair-00: cannot read a picture"),
    ):
        with pytest.raises(ValueError, match=fault):
            build(pairs_to_table([one]))
    table = pairs(1)
    without = table.set_column(
        table.schema.get_field_index("prompt_media"),
        "prompt_media",
        pa.nulls(1, table.schema.field("prompt_media").type),
    )
    with pytest.raises(ValueError, match="pair-00: a question about no picture"):
        build(without)


def test_adapters_are_saved_within_the_model_and_beside_it(tmp_path):
    """Both are loaded without our code, and say the same."""
    from peft import PeftModel

    table = pairs(2)
    learner = build(table, lora=Lora(rank=2, alpha=8.0), gradient_checkpointing=True)
    named = [name for name, one in learner.module.named_parameters() if one.requires_grad]
    assert named
    assert all("lora_" in name and "vision" not in name for name in named)
    perturb(learner.module)
    loss, scalars = learner.loss(learner.module, learner.collate({"pairs": table}))
    assert scalars["kl"] > 0
    loss.backward()
    grads = {name: one.grad for name, one in learner.module.named_parameters()}
    assert all((grad is not None) == (name in named) for name, grad in grads.items())
    row = table.to_pylist()[0]
    with torch.no_grad():
        trained = plain_log_probability(
            learner.module, learner.format.processor, row, "chosen"
        ).item()
        learner.save(tmp_path)
        merged, processor = load(tmp_path)
        on_top = PeftModel.from_pretrained(load(BASE)[0], tmp_path / "lora")
        for model in (merged, on_top):
            found = plain_log_probability(model, processor, row, "chosen").item()
            assert found == pytest.approx(trained, abs=1e-4)
        untouched = plain_log_probability(load(BASE)[0], processor, row, "chosen").item()
    assert abs(untouched - trained) > 0.01
    assert not list(tmp_path.rglob("*.bin"))


# ------------------------------------------------------------------------------- another family


QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def qwen(tmp_path, monkeypatch) -> str:
    """A Qwen2.5-VL with random weights: pictures of any size, positions in space.

    Its processor is the stock one but for the video half, which needs torchvision.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        AutoProcessor,
        PreTrainedTokenizerFast,
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
    )
    from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.processing_utils import ProcessorMixin

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={one: at for at, one in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", *special]})
    start, end, image, video = map(tokenizer.convert_tokens_to_ids, special)
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            vision_config={
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": 32,
                "patch_size": 8,
                "window_size": 32,
                "fullatt_block_indexes": [0],
            },
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "initializer_range": 0.2,  # wide enough that an answer depends on what was shown
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "mrope_section": [2, 3, 3],
                },
            },
            image_token_id=image,
            video_token_id=video,
            vision_start_token_id=start,
            vision_end_token_id=end,
        )
    ).save_pretrained(tmp_path / "qwen")

    class Pictures(Qwen2_5_VLProcessor):
        def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **_):
            self.image_token, self.image_token_id = "<|image_pad|>", image
            self.video_token, self.video_token_id = "<|video_pad|>", video
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    processor = Pictures(Qwen2VLImageProcessorPil(patch_size=8), tokenizer, QWEN_TEMPLATE)
    processor.image_processor.size = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    monkeypatch.setattr(AutoProcessor, "from_pretrained", lambda _, **given: processor)
    return str(tmp_path / "qwen")


def test_pictures_of_any_size_go_into_one_batch(qwen):
    """Each row alone, without padding, has the log-probabilities that it has in the batch."""
    sized = [
        Media(encode_png(np.resize(pixels(at), (height, 32, 3))), 32, height)
        for at, height in enumerate((32, 64))
    ]
    table = pairs_to_table(pair(at, one) for at, one in enumerate(sized))
    learner = build(table, policy=qwen, asking=Answering())
    before = build(table.slice(0, 1), policy=qwen, asking=Answering())
    perturb(learner.module)
    batch = learner.collate({"pairs": table})
    (inputs,) = batch.inputs
    assert inputs["image_grid_thw"].tolist() == 2 * [[1, 4, 4], [1, 8, 4]]
    asked = (batch.starts, batch.targets)
    together = learner._log_probabilities(learner.module, [inputs], *asked)[0].sum(dim=1)
    alone = torch.stack(
        [
            learner._log_probabilities(learner.module, *learner._tensors([row]))[0].sum(dim=1)
            for row in table.to_pylist()
        ],
        dim=1,
    )  # 2 sides, B
    torch.testing.assert_close(together, alone.flatten(), rtol=1e-4, atol=1e-4)
    untouched = before.collate({"pairs": table.slice(0, 1)}).ref_logp.sum(dim=1)
    ref_logp = batch.ref_logp.sum(dim=1)[[0, 2]]
    torch.testing.assert_close(ref_logp, untouched, rtol=1e-4, atol=1e-4)
    assert (together[[0, 2]] - untouched).abs().min() > 0.01

    # The first answer token is predicted from its own picture.
    swapped = {**inputs, "pixel_values": inputs["pixel_values"].flip(0)}
    other = learner._log_probabilities(learner.module, [swapped], *asked)[0].sum(dim=1)
    assert (other - together).abs().max() > 0.01


# ------------------------------------------------------------------------------------- sampling


def test_sampled_answers_depend_on_their_seed_alone():
    spec = GeneratorSpec(
        path=BASE, answering=ASKING.model_copy(update={"answer_end": ".", "max_new_tokens": 12})
    )
    generator = load_generator(BASE, "answerer@0", spec)
    assert isinstance(generator, AnswerGenerator)
    prompt = pair(0).prompt
    found = generator.generate(prompt, [11, 12, 13, 14])
    assert found == generator.generate(prompt, [11, 12, 13, 14])
    alone = generator.generate(prompt, [13])
    assert (alone[0].answer, alone[0].candidate_id) == (found[2].answer, found[2].candidate_id)
    assert len({one.candidate_id for one in found}) == 4
    for one in found:
        assert one.media is None
        assert (one.error is None) == (bool(one.answer) and not is_unfinished(one))
        assert one.answer is None or "." not in one.answer
    short = spec.model_copy(
        update={"answering": spec.answering.model_copy(update={"max_new_tokens": 1})}
    )
    cut = load_generator(BASE, "answerer@0", short).generate(prompt, [11])[0]
    assert cut.error == "the answer does not end within 1 tokens"
    assert cut.answer is None or is_unfinished(cut)
    nothing = generator.generate(Prompt.of("what is it ?", "image_understanding"), [1, 2])
    assert all("no picture or clip" in one.error for one in nothing)


def test_draws_follow_the_models_probabilities_within_top_p():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    p = (logits / 0.7).softmax(-1)[0]
    for top_p, kept in ((1.0, 4), (0.9, 2)):
        num = 4000
        sampling = SeededSampling(range(num), temperature=0.7, top_p=top_p)
        drawn = sampling(torch.zeros(num, 1), logits.expand(num, 4)).argmax(-1)
        found = torch.bincount(drawn, minlength=4) / num
        wanted = torch.where(torch.arange(4) < kept, p, torch.zeros(4))
        wanted = wanted / wanted.sum()
        sd = (wanted * (1 - wanted) / num).sqrt()
        assert (found - wanted).abs().le(4 * sd + 1e-9).all()


@pytest.mark.slow
def test_alignment_end_to_end(local_ray, tmp_path):
    import ray.data

    from actors.trainers.engine import fit

    training = Training(num_steps=8, batch_size=4, learning_rate=1e-3, log_every=4)
    result = fit(
        AnswerDPO(BASE, Objective(0.1), ASKING, lora=Lora(rank=4)),
        training,
        {"pairs": ray.data.from_arrow(pairs())},
        output=tmp_path / "aligned",
        run_name="answerer@1",
        storage_path=tmp_path / "storage",
        seed=0,
    )
    last = result.points[-1]
    assert last["accuracy"] > 0.9
    assert last["margin"] > 0
    assert last["kl"] > 0
    model, processor = load(result.directory)
    row = pairs(1).to_pylist()[0]
    with torch.no_grad():
        gains = [
            plain_log_probability(model, processor, row, side)
            - plain_log_probability(load(BASE)[0], processor, row, side)
            for side in ("chosen", "rejected")
        ]
    assert gains[0] > gains[1]
