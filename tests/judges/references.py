"""Scores of tiny reward models as their publishers' code computes them, from the published layouts.

The publishers' packages need libraries that are not installed here, so their lines are written down
again over torch and transformers' classes, in their order and from the weights under their names;
the docstrings name file and commit. Nothing here uses our scorers, our modules or our converters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoTokenizer,
    CLIPModel,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from factory.judging.scalar import ScalarSpecification

State = dict[str, Tensor]
_MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073))[:, None, None]
_STD = torch.tensor((0.26862954, 0.26130258, 0.27577711))[:, None, None]


@torch.no_grad()
def pickscore(directory: Path, caption: str, images: Sequence[Image.Image]) -> list[float]:
    """`calc_probs` of yuvalkirstain/PickScore's README at f79607ff, up to its softmax."""
    processor = CLIPImageProcessorPil.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = CLIPModel.from_pretrained(directory, use_safetensors=True).eval()
    image_inputs = processor(images=list(images), return_tensors="pt")
    text_inputs = tokenizer(
        caption, padding=True, truncation=True, max_length=77, return_tensors="pt"
    )
    image_embs = model.get_image_features(**image_inputs).pooler_output
    image_embs = image_embs / torch.norm(image_embs, dim=-1, keepdim=True)
    text_embs = model.get_text_features(**text_inputs).pooler_output
    text_embs = text_embs / torch.norm(text_embs, dim=-1, keepdim=True)
    return (model.logit_scale.exp() * (text_embs @ image_embs.T)[0]).tolist()


@torch.no_grad()
def hpsv2(file: Path, base: Path, caption: str, images: Sequence[Image.Image]) -> list[float]:
    """`score` of tgxs002/HPSv2 at 866735ec, hpsv2/img_score.py, with its open_clip's `CLIP`."""
    state = torch.load(file, weights_only=True)["state_dict"]
    tokenizer = AutoTokenizer.from_pretrained(base)
    text = torch.zeros(1, 77, dtype=torch.long)
    ids = tokenizer(caption, truncation=True, max_length=77)["input_ids"]
    text[0, : len(ids)] = torch.tensor(ids)
    x = state["token_embedding.weight"][text] + state["positional_embedding"]
    mask = torch.full((77, 77), float("-inf")).triu_(1)
    x = _open_clip_tower(x, state, "transformer", 2, mask)
    x = _norm(x, state, "ln_final")
    x = x[torch.arange(1), text.argmax(dim=-1)] @ state["text_projection"]
    said = F.normalize(x, dim=-1)
    found = []
    for image in images:
        pixels = _fit_longest(image, 28)[None]
        x = F.conv2d(pixels, state["visual.conv1.weight"], stride=7)
        x = x.flatten(2).permute(0, 2, 1)
        x = torch.cat([state["visual.class_embedding"].expand(1, 1, -1), x], dim=1)
        x = _norm(x + state["visual.positional_embedding"], state, "visual.ln_pre")
        x = _open_clip_tower(x, state, "visual.transformer", 2, None)
        x = _norm(x[:, 0], state, "visual.ln_post") @ state["visual.proj"]
        found.append(float((F.normalize(x, dim=-1) @ said.T)[0, 0]))
    return found


def _fit_longest(image: Image.Image, side: int) -> Tensor:
    """`ToTensor`, `ResizeMaxSize`, `MaskAwareNormalize` of transform.py, on [3, H, W]."""
    img = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    height, width = img.shape[1:]
    scale = side / float(max(height, width))
    if scale != 1.0:
        new_size = tuple(round(dim * scale) for dim in (height, width))
        img = F.interpolate(
            img[None], new_size, mode="bicubic", align_corners=False, antialias=True
        )[0]
        pad_h, pad_w = side - new_size[0], side - new_size[1]
        left, top = pad_w // 2, pad_h // 2
        img = F.pad(img, (left, pad_w - left, top, pad_h - top), value=0)
    return (img - _MEAN) / _STD


def _open_clip_tower(x: Tensor, state: State, name: str, heads: int, mask: Tensor | None) -> Tensor:
    """`ResidualAttentionBlock` after block, with torch's own attention."""
    width = x.shape[-1]
    for layer in range(2):
        block = f"{name}.resblocks.{layer}"
        attention = nn.MultiheadAttention(width, heads, batch_first=True).eval()
        attention.load_state_dict(
            {
                part: state[f"{block}.attn.{part}"]
                for part in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
            }
        )
        y = _norm(x, state, f"{block}.ln_1")
        x = x + attention(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = F.gelu(_linear(_norm(x, state, f"{block}.ln_2"), state, f"{block}.mlp.c_fc"))
        x = x + _linear(y, state, f"{block}.mlp.c_proj")
    return x


@torch.no_grad()
def imagereward(file: Path, base: Path, caption: str, images: Sequence[Image.Image]) -> list[float]:
    """`inference_rank` of THUDM/ImageReward at c1392c6d, ImageReward/ImageReward.py."""
    state = torch.load(file, weights_only=True)
    tokenizer = AutoTokenizer.from_pretrained(base)
    text = tokenizer(
        caption, padding="max_length", truncation=True, max_length=35, return_tensors="pt"
    )
    found = []
    for image in images:
        seen = _blip_picture(_middle(image, 28)[None], state, 7)
        states = _blip_text(text["input_ids"], text["attention_mask"], seen, state)
        x = states[:, 0]
        for layer in (0, 2, 4, 6, 7):
            x = _linear(x, state, f"mlp.layers.{layer}")
        found.append(float((x[0, 0] - 0.16717362830052426) / 1.0333394966054072))
    return found


def _middle(image: Image.Image, side: int) -> Tensor:
    """torchvision's Resize, CenterCrop, ToTensor and Normalize of a Pillow picture."""
    width, height = image.size
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = side, int(side * long / short)
    new = (new_short, new_long) if width <= height else (new_long, new_short)
    image = image.resize(new, Image.Resampling.BICUBIC)
    top = round((image.height - side) / 2.0)
    left = round((image.width - side) / 2.0)
    image = image.crop((left, top, left + side, top + side))
    img = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
    return (img - _MEAN) / _STD


def _blip_picture(pixels: Tensor, state: State, patch: int) -> Tensor:
    """`VisionTransformer` of models/BLIP/vit.py, with heads of width 64."""
    name = "blip.visual_encoder"
    x = F.conv2d(
        pixels,
        state[f"{name}.patch_embed.proj.weight"],
        state[f"{name}.patch_embed.proj.bias"],
        stride=patch,
    )
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat((state[f"{name}.cls_token"], x), dim=1)
    x = x + state[f"{name}.pos_embed"][:, : x.size(1)]
    for layer in range(2):
        block = f"{name}.blocks.{layer}"
        y = _norm(x, state, f"{block}.norm1", 1e-6)
        count, wide = y.shape[1:]
        qkv = _linear(y, state, f"{block}.attn.qkv").reshape(1, count, 3, wide // 64, 64)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * 64**-0.5).softmax(dim=-1)
        y = (weights @ v).transpose(1, 2).reshape(1, count, wide)
        x = x + _linear(y, state, f"{block}.attn.proj")
        y = F.gelu(_linear(_norm(x, state, f"{block}.norm2", 1e-6), state, f"{block}.mlp.fc1"))
        x = x + _linear(y, state, f"{block}.mlp.fc2")
    return _norm(x, state, f"{name}.norm", 1e-6)


def _blip_text(ids: Tensor, mask: Tensor, seen: Tensor, state: State) -> Tensor:
    """`BertModel` of models/BLIP/med.py in mode "multimodal", with heads of width 64."""
    name = "blip.text_encoder"
    places = torch.arange(ids.shape[1])[None]
    x = state[f"{name}.embeddings.word_embeddings.weight"][ids]
    x = x + state[f"{name}.embeddings.position_embeddings.weight"][places]
    x = _norm(x, state, f"{name}.embeddings.LayerNorm", 1e-12)
    added = (1.0 - mask[:, None, None, :].float()) * -10000.0
    for layer in range(2):
        block = f"{name}.encoder.layer.{layer}"
        x = _bert_attention(x, x, added, state, f"{block}.attention")
        x = _bert_attention(x, seen, torch.zeros(1), state, f"{block}.crossattention")
        y = F.gelu(_linear(x, state, f"{block}.intermediate.dense"))
        y = _linear(y, state, f"{block}.output.dense")
        x = _norm(y + x, state, f"{block}.output.LayerNorm", 1e-12)
    return x


def _bert_attention(x: Tensor, over: Tensor, added: Tensor, state: State, name: str) -> Tensor:
    def heads(y: Tensor, which: str) -> Tensor:
        z = _linear(y, state, f"{name}.self.{which}")
        return z.view(*z.shape[:2], -1, 64).permute(0, 2, 1, 3)

    q, k, v = heads(x, "query"), heads(over, "key"), heads(over, "value")
    weights = (q @ k.transpose(-1, -2) / math.sqrt(64) + added).softmax(dim=-1)
    y = (weights @ v).permute(0, 2, 1, 3).reshape(x.shape)
    y = _linear(y, state, f"{name}.output.dense")
    return _norm(y + x, state, f"{name}.output.LayerNorm", 1e-12)


def _norm(x: Tensor, state: State, name: str, eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def _linear(x: Tensor, state: State, name: str) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


@torch.no_grad()
def hpsv3(
    file: Path, base: Path, specification: ScalarSpecification, caption: str, image: Image.Image
) -> list[float]:
    """`reward` of MizzenAI/HPSv3 at 72b7ebaf, hpsv3/inference.py: mu and the logarithm of sigma."""
    width, height = image.size
    size = _smart_resize(height, width, 28, specification.min_pixels, specification.max_pixels)
    shown = image.resize(size[::-1], Image.Resampling.BICUBIC)
    processor = Qwen2VLImageProcessorPil.from_pretrained(base)
    inputs = processor(images=[shown], return_tensors="pt")
    state = load_file(file)
    head = nn.Sequential(
        nn.Linear(32, 1024),
        nn.ReLU(),
        nn.Dropout(0.05),
        nn.Linear(1024, 16),
        nn.ReLU(),
        nn.Linear(16, 2),
    ).eval()
    pixels, grid = inputs["pixel_values"], inputs["image_grid_thw"]
    ids, tokenizer = _qwen_ids(base, specification, caption, "image", grid)
    hidden = _qwen_states(base, state, ids, tokenizer, pixels, grid)
    head.load_state_dict(_of(state, "rm_head."))
    logits = head(hidden)
    token = tokenizer.convert_tokens_to_ids("<|Reward|>")
    return logits[ids == token].view(-1).tolist()


@torch.no_grad()
def videoalign(
    directory: Path,
    base: Path,
    specification: ScalarSpecification,
    caption: str,
    frames: np.ndarray,
    fps: float,
    forward: Callable[..., Tensor] | None = None,
) -> dict[str, float]:
    """`reward` of KwaiVGI/VideoAlign at 219ab9db, inference.py, adapters beside their matrices.

    frames: all of the clip, [T, H, W, 3].
    forward: of the model; `_at_tokens` where not given.
    """
    forward = forward or _at_tokens
    total = len(frames)
    nframes = min(max(total / fps * 2.0, 4), min(768, total) // 2 * 2)
    nframes = min(round(nframes / 2) * 2, total)
    places = torch.linspace(0, total - 1, nframes).round().long()
    video = torch.from_numpy(frames)[places].permute(0, 3, 1, 2)
    limits = (specification.min_pixels, specification.max_pixels)
    size = _smart_resize(*video.shape[2:], 28, *limits)
    video = F.interpolate(video.float(), size, mode="bicubic", align_corners=False, antialias=True)
    whole = video.clamp(0, 255).round()
    processor = Qwen2VLImageProcessorPil.from_pretrained(base)
    pictures = [Image.fromarray(one.permute(1, 2, 0).byte().numpy()) for one in whole]
    made = processor(images=pictures, return_tensors="pt")
    _, rows, columns = made["image_grid_thw"][0].tolist()
    # Each picture's patches hold it twice; a clip's hold two frames, one after the other.
    split = made["pixel_values"].reshape(len(pictures) // 2, 2, rows * columns, 3, 2, -1)
    num = len(pictures) // 2
    woven = split[:, :, :, :, 0].permute(0, 2, 3, 1, 4).reshape(num * rows * columns, -1)
    grid = torch.tensor([[num, rows, columns]])
    saved = torch.load(directory / "checkpoint-7" / "model.pth", weights_only=True)
    state = {name.removeprefix("base_model.model."): one for name, one in saved.items()}
    ids, tokenizer = _qwen_ids(base, specification, caption, "video", grid)
    tokens = tokenizer.convert_tokens_to_ids(list(specification.tokens))
    pooled = forward(base, state, ids, tokenizer, tokens, woven, grid).tolist()
    norms = {"vq": (0.5, 2.0), "mq": (-0.25, 1.5), "ta": (0.1, 0.75)}
    reward = {
        name: (one - mean) / std
        for one, (name, (mean, std)) in zip(pooled, norms.items(), strict=True)
    }
    return {**reward, "Overall": sum(reward.values())}


def _at_tokens(
    base: Path,
    state: State,
    ids: Tensor,
    tokenizer: Any,
    tokens: Sequence[int],
    pixels: Tensor,
    grid: Tensor,
) -> Tensor:
    """The end of `Qwen2VLRewardModelBT.forward` with reward_token "special": [3]."""
    logits = _qwen_states(base, state, ids, tokenizer, pixels, grid) @ state["rm_head.weight"].T
    is_special = sum((ids == token).int() for token in tokens).bool()
    return logits[is_special].view(1, 3, -1).view(1, -1)[0]


def _qwen_ids(
    base: Path, specification: ScalarSpecification, caption: str, kind: str, grid: Tensor
) -> tuple[Tensor, Any]:
    """Token ids [1, T] of what is asked about one medium, and the tokenizer with its new tokens."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": list(specification.tokens)})
    words = specification.template.replace("{prompt}", caption)
    content = [{"type": kind}, {"type": "text", "text": words}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    pad = f"<|{kind}_pad|>"
    text = text.replace(pad, pad * (int(grid[0].prod()) // 4))
    return torch.tensor([tokenizer(text)["input_ids"]]), tokenizer


def _qwen_states(
    base: Path, state: State, ids: Tensor, tokenizer: Any, pixels: Tensor, grid: Tensor
) -> Tensor:
    """`Qwen2VLRewardModelBT.forward` up to its last hidden states [1, T, D]: embeddings of words
    and media go to the language model without positions.
    """
    config = Qwen2VLConfig.from_pretrained(base)
    config.text_config.vocab_size = len(tokenizer)
    model = Qwen2VLForConditionalGeneration(config).eval()
    _load(model, state)
    inputs_embeds = model.model.language_model.embed_tokens(ids)
    features = model.model.visual(pixels, grid_thw=grid).pooler_output
    is_medium = (ids == config.image_token_id) | (ids == config.video_token_id)
    mask = is_medium.unsqueeze(-1).expand_as(inputs_embeds)
    inputs_embeds = inputs_embeds.masked_scatter(mask, features)
    outputs = model.model.language_model(
        input_ids=None,
        position_ids=None,
        attention_mask=torch.ones_like(ids),
        inputs_embeds=inputs_embeds,
        use_cache=False,
    )
    return outputs[0]


class _Adapted(nn.Module):
    """peft's LoRA layer: the matrix, and beside it two factors."""

    def __init__(self, linear: nn.Linear, first: Tensor, second: Tensor, scale: float) -> None:
        super().__init__()
        self.linear, self.first, self.second, self.scale = linear, first, second, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.scale * (x @ self.first.T @ self.second.T)


def _load(model: nn.Module, state: State) -> None:
    """The published names into today's class, adapters beside their matrices."""
    plain = {
        _today(name.replace(".base_layer.", ".")): one
        for name, one in state.items()
        if "lora_" not in name and not name.startswith("rm_head.")
    }
    missing, unexpected = model.load_state_dict(plain, strict=False)
    assert not missing
    assert not unexpected
    for name, first in state.items():
        if ".lora_A." not in name:
            continue
        stem = _today(name.partition(".lora_A.")[0])
        owner, _, last = stem.rpartition(".")
        second = state[name.replace(".lora_A.", ".lora_B.")]
        parent = model.get_submodule(owner)
        setattr(parent, last, _Adapted(getattr(parent, last), first, second, 8 / 4))


def _today(name: str) -> str:
    if name.startswith("visual."):
        return f"model.{name}"
    return name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name


def _of(state: State, prefix: str) -> State:
    found = {name: one for name, one in state.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): one for name, one in found.items()}


def _smart_resize(height: int, width: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """qwen-vl-utils' own, as both publishers copied it."""
    h_bar = max(factor, round(height / factor) * factor)
    w_bar = max(factor, round(width / factor) * factor)
    if h_bar * w_bar > most:
        beta = math.sqrt((height * width) / most)
        h_bar = math.floor(height / beta / factor) * factor
        w_bar = math.floor(width / beta / factor) * factor
    elif h_bar * w_bar < least:
        beta = math.sqrt(least / (height * width))
        h_bar = math.ceil(height * beta / factor) * factor
        w_bar = math.ceil(width * beta / factor) * factor
    return h_bar, w_bar
