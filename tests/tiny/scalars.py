"""Small reward models with random weights, in the layouts in which the real ones are published:
pickles under open_clip's and BLIP's names, adapters over a base, a directory in LLaVA's own format.

Names and layouts were read from the publishers' code (`factory/judging/scalars/*.json` says at
which commits). Their numbers mean nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertTokenizer,
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    SiglipVisionConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from actors.judges.scalar.networks import RegressionModel
from tests.tiny.spelt import build_tokenizer
from tests.tiny.texts import clip_tokenizer

SIDE = 28  # of the tiny CLIP's and BLIP's pictures
_QWEN = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
#: As Qwen2-VL's template shows media.
_TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<|vision_start|><|{{ part['type'] }}_pad|><|vision_end|>{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_clip_base(directory: Path) -> Path:
    """A CLIP in transformers' format: PickScore's own, and the base of HPSv2."""
    tokenizer = clip_tokenizer()
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "hidden_act": "gelu",
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": 7,
            "hidden_act": "gelu",
        },
        projection_dim=16,
    )
    model = CLIPModel(config)
    _spread(model)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    size = {"shortest_edge": SIDE}
    CLIPImageProcessorPil(size=size, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(
        directory
    )
    return directory


def save_hpsv2(file: Path, words: int) -> Path:
    """An open_clip state as HPSv2's `.pt` holds it, of the same sizes as `save_clip_base`."""
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (77, 16),
        "text_projection": (16, 16),
        "logit_scale": (),
        "visual.class_embedding": (32,),
        "visual.positional_embedding": ((SIDE // 7) ** 2 + 1, 32),
        "visual.proj": (32, 16),
        "visual.conv1.weight": (32, 3, 7, 7),
        "token_embedding.weight": (words, 16),
    }
    for norm, width in (("visual.ln_pre", 32), ("visual.ln_post", 32), ("ln_final", 16)):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for tower, width in (("visual.transformer", 32), ("transformer", 16)):
        for layer in range(2):
            block = f"{tower}.resblocks.{layer}"
            shapes[f"{block}.attn.in_proj_weight"] = (3 * width, width)
            shapes[f"{block}.attn.in_proj_bias"] = (3 * width,)
            for name, out, into in (
                ("attn.out_proj", width, width),
                ("mlp.c_fc", 4 * width, width),
                ("mlp.c_proj", width, 4 * width),
            ):
                shapes |= {f"{block}.{name}.weight": (out, into), f"{block}.{name}.bias": (out,)}
            for name in ("ln_1", "ln_2"):
                shapes |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
    state = _random(shapes) | {"logit_scale": torch.tensor(4.6052)}
    torch.save({"epoch": 3, "state_dict": state}, file)
    return file


def save_bert_base(directory: Path) -> Path:
    """A tokenizer of BERT's class, of which letters are the words."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{one}" for one in letters),
    ]
    BertTokenizer(vocab={word: at for at, word in enumerate(words)}).save_pretrained(directory)
    return directory


def save_imagereward(file: Path) -> Path:
    """A state as ImageReward's `.pt` holds it: encoders of width 64, and what no score needs."""
    width, inner = 64, 128
    shapes: dict[str, tuple[int, ...]] = {
        "blip.visual_encoder.cls_token": (1, 1, width),
        "blip.visual_encoder.pos_embed": (1, (SIDE // 7) ** 2 + 1, width),
        "blip.vision_proj.weight": (8, width),
        "blip.vision_proj.bias": (8,),
        "blip.text_proj.weight": (8, width),
        "blip.text_proj.bias": (8,),
        "blip.text_encoder.embeddings.word_embeddings.weight": (80, width),
        "blip.text_encoder.embeddings.position_embeddings.weight": (64, width),
    }
    linear: dict[str, tuple[int, ...]] = {"blip.visual_encoder.patch_embed.proj": (width, 3, 7, 7)}
    norms = ["blip.visual_encoder.norm", "blip.text_encoder.embeddings.LayerNorm"]
    for layer in range(2):
        block = f"blip.visual_encoder.blocks.{layer}"
        linear[f"{block}.attn.qkv"] = (3 * width, width)
        linear[f"{block}.attn.proj"] = (width, width)
        linear[f"{block}.mlp.fc1"], linear[f"{block}.mlp.fc2"] = (inner, width), (width, inner)
        norms += [f"{block}.norm1", f"{block}.norm2"]
        block = f"blip.text_encoder.encoder.layer.{layer}"
        for kind in ("attention", "crossattention"):
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                linear[f"{block}.{kind}.{part}"] = (width, width)
            norms.append(f"{block}.{kind}.output.LayerNorm")
        linear[f"{block}.intermediate.dense"] = (inner, width)
        linear[f"{block}.output.dense"] = (width, inner)
        norms.append(f"{block}.output.LayerNorm")
    for place, (out, into) in zip(
        (0, 2, 4, 6, 7), ((1024, width), (128, 1024), (64, 128), (16, 64), (1, 16)), strict=True
    ):
        linear[f"mlp.layers.{place}"] = (out, into)
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    state = _random(shapes)
    state["blip.text_encoder.embeddings.position_ids"] = torch.arange(64)[None]
    torch.save(state, file)
    return file


def save_qwen_base(directory: Path) -> Path:
    """Configuration, tokenizer and image processor of a Qwen2-VL, without weights."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer: PreTrainedTokenizerFast = build_tokenizer(_QWEN)
    tokenizer.chat_template = _TEMPLATE
    start, end, image, video = map(tokenizer.convert_tokens_to_ids, _QWEN)
    config = Qwen2VLConfig(
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 8192,
            "initializer_range": 0.12,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 3, 3],
            },
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    Qwen2VLImageProcessorPil().save_pretrained(directory)
    return directory


def qwen_state(base: Path, num_tokens: int, head: str, num_outputs: int) -> dict[str, Tensor]:
    """Random weights of a regression model over a base, under the published class's older names."""
    config = Qwen2VLConfig.from_pretrained(base)
    config.text_config.vocab_size += num_tokens
    torch.manual_seed(1)
    model = RegressionModel(config, head, num_outputs)
    _spread(model)
    state = {}
    for name, tensor in model.state_dict().items():
        older = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
        state[older] = tensor.clone()
    state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()
    return state


def save_hpsv3(file: Path, base: Path) -> Path:
    """HPSv3's single file of weights."""
    from safetensors.torch import save_file

    save_file(qwen_state(base, 1, "ranknet", 2), file)
    return file


def save_videoalign(directory: Path, base: Path) -> Path:
    """VideoReward's directory: a configuration, and a whole state with adapters beside each matrix
    of the language model.
    """
    state = qwen_state(base, 3, "linear", 1)
    rng = torch.Generator().manual_seed(2)
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        is_adapted = name.startswith("model.layers.") and name.endswith("_proj.weight")
        if not is_adapted:
            made[f"base_model.model.{name}"] = tensor
            continue
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        made[f"{stem}.base_layer.weight"] = tensor
        out, into = tensor.shape
        made[f"{stem}.lora_A.default.weight"] = 0.3 * torch.randn(4, into, generator=rng)
        made[f"{stem}.lora_B.default.weight"] = 0.3 * torch.randn(out, 4, generator=rng)
    for bias in [name for name in made if name.endswith("_proj.bias")]:
        made[bias.replace("_proj.bias", "_proj.base_layer.bias")] = made.pop(bias)
    told = {
        "data_config": {
            "eval_dim": ["VQ", "MQ", "TA"],
            "prompt_template_type": "detailed_special",
            "sample_type": "uniform",
            "num_frames": None,
            "fps": 2.0,
            "max_frame_pixels": 200704,
        },
        "model_config": {"output_dim": 1, "use_special_tokens": True, "reward_token": "special"},
        "peft_lora_config": {
            "lora_enable": True,
            "lora_r": 4,
            "lora_alpha": 8,
            "use_rslora": False,
        },
        "inference_config": {
            **{"VQ_mean": 0.5, "VQ_std": 2.0, "MQ_mean": -0.25, "MQ_std": 1.5},
            **{"TA_mean": 0.1, "TA_std": 0.75},
        },
    }
    (directory / "checkpoint-7").mkdir(parents=True)
    (directory / "model_config.json").write_text(json.dumps(told))
    torch.save(made, directory / "checkpoint-7" / "model.pth")
    return directory


def save_llava_qwen(directory: Path) -> tuple[Path, Path]:
    """A `llava_qwen` directory in its authors' layout, and the configuration of its SigLIP beside
    it.
    """
    from safetensors.torch import save_file
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    directory.mkdir(parents=True)
    tokenizer = build_tokenizer([])
    rows = len(tokenizer) + 8  # Qwen2 has rows that no word uses
    text = {
        "vocab_size": rows,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "max_position_embeddings": 2048,
    }
    siglip = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
        "vision_use_head": False,
    }
    torch.manual_seed(3)
    config = LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **text},
        vision_config={"model_type": "siglip_vision_model", **siglip},
    )
    model = LlavaOnevisionForConditionalGeneration(config)
    tower = "model.vision_tower."
    state = {}
    for name, tensor in model.state_dict().items():
        theirs = name
        if name.startswith(tower):
            rest = name.removeprefix(tower).removeprefix("vision_model.")
            theirs = f"model.vision_tower.vision_tower.vision_model.{rest}"
        theirs = theirs.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
        theirs = theirs.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")
        state[theirs.replace("model.language_model.", "model.")] = tensor.clone()
    save_file(state, directory / "model.safetensors")
    tokenizer.save_pretrained(directory)
    told = {
        **{"model_type": "llava_qwen", "architectures": ["LlavaQwenForCausalLM"], **text},
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2,
        "mm_patch_merge_type": "spatial_unpad",
        "mm_use_im_start_end": False,
        "mm_resampler_type": None,
        "image_aspect_ratio": "anyres_max_9",
        "image_grid_pinpoints": "(1x1),...,(2x2)",
    }
    (directory / "config.json").write_text(json.dumps(told))
    base = directory.with_name("siglip")
    SiglipVisionConfig(**siglip).save_pretrained(base)
    return directory, base


def _spread(model: Any) -> None:
    """Weights wide enough that a number depends on what is shown."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.15)


def _random(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(4)
    made = {}
    for name, shape in shapes.items():
        tensor = 0.15 * torch.randn(shape, generator=rng)
        is_norm = len(shape) == 1 and name.endswith("weight")
        made[name] = 1 + tensor if is_norm else tensor
    return made
