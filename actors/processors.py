"""The processor of a transformers vision-language model: its image processor, tokenizer and chat
template, for judges and for policies.

Most families bring a processor of videos too, which takes torchvision, only to sample frames and to
resize them. Where that half alone is what cannot be built, the stock processor is built without it,
by transformers' own class: pictures need nothing of it. A policy shows clips as pictures; a judge
whose family has a place for clips refuses them then, by the package's name (`missing_for_clips`).
What else a processor needs (torchvision where its pictures have no other backend, num2words for
SmolVLM) is refused by the package's name. The fast path of a judge needs no more than the two parts
(`load_parts`).

A trained model keeps the files of the model that it was trained from, byte for byte: none of them
has changed, and one that is written anew here would lack the half that was left out.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from factory.judging.specification import SpecificationError

#: Files of which a processor is built, and code where it is the checkpoint's own.
_FILES = (
    "*preprocessor_config.json",
    "processor_config.json",
    "chat_template.json",
    "*.jinja",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "tekken.json",
    "*.py",
)
_FOLDERS = ("additional_chat_templates",)
#: Where a chat template may be written: as a file, or as `chat_template` in a configuration.
TEMPLATE_FILES = (
    "chat_template.jinja",
    "chat_template.json",
    "processor_config.json",
    "tokenizer_config.json",
)
#: Packages that processors ask for, as their errors name them.
_PACKAGES = ("torchvision", "num2words", "sentencepiece", "tiktoken", "mistral-common", "timm")
#: Those that the extra `vision` brings.
_EXTRA = ("torchvision", "num2words")


class ProcessorError(SpecificationError):
    """A processor that cannot be built here; the message says which package it takes."""


def load_processor(
    path: str, revision: str | None = None, *, trust_remote_code: bool = False
) -> Any:
    """The processor of a model.

    Args:
        path: a directory or a hub's name.
        revision: commit of a hub's repository; its main branch where None.
        trust_remote_code: run the code that comes with the model.

    Raises:
        ProcessorError: it cannot be built; says which package it takes where that is why.
    """
    from transformers import AutoProcessor

    where = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    try:
        processor = AutoProcessor.from_pretrained(
            path, revision=revision or "main", trust_remote_code=trust_remote_code
        )
    except (ImportError, ValueError, OSError, TypeError, AttributeError) as error:
        try:
            processor = _without_video(path, where)
        except (ImportError, ValueError, OSError, TypeError, AttributeError) as other:
            raise ProcessorError(_why(path, other)) from error
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise ProcessorError(
            f"{path}: its processor is a {type(processor).__name__}, which takes no pictures with "
            "words: it lacks preprocessor_config.json, or is of a model that does not answer"
        )
    if getattr(processor, "chat_template", None) is None:
        written = written_template(Path(path)) if Path(path).is_dir() else None
        processor.chat_template = processor.tokenizer.chat_template or written
    return processor


def load_parts(path: str, config: Any, *, trust_remote_code: bool = False) -> Any:
    """Tokenizer and image processor of a model alone, with the token that stands for a picture.

    Args:
        path: a directory.
        config: the model's.
        trust_remote_code: run the code that comes with the model.

    Raises:
        ProcessorError: a part cannot be loaded; says what to install where that is why.
    """
    from transformers import AutoImageProcessor, AutoTokenizer

    try:
        image_processor = AutoImageProcessor.from_pretrained(
            path, trust_remote_code=trust_remote_code
        )
    except (ImportError, ValueError, OSError) as error:
        raise ProcessorError(_why(path, error)) from error
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = written_template(Path(path))
    # LLaVA calls it `image_token_index` in older files.
    image = getattr(config, "image_token_id", None) or config.image_token_index
    return SimpleNamespace(
        tokenizer=tokenizer, image_processor=image_processor, image_token_id=image
    )


def written_template(directory: Path) -> str | None:
    """The chat template in a file of its own; None where there is none.

    Raises:
        ProcessorError: a file that holds none.
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
            raise ProcessorError(f"{file}: cannot be read: {error!r}") from None
        if template is not None:
            return str(template)
    return None


def missing_packages(kind: str) -> list[str]:
    """The packages that a family's stock processor needs for pictures and text and that are not
    installed, told from its `model_type`. What only a checkpoint's files tell is not known here.
    """
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
    from transformers.utils import is_torchvision_available

    try:
        processor = _class_of(kind)
        if processor is None:
            return []
        processor.get_attributes()
    except ImportError as error:  # of what stands for a class that cannot be had
        return ["torchvision"] if "torchvision" in str(error).lower() else []
    backends = IMAGE_PROCESSOR_MAPPING_NAMES.get(kind) or {"pil": ""}
    missing = [] if is_torchvision_available() or "pil" in backends else ["torchvision"]
    if getattr(sys.modules[processor.__module__], "num2words", "") is None:
        missing.append("num2words")
    return missing


def missing_for_clips(kind: str) -> list[str]:
    """The packages without which the half of a family's stock processor that reads clips is left
    out; none for a family that has no such half.
    """
    from transformers.utils import is_torchvision_available

    processor = _class_of(kind)
    if processor is None or is_torchvision_available():
        return []
    try:
        has_half = "video_processor" in processor.get_attributes()
    except ImportError:  # as in `missing_packages`, which names it
        return []
    return ["torchvision"] if has_half else []


def to_install(packages: list[str]) -> str:
    """What to do about packages that are missing."""
    built = " (torchvision built for the torch that is installed)"
    extra = ", or preference-factory[vision]" if set(packages) <= set(_EXTRA) else ""
    return f"pip install {' '.join(packages)}{built if 'torchvision' in packages else ''}{extra}"


def _class_of(kind: str) -> Any:
    """A family's stock class of processors; None where transformers has none."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    name = PROCESSOR_MAPPING_NAMES.get(kind)
    return None if name is None else getattr(transformers, name)


def _without_video(path: str, where: dict[str, Any]) -> Any:
    """The stock processor whose half for videos is None."""
    from transformers import AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES as NAMES
    from transformers.models.auto.processing_auto import processor_class_from_name

    trust = bool(where["trust_remote_code"])
    config = AutoConfig.from_pretrained(path, revision=where["revision"], trust_remote_code=trust)
    kind = config.model_type
    if kind not in NAMES:
        raise ValueError(f"{path}: transformers has no processor of models of type {kind!r}")
    stock: Any = processor_class_from_name(NAMES[kind])
    attributes = stock.get_attributes()
    if "video_processor" not in attributes:
        return stock.from_pretrained(path, **where)  # raises, and says why

    class WithoutVideo(stock):
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument is None and argument_name == "video_processor":
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

        @classmethod
        def get_attributes(cls) -> list[str]:
            return list(attributes)

        @classmethod
        def _get_arguments_from_pretrained(cls, source: str, told: Any = None, **given: Any) -> Any:
            given.pop("subfolder", None)
            return [_part(one, cls, source, dict(given)) for one in attributes]

    WithoutVideo.__name__ = stock.__name__
    return WithoutVideo.from_pretrained(path, **where)


def _part(name: str, processor: Any, path: str, given: dict[str, Any]) -> Any:
    """One part of a processor; None for videos."""
    from transformers import AutoFeatureExtractor, AutoImageProcessor

    if name == "video_processor":
        return None
    if name == "tokenizer":
        return processor._load_tokenizer_from_pretrained(name, path, **given)
    trust = bool(given.pop("trust_remote_code", False))
    if name == "image_processor":
        return AutoImageProcessor.from_pretrained(path, trust_remote_code=trust, **given)
    if name == "feature_extractor":  # of sounds
        return AutoFeatureExtractor.from_pretrained(path, trust_remote_code=trust, **given)
    raise ValueError(f"{path}: its processor has a {name}, which is not built here")


def _why(path: str, error: Exception) -> str:
    """Why a processor cannot be built, and what to do."""
    words = str(error).lower()
    needs = [one for one in _PACKAGES if re.search(rf"\b{re.escape(one)}\b", words)]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    why = f"{path}: its processor cannot be built here: {' '.join(lines)[:300]}"
    if not needs:
        return why
    return f"{why}. It needs {' and '.join(needs)}: {to_install(needs)}"


def copy_small_files(path: str, directory: Path, revision: str | None = None) -> None:
    """Copy what a processor is built of from a model to one that was trained from it.

    Args:
        path: a directory or a hub's name.
        directory: of the trained model.
        revision: commit of a hub's repository; its main branch where None.
    """
    source = Path(path)
    if not source.is_dir():
        from huggingface_hub import snapshot_download

        wanted = [*_FILES, *(f"{one}/*" for one in _FOLDERS)]
        source = Path(snapshot_download(path, revision=revision, allow_patterns=wanted))
    for file in sorted(source.iterdir()):
        if file.is_file() and any(fnmatch(file.name, one) for one in _FILES):
            shutil.copyfile(file, directory / file.name)
        elif file.is_dir() and file.name in _FOLDERS:
            shutil.copytree(file, directory / file.name, dirs_exist_ok=True)
