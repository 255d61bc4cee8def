"""What the names of a repository's files say about its weights."""

import pytest

from factory.weight_files import weights_fault

UNET = "unet/diffusion_pytorch_model"
SMALL = ["model_index.json", "unet/config.json", "text_encoder/config.json", "README.md"]
TEXT = "text_encoder/model.safetensors"


@pytest.mark.parametrize(
    ("names", "variant"),
    [
        ([f"{UNET}.safetensors", TEXT], None),
        ([f"{UNET}.safetensors", f"{UNET}.bin", f"{UNET}.fp16.safetensors", TEXT], None),
        ([f"{UNET}.fp16.safetensors", "text_encoder/model.fp16.safetensors"], "fp16"),
        ([f"{UNET}.fp16.safetensors", TEXT], "fp16"),  # what has no variant is loaded without
        ([f"{UNET}-00001-of-00002.safetensors", f"{UNET}-00002-of-00002.safetensors", TEXT], None),
        ([f"{UNET}.fp16-00001-of-00002.safetensors", TEXT], "fp16"),
        ([f"{UNET}-00001-of-00002.fp16.safetensors", TEXT], "fp16"),  # the older order
        ([], None),  # nothing is known by its name
        (["flax_model.msgpack", "openvino_model.bin"], None),
        (["pytorch_model.bin"], None),  # not beside a configuration: no model of this one
    ],
)
def test_weights_that_can_be_loaded(names: list[str], variant: str | None) -> None:
    assert weights_fault([*SMALL, *names], variant) is None


@pytest.mark.parametrize(
    ("names", "variant", "fault"),
    [
        (
            [f"{UNET}.bin", "text_encoder/pytorch_model.bin"],
            None,
            "the weights in text_encoder/, unet/ are there as .bin alone, which are pickles",
        ),
        ([f"{UNET}.fp16.bin", TEXT], None, "the weights in unet/ are there as .bin alone"),
        (
            [f"{UNET}.fp16.safetensors", TEXT],
            None,
            "the weights in unet/ are there as variant fp16 alone: say `variant: fp16`",
        ),
        (
            [f"{UNET}.fp16-00001-of-00009.safetensors", f"{UNET}.bf16.safetensors", TEXT],
            None,
            "unet/ are there as variant bf16 and fp16 alone: say `variant: bf16`",
        ),
        ([f"{UNET}.safetensors", TEXT], "fp16", "'fp16': there is no variant"),
        ([f"{UNET}.bf16.safetensors", TEXT], "fp16", "'fp16': there are bf16"),
    ],
)
def test_weights_that_cannot_be_loaded_say_what_to_do(
    names: list[str], variant: str | None, fault: str
) -> None:
    assert fault in str(weights_fault([*SMALL, *names], variant))


def test_a_model_without_a_pipeline_lies_in_the_directory_itself() -> None:
    said = str(weights_fault(["config.json", "pytorch_model-00001-of-00002.bin"]))
    assert said.startswith("the weights in the directory are there as .bin alone")
