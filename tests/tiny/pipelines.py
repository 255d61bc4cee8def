"""Pipelines as they are published, in diffusers' own classes and on-disk form, with a few thousand
random weights each. What they draw is noise; that they draw, or are refused before they are loaded,
is what is tested on them.

Each builder gives the parts of one pipeline; `PIPELINES` says how a recipe draws with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    DDIMScheduler,
    DDPMScheduler,
    EDMDPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
)

from tests.tiny.texts import WIDTH, clip, decoder, qwen_vl, t5

Parts = dict[str, Any]


@dataclass(frozen=True)
class TinyPipeline:
    """One pipeline, and how it is drawn with.

    name: of the released model that it is built after.
    kind: diffusers' class, as which its files are written.
    parts: makes its parts.
    spec: of the recipe's section, beside the path.
    is_video: whether it draws clips.
    has_source: whether its prompts have a picture to start from.
    refused: what the plan says where it does not draw here.
    unaligned: what the plan says where it cannot be aligned.
    needs: a package without which it is refused.
    finish: what else is done to its files.
    """

    name: str
    kind: str
    parts: Callable[[], Parts]
    spec: dict[str, Any] = field(default_factory=dict)
    is_video: bool = False
    has_source: bool = False
    refused: str | None = None
    unaligned: str | None = None
    needs: str | None = None
    finish: Callable[[Path], None] | None = None

    def save(self, directory: Path) -> Path:
        """Write it as published."""
        torch.manual_seed(0)
        getattr(diffusers, self.kind)(**self.parts()).save_pretrained(directory)
        if self.finish is not None:
            self.finish(directory)
        return directory


# ------------------------------------------------------------------------------------ shared parts


def kl(channels: int = 4, num_halvings: int = 1, **more: Any) -> AutoencoderKL:
    """The autoencoder of pictures; its sides are halved `num_halvings` times."""
    num = num_halvings + 1
    return AutoencoderKL(
        latent_channels=channels,
        block_out_channels=(8,) * num,
        down_block_types=("DownEncoderBlock2D",) * num,
        up_block_types=("UpDecoderBlock2D",) * num,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
        **more,
    )


def unet(**more: Any) -> UNet2DConditionModel:
    settings = {
        "sample_size": 16,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**settings, **more})


def flow(**more: Any) -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(**more)


def texts(*encoders: tuple[Any, Any]) -> Parts:
    """Text encoders and tokenizers under the names that pipelines give them."""
    parts: Parts = {}
    for number, (encoder, tokenizer) in enumerate(encoders, start=1):
        suffix = "" if number == 1 else f"_{number}"
        parts[f"text_encoder{suffix}"] = encoder
        parts[f"tokenizer{suffix}"] = tokenizer
    return parts


# ------------------------------------------------------------------------------ Stable Diffusion


def sd1() -> Parts:
    return {
        "vae": kl(),
        "unet": unet(),
        "scheduler": DDIMScheduler(),
        **texts(clip()),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def sd1_with_checker(*, flags_all: bool = False) -> Parts:
    """With the safety checker and its picture processor, as version 1.5 has them."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    vision = {"image_size": 32, "patch_size": 8, "hidden_size": WIDTH, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "intermediate_size": WIDTH}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config=vision, text_config={"hidden_size": WIDTH}, projection_dim=WIDTH)
    )
    # A picture is flagged whose cosine to a concept is above its weight.
    limit = -2.0 if flags_all else 2.0
    for weights in (checker.concept_embeds_weights, checker.special_care_embeds_weights):
        weights.data.fill_(limit)
    return {
        **sd1(),
        "safety_checker": checker.eval(),
        "feature_extractor": CLIPImageProcessor(size=32, crop_size=32),
        "requires_safety_checker": True,
    }


def sdxl() -> Parts:
    conditioned = unet(
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + WIDTH,
    )
    return {
        "vae": kl(scaling_factor=0.13025),
        "unet": conditioned,
        "scheduler": EulerDiscreteScheduler(timestep_spacing="leading"),
        **texts(clip(), clip(is_projected=True)),
        "add_watermarker": False,
    }


def playground() -> Parts:
    """SDXL's parts under EDM, with latents that are normalised channel by channel."""
    scales = {"latents_mean": [-1.6, 0.1, 2.6, 0.4], "latents_std": [8.4, 5.9, 7.2, 6.1]}
    return {
        **sdxl(),
        "vae": kl(scaling_factor=0.5, **scales),
        "scheduler": EDMDPMSolverMultistepScheduler(sigma_data=0.5),
    }


def sd3() -> Parts:
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=16,
    )
    return {
        "transformer": transformer,
        "vae": kl(shift_factor=0.0609),
        "scheduler": flow(shift=3.0),
        **texts(clip(is_projected=True), clip(is_projected=True), t5(width=2 * WIDTH)),
    }


def lcm() -> Parts:
    parts = sd1()
    return {**parts, "unet": unet(time_cond_proj_dim=8), "scheduler": diffusers.LCMScheduler()}


# ------------------------------------------------------------------------------------------- Flux


def flux(in_channels: int = 16, *, is_distilled: bool = True) -> Parts:
    transformer = FluxTransformer2DModel(
        in_channels=in_channels,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=is_distilled,
        axes_dims_rope=(4, 4, 8),
    )
    return {
        "transformer": transformer,
        "vae": kl(shift_factor=0.1159),
        "scheduler": flow(shift=3.0, use_dynamic_shifting=True),
        **texts(clip(), t5()),
    }


def flux2_klein() -> Parts:
    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * WIDTH,
        timestep_guidance_channels=16,
        axes_dims_rope=[4, 4, 4, 4],
        guidance_embeds=False,
    )
    autoencoder = diffusers.AutoencoderKLFlux2(
        latent_channels=4,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
    )
    return {
        "transformer": transformer,
        "vae": autoencoder,
        "scheduler": flow(),
        **texts(decoder("Qwen3ForCausalLM", num_hidden_layers=28)),
        "is_distilled": False,
    }


# ------------------------------------------------------------------------------------- Qwen-Image


def qwen_image() -> Parts:
    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 4, 4),
    )
    autoencoder = diffusers.AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.1] * 4,
        latents_std=[2.0] * 4,
    )
    return {"transformer": transformer, "vae": autoencoder, "scheduler": flow(), **texts(qwen_vl())}


def into_edit(directory: Path) -> None:
    """Make Qwen-Image-Edit of Qwen-Image's files: it has a processor beside, which is written by
    hand, since the stock one cannot be built without torchvision.
    """
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
        Qwen2VLImageProcessorPil,
    )

    processor = directory / "processor"
    shutil.copytree(directory / "tokenizer", processor)
    sizes = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    Qwen2VLImageProcessorPil(size=sizes).save_pretrained(processor)
    index = json.loads((directory / "model_index.json").read_text())
    index |= {"_class_name": "QwenImageEditPipeline"}
    index |= {"processor": ["transformers", "Qwen2VLProcessor"]}
    (directory / "model_index.json").write_text(json.dumps(index))


# -------------------------------------------------------------------------------------------- Wan


def _wan_model(in_channels: int = 4, **more: Any) -> WanTransformer3DModel:
    return WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=in_channels,
        out_channels=4,
        text_dim=WIDTH,
        freq_dim=16,
        ffn_dim=32,
        num_layers=1,
        rope_max_seq_len=32,
        **more,
    )


def wan() -> Parts:
    autoencoder = AutoencoderKLWan(
        base_dim=3,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.5, 2.0, 0.5, 1.0],
    )
    sampler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return {
        "transformer": _wan_model(),
        "vae": autoencoder,
        "scheduler": sampler,
        **texts(t5(is_multilingual=True)),
    }


def wan_2_2() -> Parts:
    return {**wan(), "transformer_2": _wan_model(), "boundary_ratio": 0.875}


def wan_image_to_video() -> Parts:
    """As of version 2.2, without a model that looks at the picture."""
    return {
        **wan(),
        "transformer": _wan_model(4 + 4 + 4),
        "transformer_2": _wan_model(4 + 4 + 4),
        "boundary_ratio": 0.9,
        "image_encoder": None,
        "image_processor": None,
    }


# ----------------------------------------------------------------------------------- other clips


def animatediff() -> Parts:
    model = diffusers.UNetMotionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlockMotion", "CrossAttnDownBlockMotion"),
        up_block_types=("CrossAttnUpBlockMotion", "UpBlockMotion"),
        cross_attention_dim=WIDTH,
        num_attention_heads=2,
        motion_num_attention_heads=2,
        norm_num_groups=4,
        motion_max_seq_length=8,
    )
    return {
        "vae": kl(),
        "unet": model,
        "motion_adapter": None,
        "scheduler": DDIMScheduler(clip_sample=False),
        **texts(clip()),
    }


def ltx() -> Parts:
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=WIDTH,
    )
    autoencoder = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4,
        patch_size=1,
        patch_size_t=1,
    )
    return {"transformer": transformer, "vae": autoencoder, "scheduler": flow(), **texts(t5())}


def hunyuan_video() -> Parts:
    transformer = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=1,
        patch_size_t=1,
        guidance_embeds=True,
        text_embed_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        rope_axes_dim=(2, 4, 4),
    )
    autoencoder = diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
    )
    return {
        "transformer": transformer,
        "vae": autoencoder,
        "scheduler": flow(shift=7.0),
        **texts(decoder("LlamaModel"), clip()),
    }


def cogvideox() -> Parts:
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=WIDTH,
        num_layers=1,
        sample_width=4,
        sample_height=4,
        sample_frames=9,
    )
    autoencoder = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    return {
        "transformer": transformer,
        "vae": autoencoder,
        "scheduler": diffusers.CogVideoXDDIMScheduler(),
        **texts(t5()),
    }


def mochi() -> Parts:
    transformer = diffusers.MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        text_embed_dim=WIDTH,
        time_embed_dim=4,
        max_sequence_length=16,
    )
    autoencoder = diffusers.AutoencoderKLMochi(
        latent_channels=12,
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
        layers_per_block=(1,) * 5,
    )
    scheduler = flow(invert_sigmas=True)
    return {"transformer": transformer, "vae": autoencoder, "scheduler": scheduler, **texts(t5())}


# -------------------------------------------------------------------------------- other pictures


def cogview4() -> Parts:
    transformer = diffusers.CogView4Transformer2DModel(
        patch_size=2,
        in_channels=4,
        num_layers=1,
        attention_head_dim=4,
        num_attention_heads=4,
        out_channels=4,
        text_embed_dim=WIDTH,
        time_embed_dim=8,
        condition_dim=4,
    )
    scheduler = flow(use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75)
    return {
        "transformer": transformer,
        "vae": kl(),
        "scheduler": scheduler,
        **texts(decoder("GlmForCausalLM", begins=True)),
    }


def lumina2() -> Parts:
    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        hidden_size=16,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=8,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(600, 64, 64),
        cap_feat_dim=WIDTH,
    )
    return {
        "transformer": transformer,
        "vae": kl(shift_factor=0.0609),
        "scheduler": flow(),
        **texts(decoder("Gemma2Model", query_pre_attn_scalar=8)),
    }


def sana() -> Parts:
    transformer = diffusers.SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=WIDTH,
        sample_size=32,
    )
    autoencoder = diffusers.AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.41407,
    )
    return {
        "transformer": transformer,
        "vae": autoencoder,
        "scheduler": flow(shift=3.0),
        **texts(decoder("Gemma2Model", query_pre_attn_scalar=8)),
    }


def auraflow() -> Parts:
    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_projection_dim=16,
        joint_attention_dim=WIDTH,
        out_channels=4,
        pos_embed_max_size=256,
    )
    return {
        "transformer": transformer,
        "vae": kl(),
        "scheduler": flow(shift=1.73),
        **texts(t5(is_multilingual=True)),
    }


def chroma() -> Parts:
    transformer = diffusers.ChromaTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
        approximator_hidden_dim=16,
        approximator_layers=1,
        approximator_num_channels=16,
    )
    return {
        "transformer": transformer,
        "vae": kl(shift_factor=0.1159),
        "scheduler": flow(),
        **texts(t5()),
    }


def z_image() -> Parts:
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=WIDTH,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    for token in (transformer.x_pad_token, transformer.cap_pad_token):  # made without values
        token.data.fill_(1.0)
    return {
        "transformer": transformer,
        "vae": kl(shift_factor=0.1159),
        "scheduler": flow(shift=3.0),
        **texts(decoder("Qwen3Model")),
    }


def pixart_sigma() -> Parts:
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=16,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=WIDTH,
        in_channels=4,
        cross_attention_dim=16,
        out_channels=8,
    )
    scheduler = diffusers.DPMSolverMultistepScheduler()
    return {"transformer": transformer, "vae": kl(), "scheduler": scheduler, **texts(t5())}


def kandinsky3() -> Parts:
    model = diffusers.Kandinsky3UNet(
        in_channels=4,
        time_embedding_dim=4,
        groups=2,
        attention_head_dim=4,
        layers_per_block=3,
        block_out_channels=(32, 64),
        cross_attention_dim=4,
        encoder_hid_dim=WIDTH,
    )
    movq = diffusers.VQModel(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )
    return {"unet": model, "movq": movq, "scheduler": DDPMScheduler(), **texts(t5())}


# ------------------------------------------------------------------------------------- the table

_PICTURE = {"width": 32, "height": 32, "num_inference_steps": 2}
_CLIP = {**_PICTURE, "num_frames": 5, "fps": 8.0}
#: Of pipelines that would draw at the nearest of their own sizes.
_UNBINNED = {**_PICTURE, "call": {"use_resolution_binning": False}}
_NO_CLASS = "cannot be aligned"

#: In the order in which they are told.
PIPELINES = (
    TinyPipeline("Stable Diffusion 1", "StableDiffusionPipeline", sd1, _PICTURE),
    TinyPipeline(
        "Stable Diffusion 1.5, with checker", "StableDiffusionPipeline", sd1_with_checker, _PICTURE
    ),
    TinyPipeline("SDXL", "StableDiffusionXLPipeline", sdxl, _PICTURE),
    TinyPipeline(
        "SDXL, image to image",
        "StableDiffusionXLImg2ImgPipeline",
        sdxl,
        {"num_inference_steps": 4},
        has_source=True,
        unaligned=_NO_CLASS,
    ),
    TinyPipeline("Playground v2.5", "StableDiffusionXLPipeline", playground, _PICTURE),
    TinyPipeline("LCM", "LatentConsistencyModelPipeline", lcm, _PICTURE),
    TinyPipeline("Stable Diffusion 3", "StableDiffusion3Pipeline", sd3, _PICTURE),
    TinyPipeline("FLUX.1 dev", "FluxPipeline", flux, _PICTURE),
    TinyPipeline(
        "FLUX.1 Kontext",
        "FluxKontextPipeline",
        flux,
        {**_PICTURE, "call": {"max_area": 32 * 32, "_auto_resize": False}},
        has_source=True,
        unaligned=_NO_CLASS,
    ),
    TinyPipeline(
        "FLUX.1 Fill",
        "FluxFillPipeline",
        lambda: flux(40),
        _PICTURE,
        refused="needs `mask_image`",
        unaligned="needs `mask_image`",
    ),
    TinyPipeline("FLUX.2 klein", "Flux2KleinPipeline", flux2_klein, _PICTURE, unaligned=_NO_CLASS),
    TinyPipeline(
        "Qwen-Image",
        "QwenImagePipeline",
        qwen_image,
        {**_PICTURE, "call": {"true_cfg_scale": 4, "negative_prompt": "blurry"}},
        unaligned=_NO_CLASS,
    ),
    TinyPipeline(
        "Qwen-Image-Edit",
        "QwenImagePipeline",
        qwen_image,
        _PICTURE,
        has_source=True,
        unaligned=_NO_CLASS,
        needs="torchvision",
        finish=into_edit,
    ),
    TinyPipeline("Z-Image", "ZImagePipeline", z_image, _PICTURE, unaligned=_NO_CLASS),
    TinyPipeline("Sana", "SanaPipeline", sana, _UNBINNED, unaligned=_NO_CLASS),
    TinyPipeline("Lumina 2", "Lumina2Pipeline", lumina2, _PICTURE, unaligned=_NO_CLASS),
    TinyPipeline("CogView4", "CogView4Pipeline", cogview4, _PICTURE, unaligned=_NO_CLASS),
    TinyPipeline("AuraFlow", "AuraFlowPipeline", auraflow, _PICTURE, unaligned=_NO_CLASS),
    TinyPipeline("Chroma", "ChromaPipeline", chroma, _PICTURE, unaligned=_NO_CLASS),
    TinyPipeline(
        "PixArt Sigma", "PixArtSigmaPipeline", pixart_sigma, _UNBINNED, unaligned=_NO_CLASS
    ),
    TinyPipeline("Kandinsky 3", "Kandinsky3Pipeline", kandinsky3, _PICTURE, unaligned=_NO_CLASS),
    TinyPipeline("AnimateDiff", "AnimateDiffPipeline", animatediff, _CLIP, is_video=True),
    TinyPipeline("Wan 2.1", "WanPipeline", wan, _CLIP, is_video=True),
    TinyPipeline(
        "Wan 2.2", "WanPipeline", wan_2_2, _CLIP, is_video=True, unaligned="two transformers"
    ),
    TinyPipeline(
        "Wan 2.2, image to video",
        "WanImageToVideoPipeline",
        wan_image_to_video,
        _CLIP,
        is_video=True,
        has_source=True,
        unaligned="two transformers",
        needs="ftfy",
    ),
    TinyPipeline("LTX-Video", "LTXPipeline", ltx, _CLIP, is_video=True, unaligned=_NO_CLASS),
    TinyPipeline(
        "LTX-Video, image to video",
        "LTXImageToVideoPipeline",
        ltx,
        _CLIP,
        is_video=True,
        has_source=True,
        unaligned=_NO_CLASS,
    ),
    TinyPipeline(
        "HunyuanVideo",
        "HunyuanVideoPipeline",
        hunyuan_video,
        _CLIP,
        is_video=True,
        unaligned=_NO_CLASS,
    ),
    TinyPipeline(
        "CogVideoX", "CogVideoXPipeline", cogvideox, _CLIP, is_video=True, unaligned=_NO_CLASS
    ),
    TinyPipeline(
        "Mochi",
        "MochiPipeline",
        mochi,
        {**_CLIP, "num_frames": 7},
        is_video=True,
        unaligned=_NO_CLASS,
    ),
)


def named(name: str) -> TinyPipeline:
    """The one built after a release."""
    (found,) = (one for one in PIPELINES if one.name == name)
    return found
