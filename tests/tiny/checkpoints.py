"""What all tiny checkpoints of judges share: their sizes, and how they are written to disk.

A published repository has its parts in files that transformers of its day wrote. The builders
(`qwen`, `llava`, `gemma`, `idefics`) therefore write tokenizer and processor files by hand, by the
names and keys of the released model, and leave only config.json and the weights to
`save_pretrained`. The repositories themselves are not read here: keys are those of the copies and
conversion scripts that each builder names, or of transformers' own reading of older files, and
where a file stands in a repository is remembered rather than checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

#: Width of the decoder, and of the vision tower.
WIDTH = 32
#: Files beside the weights: what is written as JSON, or as it is where it is a text.
Files = Mapping[str, Any]


@dataclass(frozen=True)
class TinyJudge:
    """One family, as one released model of it.

    name: of the released model.
    family: transformers' `model_type`.
    save: writes it to a directory.
    needs: packages without which its stock processor cannot be built whole; torchvision is for the
        half that reads clips alone.
    takes_clips: whether its own template and processor have a place for a clip.
    has_template: whether it is asked through a chat template.
    shows_first: whether that template shows all media of a turn before its text.
    """

    name: str
    family: str
    save: Callable[[Path], None]
    needs: tuple[str, ...] = ()
    takes_clips: bool = False
    has_template: bool = True
    shows_first: bool = False

    def lacking(self) -> list[str]:
        """The packages that this environment lacks of those that it needs."""
        return [package for package in self.needs if find_spec(package) is None]


def decoder(tokenizer: Tokenizer, **more: Any) -> dict[str, Any]:
    """The sizes of a language model of two layers; all that its vocabulary needs."""
    return {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 8192,
        **more,
    }


def tower(**more: Any) -> dict[str, Any]:
    """The sizes of a vision tower of two layers on pictures of 3 x 3 patches."""
    return {
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 24,
        "patch_size": 8,
        **more,
    }


def write(
    directory: Path,
    make: Callable[[], Any],
    tokenizer: Tokenizer,
    tokenizer_config: Mapping[str, Any],
    generation: Mapping[str, Any],
    files: Files,
) -> None:
    """A checkpoint of random weights, as published.

    Args:
        directory: where to.
        make: its model; called with torch's seed set.
        tokenizer: becomes tokenizer.json.
        tokenizer_config: beside what is read from `tokenizer`.
        generation: of generation_config.json.
        files: the rest, by file name.
    """
    torch.manual_seed(0)
    model = make()
    spread(model)
    model.save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    added = {
        str(number): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for number, token in tokenizer.get_added_tokens_decoder().items()
    }
    rest = {
        "tokenizer_config.json": {"added_tokens_decoder": added, **tokenizer_config},
        "generation_config.json": generation,
        **files,
    }
    for name, content in rest.items():
        text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
        (directory / name).write_text(text, encoding="utf-8")


def spread(model: torch.nn.Module) -> None:
    """Draw the weights wide enough that an answer depends on what is shown: with the usual 0.02, a
    model of this width all but ignores its pictures. Gates between media and text are half open,
    which are shut before any training. Norms and biases stay.
    """
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.normal_(0.0, 1.2 / fan_in**0.5, generator=generator)
            elif parameter.numel() == 1 and "gate" in name:
                parameter.fill_(0.5)
