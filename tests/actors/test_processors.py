"""Processors: where a chat template is read from, what is refused, and what is kept for others."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoImageProcessor, AutoProcessor

from actors.judges.kinds import check_clips, check_config, judging_classes
from actors.processors import (
    copy_small_files,
    load_parts,
    load_processor,
    missing_for_clips,
    missing_packages,
    written_template,
)
from factory.judging.specification import SpecificationError
from tests.tiny.spelt import TEMPLATE, save_qwen


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    """A checkpoint whose stock processor needs torchvision, as old ones are laid out."""
    save_qwen(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    (tmp_path / "processor_config.json").write_text('{"processor_class": "Qwen2_5_VLProcessor"}')
    return tmp_path


def test_a_template_is_read_from_its_older_file(qwen: Path) -> None:
    processor = load_parts(str(qwen), AutoConfig.from_pretrained(qwen))
    assert processor.tokenizer.chat_template == TEMPLATE
    (qwen / "chat_template.json").write_text("[]")
    with pytest.raises(SpecificationError, match=r"chat_template\.json: cannot be read"):
        written_template(qwen)


def test_a_trained_model_keeps_the_files_of_its_base(
    qwen: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Byte for byte, also those that cannot be built here."""
    (qwen / "video_preprocessor_config.json").write_text('{"min_pixels": 3136}')
    (qwen / "additional_chat_templates").mkdir()
    (qwen / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    trained = tmp_path_factory.mktemp("trained")
    copy_small_files(str(qwen), trained)
    for name in (
        "chat_template.json",
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
        "video_preprocessor_config.json",
        "additional_chat_templates/tools.jinja",
    ):
        assert (trained / name).read_bytes() == (qwen / name).read_bytes()
    assert not list(trained.glob("*.safetensors"))


def test_what_a_processor_lacks_is_named_with_what_brings_it(
    qwen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str, **given: Any) -> None:
        raise ImportError("X requires the Torchvision library but it was not found")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", fail)
    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", fail)
    with pytest.raises(SpecificationError, match=r"pip install torchvision.*factory\[vision\]"):
        load_processor(str(qwen))


def test_the_plan_names_packages_before_any_file_is_fetched() -> None:
    """By the family alone: what pictures need, and what clips do."""
    lacking = [one for one in ("torchvision", "num2words") if find_spec(one) is None]
    of_clips = [one for one in lacking if one == "torchvision"]
    assert missing_packages("smolvlm") == [one for one in lacking if one == "num2words"]
    for kind in ("llava", "qwen2_5_vl", "qwen3_vl", "internvl", "gemma3", "idefics3"):
        assert missing_packages(kind) == []
    for kind in ("qwen3_vl", "internvl", "smolvlm", "gemma4"):
        assert missing_for_clips(kind) == of_clips
    for kind in ("gemma3", "idefics3", "paligemma"):
        assert missing_for_clips(kind) == []
    for kind in judging_classes():
        missing_packages(kind)
        missing_for_clips(kind)
    if not lacking:
        pytest.skip("nothing is missing")
    with pytest.raises(SpecificationError, match="needs num2words: pip"):
        check_config("PATH", json.dumps({"model_type": "smolvlm"}).encode())
    with pytest.raises(SpecificationError, match="for clips needs torchvision: pip"):
        check_clips("PATH", json.dumps({"model_type": "qwen3_vl"}).encode())
    check_clips("PATH", json.dumps({"model_type": "qwen2_5_vl"}).encode())  # by the fast path
