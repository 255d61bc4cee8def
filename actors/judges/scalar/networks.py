"""Reward models as modules of transformers' own parts, so that their weights load from safetensors
as those of any other model do, and nothing that is missing is made up.

The published classes are those parts too: `Qwen2VLRewardModelBT` (HPSv3, VideoAlign) is Qwen2-VL
without its vocabulary's head, and `ImageReward` is BLIP's picture and text encoders. CLIP models
need no class of ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.blip.modeling_blip import BlipPreTrainedModel, BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel, Qwen2VLPreTrainedModel

#: Widths of the hidden layers of HPSv3's head (`rm_head_type: ranknet`, no `rm_head_kwargs`), and
#: of ImageReward's stack.
_RANKNET = (1024, 16)
_IMAGE_REWARD = (1024, 128, 64, 16)


class RegressionModel(Qwen2VLPreTrainedModel):
    """Qwen2-VL with a head that reads numbers from the states of given tokens."""

    _keep_in_fp32_modules_strict = ("rm_head",)

    def __init__(self, config: Any, head: str = "linear", num_outputs: int = 1) -> None:
        super().__init__(config)
        self.model = Qwen2VLModel(config)
        width = config.text_config.hidden_size
        if head == "linear":
            self.rm_head: nn.Module = nn.Linear(width, num_outputs, bias=False)
        else:
            first, second = _RANKNET
            self.rm_head = nn.Sequential(  # numbered as published, where the third is a dropout
                nn.Linear(width, first),
                nn.ReLU(),
                nn.Identity(),
                nn.Linear(first, second),
                nn.ReLU(),
                nn.Linear(second, num_outputs),
            )
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, places: Tensor, **media: Tensor
    ) -> Tensor:
        """Numbers at tokens.

        Positions count tokens, one after the other, also within a picture: the published forward
        passes hand the language model embeddings and no positions, and so it was trained.

        Args:
            input_ids: [B, T], padded on the right.
            attention_mask: [B, T], 1 where there are tokens.
            places: of the K tokens that are read, [B, K].
            media: pixels and grids, as of Qwen2-VL.

        Returns:
            [B, K, outputs of the head], in float32.
        """
        num, length = input_ids.shape
        positions = torch.arange(length, device=input_ids.device).expand(3, num, length)
        states = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=positions,
            use_cache=False,
            **media,
        ).last_hidden_state
        read = states.gather(1, places[..., None].expand(-1, -1, states.shape[2]))
        numbers: Tensor = self.rm_head(read.float())
        return numbers


class ImageRewardModel(BlipPreTrainedModel):
    """BLIP's text encoder that attends to a picture, and linear layers on its first token."""

    _keep_in_fp32_modules_strict = ("mlp",)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.vision_model = BlipVisionModel(config.vision_config)
        self.text_encoder = BlipTextModel(config.text_config, add_pooling_layer=False)
        widths = (config.text_config.hidden_size, *_IMAGE_REWARD, 1)
        # Nothing stands between the layers, in the published model either.
        self.mlp = nn.Sequential(*map(nn.Linear, widths[:-1], widths[1:]))
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> Tensor:
        """A number for each caption [B, T] with its picture [B, 3, H, W]: [B, 1], in float32."""
        seen = self.vision_model(pixel_values=pixel_values).last_hidden_state
        states = self.text_encoder(
            input_ids=input_ids,
            attention_mask=attention_mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        ).last_hidden_state
        numbers: Tensor = self.mlp(states[:, 0].float())
        return numbers
