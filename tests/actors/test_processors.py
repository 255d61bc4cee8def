"""Processors: where a chat template is read from, what is refused, and what is kept for others."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoProcessor

from actors.judges.kinds import check_config, judging_classes, missing_packages
from actors.judges.processors import (
    load_processor,
    load_stock_processor,
    save_processor,
    written_template,
)
from factory.judging.specification import SpecificationError
from tests.actors.tiny_checkpoints import TEMPLATE, save_qwen


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    """A checkpoint whose stock processor needs torchvision, as old ones are laid out."""
    save_qwen(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    (tmp_path / "processor_config.json").write_text('{"processor_class": "Qwen2_5_VLProcessor"}')
    return tmp_path


@pytest.fixture
def without_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str, **given: Any) -> None:
        raise ImportError("X requires the Torchvision library but it was not found")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", fail)


def test_a_template_is_read_from_its_older_file(qwen: Path) -> None:
    processor = load_processor(str(qwen), AutoConfig.from_pretrained(qwen))
    assert processor.tokenizer.chat_template == TEMPLATE
    (qwen / "chat_template.json").write_text("[]")
    with pytest.raises(SpecificationError, match=r"chat_template\.json: cannot be read"):
        written_template(qwen)


@pytest.mark.usefixtures("without_torchvision")
def test_what_the_base_had_is_kept_where_its_processor_cannot_be_built(
    qwen: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (qwen / "video_preprocessor_config.json").write_text('{"min_pixels": 3136}')
    processor = load_processor(str(qwen), AutoConfig.from_pretrained(qwen))
    trained = tmp_path_factory.mktemp("trained")
    save_processor(processor, str(qwen), trained)
    for name in (
        "chat_template.json",
        "preprocessor_config.json",
        "processor_config.json",
        "video_preprocessor_config.json",
    ):
        assert (trained / name).read_bytes() == (qwen / name).read_bytes()
    again = load_processor(str(trained), AutoConfig.from_pretrained(qwen))
    assert again.tokenizer.chat_template == TEMPLATE


@pytest.mark.usefixtures("without_torchvision")
def test_a_package_that_a_processor_needs_is_named_with_what_brings_it(qwen: Path) -> None:
    with pytest.raises(SpecificationError, match=r"pip install torchvision.*factory\[vision\]"):
        load_stock_processor(str(qwen))


def test_the_plan_names_packages_before_any_file_is_fetched() -> None:
    """By the family alone; a family on the fast path needs none."""
    from importlib.util import find_spec

    lacking = [one for one in ("torchvision", "num2words") if find_spec(one) is None]
    assert missing_packages("smolvlm") == lacking
    assert missing_packages("mistral3") == [one for one in lacking if one == "torchvision"]
    for kind in ("llava", "qwen2_5_vl", "gemma3", "idefics3"):
        assert missing_packages(kind) == []
    for kind in judging_classes():
        missing_packages(kind)
    if lacking:
        with pytest.raises(SpecificationError, match=f"needs {' and '.join(lacking)}: pip"):
            check_config("PATH", json.dumps({"model_type": "smolvlm"}).encode())
