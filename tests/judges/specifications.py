"""Our prompts beside the published ones, token by token, for each shipped specification.

`published_messages.json` holds what the repositories' own code makes of sample values at the commit
that each specification names: text and pictures in their order, as it gives them to a processor or
a server. Here they are laid out as that code has them laid out, by a chat template of the Qwen
family or by LLaVA-NeXT's conversation `qwen_1_5`, and tokenised by the same tokenizer as ours. The
tokenizer knows bytes and special tokens, so no difference hides in a merge. A medium is one token
here: how many it takes is its processor's matter, and tested with the families.
"""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from actors.judges.prompts import Medium, PromptFormat
from factory.judging.specification import JudgeSpecification, TaskSpecification, find
from factory.prompt_parts import in_words
from schemas.rows import UNDERSTANDING, Media, Part, Prompt
from tests.tiny.spelt import build_tokenizer

MESSAGES = Path(__file__).with_name("published_messages.json")
#: As the templates of Qwen2.5-VL and Qwen3-VL lay a conversation out.
QWEN = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: LLaVA-NeXT, llava/conversation.py: the system's turn and the marks of `qwen_1_5`.
LLAVA_BEFORE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
LLAVA_AFTER = "<|im_end|>\n<|im_start|>assistant\n"
_SPECIAL = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<image>"]


def tokenizer() -> Any:
    made = build_tokenizer(_SPECIAL)
    made.chat_template = QWEN
    return made


def published_text(message: dict[str, Any], told: JudgeSpecification, words: Any) -> str:
    """What the published code puts before the model, up to where the answer begins."""
    parts = message["parts"]
    if told.turn:
        said = "".join(part.get("text", "<image>") for part in parts)
        return LLAVA_BEFORE + said + LLAVA_AFTER
    content = [
        {"type": "text", "text": part["text"]} if "text" in part else {"type": next(iter(part))}
        for part in parts
    ]
    turns = [{"role": "user", "content": content}]
    if "system" in message:
        turns.insert(0, {"role": "system", "content": message["system"]})
    return str(words.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def our_ids(message: dict[str, Any], values: dict[str, str], told: JudgeSpecification) -> list[int]:
    """The tokens of our prompt for the same values."""
    words = tokenizer()
    ids = words.convert_tokens_to_ids
    processor = SimpleNamespace(tokenizer=words, image_token_id=ids("<|image_pad|>"))
    form = PromptFormat(told, processor)
    task: TaskSpecification = told.task(message["task"])
    start, end, image, video = map(ids, _SPECIAL[:4])
    picture = (ids("<image>"),) if told.turn else (start, image, end)
    clip = (start, video, end)
    is_clip = message["task"].startswith("video")
    is_answer = message["task"] in UNDERSTANDING
    num = 1 if message["kind"] == "score" or is_answer else 2
    if not is_clip:
        media = [Medium(at, picture) for at in range(num)]
    elif task.is_pictures:
        frames = [Medium(at, picture) for at in range(task.num_frames)]
        media = [frames for _ in range(num)]
    else:
        media = [Medium(at, clip, "video") for at in range(num)]
    is_edit = task.is_about_edits
    said = values["Query"] if is_answer else values["instruction" if is_edit else "prompt"]
    answers = [values["R1"], values["R2"]] if num == 1 and message["kind"] == "duel" else []
    if is_answer and message["kind"] == "score":
        answers = [values["Response"]]
    source = [Medium(9, picture)] if is_edit else []
    shown = (Part("source", media=Media(b"x", 1, 1)), Part("user", said)) if is_edit else ()
    prompt = (
        Prompt.of_parts(shown, message["task"]) if is_edit else Prompt.of(said, message["task"])
    )
    put = form.point if message["kind"] == "score" else form.pair
    return list(put(task, in_words(prompt), media, answers, source).ids)


def compared(message: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """Where our tokens differ from the published ones, and why."""
    told = find("", message["specification"])
    words = tokenizer()
    theirs = words(published_text(message, told, words), add_special_tokens=False).input_ids
    ours = our_ids(message, values, told)
    matcher = SequenceMatcher(None, theirs, ours, autojunk=False)
    differences = [
        {"published": words.decode(theirs[a:b]), "ours": words.decode(ours[c:d])}
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    ]
    frames = told.task(message["task"]).num_frames
    reason = ""
    if differences and message.get("frames", frames) != frames:
        notes = told.source.notes if told.source else ()
        reason = next((one for one in notes if f"both see {frames}" in one), "")
    return {
        "specification": message["specification"],
        "task": message["task"],
        "kind": message["kind"],
        "file": f"{message['repository']} {message['commit'][:12]} {message['file']}",
        "tokens_published": len(theirs),
        "tokens_ours": len(ours),
        "differences": differences,
        "why": reason,
    }


def figures() -> dict[str, object]:
    """Each shipped specification against its repository's own messages."""
    whole = json.loads(MESSAGES.read_text(encoding="utf-8"))
    found = [compared(one, whole["values"]) for one in whole["messages"]]
    return {
        "prompts": len(found),
        "equal": sum(not one["differences"] for one in found),
        "different_with_a_reason": sum(bool(one["differences"] and one["why"]) for one in found),
        "different_without_one": [one for one in found if one["differences"] and not one["why"]],
        "rows": found,
    }
