"""Scalar judges against the publishers' own classes, run from clones of their repositories.

    python -m tests.judges.published FOLDER    # with HPSv2, ImageReward and VideoAlign cloned in it

`references` are those classes written down again; here the very lines run, on the same tiny
weights. Their packages ask for libraries that are not installed (torchvision, timm, fairscale, an
older transformers), of which a forward pass needs next to nothing. What stands in for those is in
this file and says so. Where torchvision is installed, the publishers' own transforms of pixels run
too (`pixel_figures`). Nothing of the clones is kept.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTokenizer, Qwen2VLConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel

from actors.judges.scalar import pixels
from actors.judges.scalar.scorers import cleaned
from tests.judges import references, scalars
from tests.judges.scalars import CAPTION, Case


def figures(clones: Path) -> dict[str, object]:
    """The largest difference of a judge's numbers to those of the publisher's classes."""
    with tempfile.TemporaryDirectory() as made:
        cases = scalars.build(Path(made), is_short=True)
        found: dict[str, object] = {"tokens of HPSv2": _tokens(clones / "HPSv2")}
        for kind, run in (
            ("hpsv2", _hpsv2),
            ("imagereward", _imagereward),
            ("videoalign", _videoalign),
        ):
            judge = scalars.converted(kind, cases[kind], Path(made))
            media = scalars.shown(kind)
            shown = scalars.candidates(media)
            scores = judge.sit(scalars.prompt(kind), shown).scores()
            wanted = run(clones, cases[kind])
            found[kind] = max(
                abs(score.value - one) for score, one in zip(scores, wanted, strict=True)
            )
        return found


def pixel_figures(clones: Path) -> dict[str, object]:
    """The largest difference of pixels at the size of the model to those of the publishers' own
    transforms, which need torchvision.
    """
    from torchvision.transforms import (
        CenterCrop,
        Compose,
        InterpolationMode,
        Normalize,
        Resize,
        ToTensor,
    )

    sizes = ((300, 400), (513, 257), (1024, 1024), (100, 37), (768, 1344))
    pictures = [scalars._pixels(scalars.picture(at, *size)) for at, size in enumerate(sizes)]
    made = {"Compose": Compose, "Resize": Resize, "CenterCrop": CenterCrop, "ToTensor": ToTensor}
    made |= {"Normalize": Normalize, "BICUBIC": InterpolationMode.BICUBIC}
    transform = _from(clones / "HPSv2" / "hpsv2" / "src" / "open_clip", "transform")
    theirs = transform.image_transform(224, is_train=False, resize_longest_max=True)
    cut = _defined(
        clones / "ImageReward" / "ImageReward" / "ImageReward.py",
        ("_convert_image_to_rgb", "_transform"),
        **made,
    )["_transform"](224)
    video = _from(clones / "VideoAlign", "vision_process")
    alike, levels = True, 0.0
    for num, own, (height, width) in (
        (9, 8.0, (40, 56)),
        (81, 16.0, (480, 832)),
        (5, 24.0, (720, 1280)),
        (121, 24.0, (64, 64)),
        (50, 25.0, (100, 30)),
    ):
        places = torch.linspace(0, num - 1, video.smart_nframes({"fps": 2.0}, num, own))
        alike &= places.round().long().tolist() == pixels.chosen_frames(num, own, 2.0)
        frames = np.random.default_rng(num).integers(0, 256, (4, height, width, 3), dtype=np.uint8)
        limits = (video.VIDEO_MIN_PIXELS, 200704)
        size = video.smart_resize(height, width, 28, *limits)
        resized = video.transforms.functional.resize(
            torch.from_numpy(frames).permute(0, 3, 1, 2),
            list(size),
            interpolation=InterpolationMode.BICUBIC,
            antialias=True,
        ).float()
        ours = [np.array(one) for one in pixels.scaled_frames(frames, 28, limits)]
        shown = torch.from_numpy(np.stack(ours)).permute(0, 3, 1, 2).float()
        levels = max(levels, float((resized - shown).abs().max()))
    images = [Image.fromarray(picture) for picture in pictures]
    padded, cropped = pixels.padded(pictures, 224), pixels.cropped(pictures, 224)
    return {
        "hpsv2 pixels": _furthest(padded, [theirs(image) for image in images]),
        "imagereward pixels": _furthest(cropped, [cut(image) for image in images]),
        "videoalign levels of 255": levels,
        "videoalign frames": "alike" if alike else "not alike",
    }


def _furthest(ours: Tensor, wanted: Sequence[Tensor]) -> float:
    return float((ours - torch.stack(list(wanted))).abs().max())


@torch.no_grad()
def _hpsv2(clones: Path, case: Case) -> list[float]:
    package = clones / "HPSv2" / "hpsv2" / "src" / "open_clip"
    state = torch.load(case.source, weights_only=True)["state_dict"]
    with _modules({"torchvision.ops.misc": {"FrozenBatchNorm2d": nn.Identity}}):
        model_file = _from(package, "model")
        words = state["token_embedding.weight"].shape[0]
        model = model_file.CLIP(
            16,
            {"layers": 2, "width": 32, "head_width": 16, "patch_size": 7, "image_size": 28},
            {"context_length": 77, "vocab_size": words, "width": 16, "heads": 2, "layers": 2},
            output_dict=True,
        ).eval()
        model.load_state_dict(state)
        tokenizer = AutoTokenizer.from_pretrained(case.base)
        text = torch.zeros(1, 77, dtype=torch.long)
        ids = tokenizer(cleaned(CAPTION), truncation=True, max_length=77)["input_ids"]
        text[0, : len(ids)] = torch.tensor(ids)
        found = []
        for image in _images("hpsv2"):
            outputs = model(references._fit_longest(image, 28)[None], text)
            logits = outputs["image_features"] @ outputs["text_features"].T
            found.append(float(torch.diagonal(logits)[0]))
        return found


@torch.no_grad()
def _imagereward(clones: Path, case: Case) -> list[float]:
    package = clones / "ImageReward" / "ImageReward" / "models" / "BLIP"
    state = torch.load(case.source, weights_only=True)
    with _modules(_STAND_INS):
        vision = _from(package, "vit").VisionTransformer(
            img_size=28, patch_size=7, embed_dim=64, depth=2, num_heads=1, mlp_ratio=2
        )
        config = SimpleNamespace(
            vocab_size=80,
            hidden_size=64,
            encoder_width=64,
            num_hidden_layers=2,
            num_attention_heads=1,
            intermediate_size=128,
            max_position_embeddings=64,
            layer_norm_eps=1e-12,
            hidden_act="gelu",
            pad_token_id=0,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            add_cross_attention=True,
            chunk_size_feed_forward=0,
            output_attentions=False,
            output_hidden_states=False,
            use_return_dict=True,
        )
        text_encoder = _from(package, "med").BertModel(config=config, add_pooling_layer=False)
        head = _classes(clones / "ImageReward" / "ImageReward" / "ImageReward.py", "MLP")(64)
        for module, prefix in (
            (vision, "blip.visual_encoder."),
            (text_encoder, "blip.text_encoder."),
            (head, "mlp."),
        ):
            module.load_state_dict(references._of(state, prefix))
            module.eval()
        tokenizer = AutoTokenizer.from_pretrained(case.base)
        text = tokenizer(
            CAPTION, padding="max_length", truncation=True, max_length=35, return_tensors="pt"
        )
        found = []
        for image in _images("imagereward"):
            image_embeds = vision(references._middle(image, 28)[None])
            output = text_encoder(
                text["input_ids"],
                attention_mask=text["attention_mask"],
                encoder_hidden_states=image_embeds,
                encoder_attention_mask=torch.ones(image_embeds.size()[:-1], dtype=torch.long),
                return_dict=True,
            )
            reward = head(output.last_hidden_state[:, 0, :].float())
            found.append(float((reward - 0.16717362830052426) / 1.0333394966054072))
        return found


@torch.no_grad()
def _videoalign(clones: Path, case: Case) -> list[float]:
    """With `Qwen2VLRewardModelBT.forward` in the place of the reference's own lines."""
    published = _classes(
        clones / "VideoAlign" / "trainer.py",
        "Qwen2VLRewardModelBT",
        Qwen2VLForConditionalGeneration=_OldQwen,
    )

    def forward(
        base: Path,
        state: dict[str, Tensor],
        ids: Tensor,
        tokenizer: Any,
        tokens: list[int],
        pixels: Tensor,
        grid: Tensor,
    ) -> Tensor:
        config = Qwen2VLConfig.from_pretrained(base)
        config.text_config.vocab_size = len(tokenizer)
        older = SimpleNamespace(
            today=config,
            hidden_size=config.text_config.hidden_size,
            image_token_id=config.image_token_id,
            video_token_id=config.video_token_id,
            pad_token_id=None,
            output_attentions=False,
            output_hidden_states=False,
            use_return_dict=True,
        )
        model = published(older, output_dim=1, special_token_ids=tokens).eval()
        model.load(state)
        made = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values_videos=pixels,
            video_grid_thw=grid,
            return_dict=True,
        )
        return made["logits"][0]

    found = []
    for clip in scalars.shown("videoalign"):
        reward = references.videoalign(
            case.source,
            case.base,
            case.specification,
            CAPTION,
            scalars._every_frame(clip),
            clip.fps,
            forward,
        )
        found.append(reward["Overall"])
    return found


def _tokens(clone: Path) -> str:
    """Captions that the publisher's tokenizer and transformers' cut alike, over its own words."""
    package = clone / "hpsv2" / "src" / "open_clip"
    with _modules({"ftfy": {"fix_text": _entities}}):
        theirs = _from(package, "tokenizer")
        tokenizer = theirs._tokenizer
        merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
        renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
        vocab = {renamed.get(word, word): at for word, at in tokenizer.encoder.items()}
        ours = CLIPTokenizer(vocab=vocab, merges=merges)
        captions = [
            CAPTION,
            "A Cat's   hat,\nin 2024!",
            "1 < 2 &amp;amp; 3",
            "a" * 400,
            "we're I'll",
        ]
        captions += [
            f"a {colour} {thing}, {style}"
            for colour in ("red", "Blue", "off-white")
            for thing in ("house", "T-shirt (x2)", "O'Brien")
            for style in ("4k", "by night..")
        ]
        same = 0
        for caption in captions:
            row = theirs.tokenize([caption])[0]
            ids = ours(cleaned(caption), truncation=True, max_length=77)["input_ids"]
            same += row[: len(ids)].tolist() == ids and not row[len(ids) :].any()
        return f"{same} of {len(captions)} captions alike"


def _images(kind: str) -> list[Image.Image]:
    return scalars._images(scalars.shown(kind))


# ------------------------------------------------------------------------------------- stand-ins


class _PatchEmbed(nn.Module):
    """timm's: a convolution, flattened."""

    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int) -> None:
        super().__init__()
        self.num_patches = (img_size // patch_size) ** 2
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, patch_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class _Output(SimpleNamespace):
    """transformers' ModelOutput: its first part by place."""

    def __getitem__(self, place: int) -> Any:
        return list(vars(self).values())[place]


class _Pretrained(nn.Module):
    """transformers' PreTrainedModel as of 4.27, as far as BERT's forward pass asks for it."""

    dtype = torch.float32

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def init_weights(self) -> None:
        """Weights are loaded afterwards."""

    def get_head_mask(self, head_mask: Any, num_layers: int) -> list[None]:
        del head_mask
        return [None] * num_layers

    def invert_attention_mask(self, mask: Tensor) -> Tensor:
        return (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min


class _Visual(nn.Module):
    """Qwen2-VL's tower as of 4.45: it returns its tokens."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower

    def get_dtype(self) -> torch.dtype:
        return torch.float32

    def forward(self, pixels: Tensor, grid_thw: Tensor) -> Tensor:
        return self.tower(pixels, grid_thw=grid_thw).pooler_output


class _Language(nn.Module):
    """Qwen2-VL's language model as of 4.45, by what the published forward pass hands it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.whole = model

    @property
    def embed_tokens(self) -> Any:
        return self.whole.embed_tokens

    def forward(self, **given: Any) -> Any:
        kept = ("input_ids", "position_ids", "attention_mask", "inputs_embeds")
        return self.whole(**{name: given[name] for name in kept}, use_cache=False)


class _OldQwen(nn.Module):
    """Qwen2VLForConditionalGeneration as of 4.45 around today's parts."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.today = Qwen2VLModel(config.today)
        self.visual, self.model = _Visual(self.today.visual), _Language(self.today.language_model)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Weights under the published names, adapters beside their matrices."""
        holder = nn.Module()
        holder.model = self.today
        words = {name: one for name, one in state.items() if not name.startswith("lm_head.")}
        references._load(holder, words)
        self.rm_head.weight.copy_(state["rm_head.weight"])


def _entities(text: str) -> str:
    """ftfy on plain ASCII: entities of HTML, where no tag is."""
    import html

    return text if "<" in text else html.unescape(text)


def _chunked(forward: Any, size: int, axis: int, *tensors: Tensor) -> Tensor:
    del size, axis
    return forward(*tensors)


_NOTHING: Any = lambda *_, **__: None  # noqa: E731
_OUTPUTS = (
    *("BaseModelOutputWithPastAndCrossAttentions", "CausalLMOutputWithCrossAttentions"),
    *("BaseModelOutputWithPoolingAndCrossAttentions", "MaskedLMOutput", "TokenClassifierOutput"),
    *("MultipleChoiceModelOutput", "NextSentencePredictorOutput", "QuestionAnsweringModelOutput"),
    "SequenceClassifierOutput",
)
_STAND_INS: dict[str, dict[str, Any]] = {
    "timm.models.vision_transformer": {"_cfg": _NOTHING, "PatchEmbed": _PatchEmbed},
    "timm.models.registry": {"register_model": _NOTHING},
    "timm.models.layers": {"trunc_normal_": _NOTHING, "DropPath": nn.Identity},
    "timm.models.helpers": {"named_apply": _NOTHING, "adapt_input_conv": _NOTHING},
    "fairscale.nn.checkpoint.checkpoint_activations": {"checkpoint_wrapper": _NOTHING},
    "transformers.file_utils": {"ModelOutput": dict},
    "transformers.modeling_outputs": dict.fromkeys(_OUTPUTS, _Output),
    "transformers.modeling_utils": {
        "PreTrainedModel": _Pretrained,
        "apply_chunking_to_forward": _chunked,
        "find_pruneable_heads_and_indices": _NOTHING,
        "prune_linear_layer": _NOTHING,
    },
}


@contextmanager
def _modules(stand_ins: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """With modules of these names and contents in the place of the real ones, or of none."""
    made: dict[str, ModuleType] = {}
    for name, contents in stand_ins.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            part = ".".join(parts[:end])
            if part not in made and (part == name or part not in sys.modules):
                made[part] = ModuleType(part)
        for key, value in contents.items():
            setattr(made[name], key, value)
    with patch.dict(sys.modules, made):
        yield


def _from(package: Path, name: str) -> Any:
    """A module of a clone's package, without what its `__init__` would bring along."""
    whole = ModuleType(f"published_{package.name}")
    whole.__path__ = [str(package)]
    sys.modules[whole.__name__] = whole
    return importlib.import_module(f"{whole.__name__}.{name}")


def _classes(file: Path, name: str, **known: Any) -> Any:
    """A class of a clone's file, without what the file imports."""
    return _defined(file, (name,), torch=torch, nn=nn, **known)[name]


def _defined(file: Path, names: Sequence[str], **known: Any) -> dict[str, Any]:
    """Classes and functions of a clone's file, over names that it would import."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    bodies: list[ast.stmt] = [one for one in tree.body if getattr(one, "name", None) in names]
    space: dict[str, Any] = dict(known)
    exec("from typing import *", space)
    exec(compile(ast.Module(bodies, []), str(file), "exec"), space)
    return space


if __name__ == "__main__":
    found = figures(Path(sys.argv[1]))
    if importlib.util.find_spec("torchvision") is not None:
        found |= pixel_figures(Path(sys.argv[1]))
    print(json.dumps(found, indent=2))
