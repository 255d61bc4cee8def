"""The stock processor of a transformers vision-language model: its image processor, tokenizer and
chat template.

Most families bring a processor of videos too, which takes torchvision, only to sample frames and to
resize them. Here clips are shown as pictures, so where that half alone is what cannot be built the
processor is built without it, by transformers' own class, and all else is the stock one. What else
a processor needs (torchvision where its pictures have no other backend, num2words for SmolVLM's
clips) is refused by the package's name.

A trained model keeps the files of the model that it was trained from, byte for byte: none of them
has changed, and one that is written anew here would lack the half that was left out.
"""

from __future__ import annotations

import re
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

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
#: Packages that processors ask for, as their errors name them.
_PACKAGES = ("torchvision", "num2words", "sentencepiece", "tiktoken", "mistral-common", "timm")


class ProcessorError(ValueError):
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
    return processor


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
    built = ", built for the torch that is installed" if "torchvision" in needs else ""
    return f"{why}. It takes {' and '.join(needs)}: pip install {' '.join(needs)}{built}"


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

        source = Path(snapshot_download(path, revision=revision, allow_patterns=list(_FILES)))
    for file in sorted(source.iterdir()):
        if file.is_file() and any(fnmatch(file.name, one) for one in _FILES):
            shutil.copyfile(file, directory / file.name)
