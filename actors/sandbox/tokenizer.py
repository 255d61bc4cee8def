"""One small word-level tokenizer for the sandbox's generator and its vision-language models.

Its vocabulary is closed: the words of the caption grammar, of the questions, and of the judge's
instructions and answers. Digits are single tokens, so a score is read digit by digit.
"""

from __future__ import annotations

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from factory.sandbox.world import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    SPEEDS,
)

PAD, UNK, BOS, EOS, IMAGE = "<pad>", "<unk>", "<s>", "</s>", "<image>"
_SPECIAL = (PAD, UNK, BOS, EOS, IMAGE)
_GRAMMAR = (
    " ".join((*COLOURS, *BACKGROUNDS, *SHAPES, *SIZES, *PLACES, *RELATIONS, *DIRECTIONS, *SPEEDS))
    + " a at the in on and background moving"
)
_PROSE = """
    image images video videos answer answers caption question describe check each element
    final score overall judgment verdict is are better than both equally good bad
    1 2 3 4 5 6 7 8 9 0 . , : ; ? ! - ( ) / yes no none
    direction what which where how many things there
    size colour shape color of it this that shows fits
    does do not be should but missing wrong extra thing present absent closer to
    because first second tie one two three alignment coherence style quality visual temporal
    consistency dynamic degree text factual it has have with same different frame frames
    noisy blurred clean sharp bright dark reason
    """
#: A prompt of the generator is padded to this length; the longest caption takes 35.
MAX_PROMPT_TOKENS = 36


def build_tokenizer(max_tokens: int, *, closed: bool) -> PreTrainedTokenizerFast:
    """The sandbox tokenizer, with ids fixed by the word order above.

    Args:
        max_tokens: length that `padding="max_length"` pads to and truncation cuts at.
        closed: end every text with `</s>`, as a text encoder wants it; a prompt must stay open.
    """
    words = dict.fromkeys((*_SPECIAL, *_GRAMMAR.split(), *_PROSE.split()))
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNK))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}" if closed else f"{BOS} $A",
        pair=None,
        special_tokens=[(BOS, core.token_to_id(BOS)), (EOS, core.token_to_id(EOS))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=[IMAGE],
        model_max_length=max_tokens,
        padding_side="right",
    )
