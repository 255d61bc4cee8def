"""The processor of a checkpoint: loaded, and kept with what is trained from it.

The fast path needs a tokenizer and an image processor, which load without torchvision (Pillow's
stand in); the plain path needs the stock processor whole, video half included, and is refused
by the name of the package where it cannot be built. A chat template is read from
`chat_template.jinja`, from `chat_template.json` as older checkpoints have it, or from the
configuration of processor or tokenizer.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from factory.judging.specification import SpecificationError

#: Packages that stock processors may need, and the extra that brings each.
_EXTRAS = {"torchvision": "vision", "num2words": "vision"}
#: Where a chat template may be written: as a file, or as `chat_template` in a configuration.
TEMPLATE_FILES = (
    "chat_template.jinja",
    "chat_template.json",
    "processor_config.json",
    "tokenizer_config.json",
)
#: What a trained model keeps of its base where the stock processor cannot be built to save it.
_FILES = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
)


def load_processor(path: str, config: Any, *, trust_remote_code: bool = False) -> Any:
    """Tokenizer and image processor of a model: what the fast path needs of its stock processor.

    The stock processors of LLaVA-OneVision and Qwen2.5-VL cannot be built without torchvision, for
    the sake of their video half. The image half falls back to Pillow.

    Raises:
        SpecificationError: a part cannot be loaded; says what to install where that is why.
    """
    from transformers import AutoImageProcessor, AutoTokenizer

    try:
        image_processor = AutoImageProcessor.from_pretrained(
            path, trust_remote_code=trust_remote_code
        )
    except (ImportError, ValueError, OSError) as error:
        raise SpecificationError(
            f"{path}: no image processor: {error}{_hint(str(error))}"
        ) from error
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = written_template(Path(path))
    # LLaVA calls it `image_token_index` in older files.
    image = getattr(config, "image_token_id", None) or config.image_token_index
    return SimpleNamespace(
        tokenizer=tokenizer, image_processor=image_processor, image_token_id=image
    )


def load_stock_processor(path: str, *, trust_remote_code: bool = False) -> Any:
    """The model's own processor, as transformers builds it.

    Raises:
        SpecificationError: it cannot be built here; names the package that is missing.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:  # of each processor its own
        raise SpecificationError(
            f"{path}: its processor cannot be built here: {error}{_hint(str(error))}"
        ) from error
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise SpecificationError(
            f"{path}: {type(processor).__name__} is no processor of pictures and text: its "
            "configuration lacks a tokenizer or an image processor (preprocessor_config.json)"
        )
    if getattr(processor, "chat_template", None) is None:
        processor.chat_template = processor.tokenizer.chat_template or written_template(Path(path))
    return processor


def written_template(directory: Path) -> str | None:
    """The chat template in a file of its own; None where there is none.

    Raises:
        SpecificationError: a file that holds none.
    """
    jinja, legacy = directory / "chat_template.jinja", directory / "chat_template.json"
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8")
    for file in (legacy, directory / "processor_config.json"):
        if not file.is_file():
            continue
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            template = told["chat_template"] if file == legacy else told.get("chat_template")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpecificationError(f"{file}: cannot be read: {error!r}") from None
        if template is not None:
            return str(template)
    return None


def save_processor(
    processor: Any, base: str, directory: Path, *, trust_remote_code: bool = False
) -> None:
    """Write beside trained weights what stock code and this factory load: the stock processor; or,
    where it cannot be built here, the tokenizer and the base's own files of the rest.

    Args:
        processor: as loaded from `base`.
        base: directory of the model that was trained.
        directory: of the trained model.
        trust_remote_code: run the code that comes with `base`.
    """
    from transformers import AutoProcessor

    try:
        stock = AutoProcessor.from_pretrained(base, trust_remote_code=trust_remote_code)
        stock.save_pretrained(directory)
    except (ImportError, ValueError, OSError):  # see `load_processor`
        processor.tokenizer.save_pretrained(directory)
        processor.image_processor.save_pretrained(directory)
        for name in _FILES:
            given = Path(base) / name
            if given.is_dir():
                shutil.copytree(given, directory / name, dirs_exist_ok=True)
            elif given.is_file():
                shutil.copyfile(given, directory / name)


def _hint(error: str) -> str:
    """What to install, where an error names a package that is missing."""
    low = error.lower()
    for package, extra in _EXTRAS.items():
        if package in low:
            return (
                f"; pip install {package}, built for the torch that is installed, or "
                f"preference-factory[{extra}]"
            )
    missing = re.search(r"requires the (\w+) library", error)
    return f"; pip install {missing[1].lower()}" if missing else ""
