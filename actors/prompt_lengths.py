"""Prompts that a pipeline would cut: longer than what its text encoders read.

    pipeline's small files -> readers (a tokenizer and its limit) -> which prompts are cut, in words

Only tokenizers are loaded, and only where a prompt is long enough to be cut. A CLIP encoder reads
as many tokens as its tokenizer says; any other as many as the call's `max_sequence_length`. What a
pipeline puts around a prompt (a template, a system's words) takes room that is not counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from actors.calling import arguments_of
from actors.pipeline_files import PipelineFiles, pipeline_class, pipeline_files
from schemas.recipe import GeneratorSpec

#: More than any limit: what transformers writes where a tokenizer has none.
_NO_LIMIT = 1_000_000
#: Tokens that may stand around a text, and one that may stand for its beginning.
_AROUND = 3
_AT_ONCE = 4096
_SHOWN = 60  # characters of an example

#: Texts to how many tokens each is, with those that stand around it.
Count = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True)
class TextReader:
    """One of a pipeline's text encoders, as far as its tokenizer tells.

    part: the tokenizer's name in the pipeline.
    limit: most tokens that are read.
    load: gives what counts; raises where the tokenizer cannot be loaded here.
    """

    part: str
    limit: int
    load: Callable[[], Count]


def text_readers(spec: GeneratorSpec) -> list[TextReader]:
    """The text encoders of a generator of pictures or clips of which a limit is known."""
    files = pipeline_files(spec.path, spec.revision)
    if files is None:
        return []
    readers = []
    for part in files.components:
        if part.startswith("tokenizer"):
            limit = _limit(files, part, spec)
            if limit is not None:
                readers.append(TextReader(part, limit, _loading(files, part)))
    return readers


def told_too_long(texts: Iterable[str], readers: Sequence[TextReader], key: str) -> list[str]:
    """Which prompts are cut, in sentences: one for each reader that cuts some.

    Args:
        texts: of all prompts.
        readers: of one generator.
        key: of its section.
    """
    if not readers:
        return []
    least = min(reader.limit for reader in readers)
    # No token is shorter than a byte, so most prompts need no tokenizer to be found short enough.
    longer = (text for text in texts if len(text.encode()) + _AROUND > least)
    counts: dict[str, Count] = {}
    cut = [_Cut() for _ in readers]
    while some := list(islice(longer, _AT_ONCE)):
        for reader, found in zip(readers, cut, strict=True):
            if reader.part not in counts:
                try:
                    counts[reader.part] = reader.load()
                except Exception as error:  # of whichever library reads its files
                    why = str(error).partition("\n")[0]
                    return [f"{key}: its {reader.part} cannot be loaded to measure prompts: {why}"]
            found.add(some, counts[reader.part](some), reader.limit)
    whole = [one.part for one, found in zip(readers, cut, strict=True) if not found.num]
    beside = f" ({', '.join(whole)} takes them in whole)" if whole else ""
    return [
        f"{key}: {found.num} prompt(s) are longer than the {reader.limit} tokens that its "
        f"{reader.part} reads, and are cut{beside}; the longest has {found.most} tokens: "
        f"{found.example[:_SHOWN]!r}"
        for reader, found in zip(readers, cut, strict=True)
        if found.num
    ]


@dataclass
class _Cut:
    num: int = 0
    most: int = 0
    example: str = ""

    def add(self, texts: Sequence[str], lengths: Sequence[int], limit: int) -> None:
        for text, length in zip(texts, lengths, strict=True):
            self.num += length > limit
            if length > max(self.most, limit):
                self.most, self.example = length, text


def _limit(files: PipelineFiles, part: str, spec: GeneratorSpec) -> int | None:
    own = files.read(f"{part}/tokenizer_config.json").get("model_max_length")
    own = int(own) if isinstance(own, int | float) and own < _NO_LIMIT else None
    encoder = files.components.get(part.replace("tokenizer", "text_encoder"), "")
    if encoder.startswith("CLIP"):
        return own
    said = spec.call.get("max_sequence_length")
    if isinstance(said, int):
        return said
    kind = pipeline_class(files)
    argument = None if kind is None else arguments_of(kind).get("max_sequence_length")
    return own if argument is None or argument.default is None else int(argument.default)


def _loading(files: PipelineFiles, part: str) -> Callable[[], Count]:
    def load() -> Count:
        directory = files.local(part)
        whole = directory / "tokenizer.json"
        if whole.is_file():
            from tokenizers import Tokenizer

            fast = Tokenizer.from_file(str(whole))
            fast.no_truncation()
            fast.no_padding()
            return lambda texts: [len(one.ids) for one in fast.encode_batch(list(texts))]
        from transformers import AutoTokenizer

        slow: Any = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        return lambda texts: [len(ids) for ids in slow(list(texts), truncation=False)["input_ids"]]

    return load
