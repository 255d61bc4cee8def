"""Prompts that a pipeline would cut, with tokenizers of which a letter or a byte is a token."""

import json
from pathlib import Path
from typing import Any

import pytest

from actors.prompt_lengths import TextReader, text_readers, told_too_long
from schemas.recipe import GeneratorSpec
from tests.tiny.texts import clip_tokenizer

SHORT, LONG = "a red cup", "x" * 75 + " " + "y" * 20


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small files of a pipeline with a CLIP encoder."""
    directory = tmp_path_factory.mktemp("sd")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": [None, None],
    }
    (directory / "model_index.json").write_text(json.dumps(index))
    clip_tokenizer().save_pretrained(directory / "tokenizer")
    return directory


def told(pipeline: Path, *texts: str, **spec: Any) -> list[str]:
    readers = text_readers(GeneratorSpec(path=str(pipeline), **spec))
    return told_too_long(texts, readers, "generator")


def test_a_prompt_that_is_cut_is_told_with_the_longest(pipeline: Path) -> None:
    (said,) = told(pipeline, SHORT, LONG, LONG + "z")
    assert said == (
        "generator: 2 prompt(s) are longer than the 77 tokens that its tokenizer reads, and are "
        f"cut; the longest has 98 tokens: {(LONG + 'z')[:60]!r}"
    )
    assert told(pipeline, SHORT, "x" * 75) == []  # with the two that stand around it, just right
    assert len(told(pipeline, "x" * 76)) == 1


def test_short_prompts_load_no_tokenizer(pipeline: Path) -> None:
    def fail() -> Any:
        raise AssertionError("not to be loaded")

    assert told_too_long([SHORT] * 9000, [TextReader("tokenizer", 77, fail)], "generator") == []
    (said,) = told_too_long([LONG], [TextReader("tokenizer", 77, fail)], "generator")
    assert said == "generator: its tokenizer cannot be loaded to measure prompts: not to be loaded"


def test_who_reads_a_prompt_in_whole_is_named() -> None:
    readers = [
        TextReader("tokenizer", 77, lambda: lambda texts: [len(one) for one in texts]),
        TextReader("tokenizer_2", 512, lambda: lambda texts: [len(one) for one in texts]),
    ]
    (said,) = told_too_long([LONG], readers, "produce.also.0")
    assert "reads, and are cut (tokenizer_2 takes them in whole);" in said


def test_other_encoders_read_as_much_as_the_call_says(tmp_path: Path) -> None:
    index = {
        "_class_name": "LTXPipeline",
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_text('{"model_max_length": 1e30}')
    (plain,) = text_readers(GeneratorSpec(path=str(tmp_path)))
    call = {"max_sequence_length": 32}
    (said,) = text_readers(GeneratorSpec(path=str(tmp_path), call=call))
    assert (plain.limit, said.limit) == (128, 32)


def test_a_pipeline_whose_files_are_not_at_hand_tells_nothing() -> None:
    assert text_readers(GeneratorSpec(path="org/name", revision="c" * 40)) == []
