"""What the tests of the sandbox share."""

import pytest
from transformers import PreTrainedTokenizerFast

from actors.sandbox.base_vlm import build_processor


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """The base's."""
    return build_processor().tokenizer
