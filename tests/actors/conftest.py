"""A process group of one, and small untrained pipelines in diffusers' own classes, one of each
family, as directories.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.group_of_one import group_of_one, worker_environment


@pytest.fixture(scope="session")
def _group() -> Iterator[None]:
    with group_of_one():
        yield


@pytest.fixture
def process_group(_group: None) -> Iterator[None]:
    """A group of one, which all tests share, and its environment, which is the test's own."""
    with worker_environment():
        yield


def clip_config(tokenizer: Any, width: int) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def t5_settings(tokenizer: Any) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from actors.sandbox.tokenizer import MAX_PROMPT_TOKENS, build_tokenizer

    torch.manual_seed(0)
    return build_tokenizer(MAX_PROMPT_TOKENS, closed=True)


@pytest.fixture(scope="session")
def sandbox_pipeline(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Stable Diffusion with v-prediction, as the sandbox has it."""
    from actors.sandbox import generator

    directory = tmp_path_factory.mktemp("pipeline") / "sandbox"
    generator.assemble(
        generator.build_autoencoder(),
        generator.build_text_encoder(tokenizer),
        generator.build_unet(),
        tokenizer,
    ).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def xl_pipeline(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SDXL: two text encoders, size conditions, noise prediction, Euler."""
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    from actors.sandbox import generator

    text = clip_config(tokenizer, 16)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + 16,
    )
    directory = tmp_path_factory.mktemp("pipeline") / "xl"
    StableDiffusionXLPipeline(
        vae=generator.build_autoencoder(),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(timestep_spacing="trailing"),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    ).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def lcm_pipeline(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A latent consistency model: its UNet is told of the guidance."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel

    from actors.sandbox import generator

    directory = tmp_path_factory.mktemp("pipeline") / "lcm"
    LatentConsistencyModelPipeline(
        vae=generator.build_autoencoder(),
        text_encoder=CLIPTextModel(clip_config(tokenizer, 16)),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
            norm_num_groups=4,
            time_cond_proj_dim=8,
        ),
        scheduler=LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def sd3_pipeline(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Stable Diffusion 3: three text encoders, flow matching, shifted by 3."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel

    from actors.sandbox import generator

    vae = generator.build_autoencoder()
    vae.register_to_config(shift_factor=0.1)
    directory = tmp_path_factory.mktemp("pipeline") / "sd3"
    StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=32,
            pos_embed_max_size=16,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae,
        text_encoder=CLIPTextModelWithProjection(clip_config(tokenizer, 16)),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(clip_config(tokenizer, 16)),
        tokenizer_2=tokenizer,
        text_encoder_3=T5EncoderModel(T5Config(**{**t5_settings(tokenizer), "d_model": 32})),
        tokenizer_3=tokenizer,
    ).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def flux_pipeline(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Flux with embedded guidance; the flow is shifted by the picture's size."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel, T5Config, T5EncoderModel

    from actors.sandbox import generator

    vae = generator.build_autoencoder()
    vae.register_to_config(shift_factor=0.1)
    directory = tmp_path_factory.mktemp("pipeline") / "flux"
    FluxPipeline(
        transformer=FluxTransformer2DModel(
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(4, 4, 8),
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae,
        text_encoder=CLIPTextModel(clip_config(tokenizer, 16)),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(T5Config(**t5_settings(tokenizer))),
        tokenizer_2=tokenizer,
    ).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def wan_pipeline(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Wan 2.1: clips, a causal video autoencoder, flow matching through UniPC."""
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    directory = tmp_path_factory.mktemp("pipeline") / "wan"
    WanPipeline(
        transformer=WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=4,
            text_dim=16,
            freq_dim=16,
            ffn_dim=32,
            num_layers=2,
            rope_max_seq_len=32,
        ),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        vae=AutoencoderKLWan(
            base_dim=3,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.1, -0.2, 0.3, 0.0],
            latents_std=[1.5, 2.0, 0.5, 1.0],
        ),
        text_encoder=UMT5EncoderModel(UMT5Config(**t5_settings(tokenizer))),
        tokenizer=tokenizer,
    ).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def motion_pipeline(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """AnimateDiff: a UNet of clips, a picture autoencoder."""
    from diffusers import AnimateDiffPipeline, DDIMScheduler, UNetMotionModel
    from transformers import CLIPTextModel

    from actors.sandbox import generator

    directory = tmp_path_factory.mktemp("pipeline") / "motion"
    AnimateDiffPipeline(
        vae=generator.build_autoencoder(),
        text_encoder=CLIPTextModel(clip_config(tokenizer, 16)),
        tokenizer=tokenizer,
        unet=UNetMotionModel(
            sample_size=16,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlockMotion", "CrossAttnDownBlockMotion"),
            up_block_types=("CrossAttnUpBlockMotion", "UpBlockMotion"),
            cross_attention_dim=16,
            num_attention_heads=2,
            motion_num_attention_heads=2,
            norm_num_groups=4,
            motion_max_seq_length=8,
        ),
        motion_adapter=None,
        scheduler=DDIMScheduler(clip_sample=False),
    ).save_pretrained(directory)
    return str(directory)
