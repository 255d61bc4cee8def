"""The language model of a judge: prompts with visual tokens in, logits or text out.

Prompts that begin alike share that beginning: it is computed once and its keys and values are kept
for the sitting. A duel then costs the tokens of its second side, and an answer to a question those
of the answer. Rows of a batch are padded on the left and sorted by length, so little is padded;
positions are given, never counted from the padding. Models whose attention does not see the whole
prompt keep nothing and compute every prompt as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from actors.answering import SeededSampling
from actors.judges.eyes import Eyes, Seen
from actors.judges.heads import Head
from actors.judges.prompts import Text
from actors.judges.sampling import Chance, next_tokens

Logits = npt.NDArray[np.floating]
#: What identifies a beginning: its token ids, and which media they show.
Key = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class Beginning:
    """A computed beginning of prompts.

    cache: keys and values [H, T, D] of each layer.
    logits: [V], those after its last token.
    """

    cache: tuple[tuple[Tensor, Tensor], ...]
    length: int
    logits: Tensor


class Written(NamedTuple):
    """What the model wrote after a prompt.

    ids: tokens before a stop.
    is_cut: whether the length limit came before a stop.
    least_p: probability of the least probable token, the stop among them.
    """

    ids: list[int]
    is_cut: bool
    least_p: float


@dataclass(frozen=True)
class Row:
    """What one row of a batch adds to its beginning: embeddings [T, D] and positions [axes, T]."""

    begin: Beginning | None
    embeddings: Tensor
    positions: Tensor

    @property
    def length(self) -> int:
        return len(self.embeddings)


class Decoder:
    """Runs prompts of one sitting, which share the media that were `seen`."""

    def __init__(self, model: Any, eyes: Eyes, seen: Sequence[Seen], max_batch: int) -> None:
        self.model = model
        self.eyes = eyes
        self.seen = seen
        self.max_batch = max_batch
        self.num_passes = 0
        self._device = model.device
        self._embed = model.get_input_embeddings()
        self._head = Head(model)
        self._kept: dict[Key, Beginning] = {}
        layers = getattr(model.config.get_text_config(), "layer_types", None) or ()
        self.shares = all(layer == "full_attention" for layer in layers)

    @torch.inference_mode()
    def logits(self, texts: Sequence[Text], chain: Sequence[int] = ()) -> Logits:
        """Logits after each prompt and after each token of `chain` that follows it.

        Returns:
            [B, len(chain) + 1, V], as float32.
        """
        rows, known = [], []
        for text in texts:
            begin = self._beginning(text, texts)
            is_whole = begin is not None and begin.length == len(text.ids)
            known.append(begin.logits if begin is not None and is_whole else None)
            rows.append(self._row(text, begin, chain))
        wanted = len(chain) + 1
        found: dict[int, Tensor] = {}
        for batch in self._batches(rows):
            output, _, _ = self._forward([rows[at] for at in batch], wanted)
            found |= dict(zip(batch, output.float().cpu(), strict=True))
        stacked = []
        for at, before in enumerate(known):
            if before is None:
                stacked.append(found[at][-wanted:])
            else:
                after = [found[at][-len(chain) :]] if chain else []
                stacked.append(torch.cat([before.float().cpu()[None], *after]))
        return np.asarray(torch.stack(stacked).numpy())

    @torch.inference_mode()
    def generate(
        self,
        texts: Sequence[Text],
        max_tokens: int,
        stops: Sequence[int],
        chance: Chance | None = None,
    ) -> list[Written]:
        """What the model writes after each prompt: the most probable token each time, or as
        `chance` draws.
        """
        rows = [self._row(text, self._beginning(text, texts, leave=1), ()) for text in texts]
        written: dict[int, Written] = {}
        for batch in self._batches(rows):
            drawing = chance.of(batch) if chance else None
            tokens = self._write([rows[at] for at in batch], max_tokens, set(stops), drawing)
            for at, (ids, p) in zip(batch, tokens, strict=True):
                stop = next((i for i, one in enumerate(ids) if one in set(stops)), None)
                least = min(p if stop is None else p[: stop + 1], default=1.0)
                written[at] = Written(ids[:stop], stop is None, least)
        return [written[at] for at in range(len(texts))]

    def _write(
        self,
        rows: Sequence[Row],
        max_tokens: int,
        stops: set[int],
        drawing: SeededSampling | None,
    ) -> list[tuple[list[int], list[float]]]:
        """Tokens and their probabilities for each row, some of them after a stop."""
        output, cache, mask = self._forward(rows, 1)
        positions = torch.stack([row.positions[:, -1] for row in rows], dim=1)  # [axes, B]
        # After a picture the text goes on from the largest of its axes' positions.
        positions = positions.amax(dim=0, keepdim=True).expand_as(positions).clone()
        made: list[tuple[list[int], list[float]]] = [([], []) for _ in rows]
        for step in range(max_tokens):
            log_p, tokens = next_tokens(output[:, -1], drawing)
            for (ids, p), token, chance in zip(
                made, tokens.tolist(), log_p.exp().tolist(), strict=True
            ):
                ids.append(token)
                p.append(chance)
            if step + 1 == max_tokens or all(stops & set(ids) for ids, _ in made):
                break
            positions += 1
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
            embedded = self._embed(tokens[:, None])
            output, cache = self._call(embedded, mask, positions[:, :, None], cache, 1)
        return made

    def _beginning(self, text: Text, texts: Sequence[Text], leave: int = 0) -> Beginning | None:
        """The longest kept beginning, after what this call's prompts share has been computed."""
        cuts = [cut for cut in text.cuts if cut[0] <= len(text.ids) - leave]
        if not self.shares or not cuts:
            return None
        if _key(text, cuts[-1]) not in self._kept:
            self._keep(texts, leave)
        return self._kept[_key(text, cuts[-1])]

    def _keep(self, texts: Sequence[Text], leave: int) -> None:
        """Compute the beginnings of all these prompts, shorter ones first."""
        for level in range(max(len(text.cuts) for text in texts)):
            needed: dict[Key, Row] = {}
            for text in texts:
                if level >= len(text.cuts) or text.cuts[level][0] > len(text.ids) - leave:
                    continue
                key = _key(text, text.cuts[level])
                if key not in self._kept and key not in needed:
                    parent = self._kept[_key(text, text.cuts[level - 1])] if level else None
                    needed[key] = self._row(Text(*key), parent, ())
            keys, rows = list(needed), list(needed.values())
            for batch in self._batches(rows):
                some = [rows[at] for at in batch]
                output, cache, _ = self._forward(some, 1)
                for place, at in enumerate(batch):
                    self._kept[keys[at]] = _cut_out(cache, place, some, output[place, -1])

    def _row(self, text: Text, begin: Beginning | None, chain: Sequence[int]) -> Row:
        """The part of a prompt that its beginning lacks, and the chain after it."""
        done = 0 if begin is None else begin.length
        media = [self.seen[index] for index in text.media]
        ids = torch.tensor([*text.ids, *chain], dtype=torch.long)
        positions = self.eyes.positions(ids.tolist(), media)
        is_visual = torch.isin(ids, torch.tensor(self.eyes.placeholders))
        device = self._device
        embeddings = self._embed(ids[done:].to(device))
        visual_before = int(is_visual[:done].sum())
        if is_visual[done:].any():
            features = torch.cat([one.features for one in media])[visual_before:]
            embeddings = embeddings.clone()
            embeddings[is_visual[done:].to(device)] = features.to(embeddings.dtype)
        return Row(begin, embeddings, positions[:, done:].to(device))

    def _batches(self, rows: Sequence[Row]) -> list[list[int]]:
        """Indices of the rows that have tokens to run, in batches of like lengths."""
        order = sorted((at for at, row in enumerate(rows) if row.length), key=_length_of(rows))
        starts = range(0, len(order), self.max_batch)
        return [order[start : start + self.max_batch] for start in starts]

    def _forward(self, rows: Sequence[Row], num_last: int) -> tuple[Tensor, Any, Tensor]:
        """Logits [B, num_last, V], the cache and the mask [B, T] of rows with their beginnings."""
        from transformers import DynamicCache

        size = max(row.length for row in rows)
        before = max(row.begin.length if row.begin else 0 for row in rows)
        axes = len(rows[0].positions)
        device = self._device
        embeddings = rows[0].embeddings.new_zeros(len(rows), size, rows[0].embeddings.shape[1])
        positions = torch.zeros(axes, len(rows), size, dtype=torch.long, device=device)
        mask = torch.zeros(len(rows), before + size, dtype=torch.long, device=device)
        for at, row in enumerate(rows):
            embeddings[at, size - row.length :] = row.embeddings
            positions[:, at, size - row.length :] = row.positions
            mask[at, before + size - row.length :] = 1
            if row.begin is not None:
                mask[at, before - row.begin.length : before] = 1
        cache = DynamicCache()
        if before:
            cache = DynamicCache(ddp_cache_data=_stack(rows, before))
        output, cache = self._call(embeddings, mask, positions, cache, num_last)
        return output, cache, mask

    def _call(
        self, embeddings: Tensor, mask: Tensor, positions: Tensor, cache: Any, num_last: int
    ) -> tuple[Tensor, Any]:
        self.num_passes += 1
        with self._head.asked():
            output = self.model(
                inputs_embeds=embeddings,
                attention_mask=mask,
                position_ids=positions[0] if len(positions) == 1 else positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=num_last,
            )
        return output.logits, output.past_key_values


def _key(text: Text, cut: tuple[int, int]) -> Key:
    num_ids, num_media = cut
    return text.ids[:num_ids], text.media[:num_media]


def _length_of(rows: Sequence[Row]) -> Callable[[int], int]:
    return lambda at: rows[at].length


def _stack(rows: Sequence[Row], size: int) -> list[tuple[Tensor, Tensor]]:
    """The rows' beginnings as one batch of keys and values, padded on the left to `size`."""
    example = next(row.begin for row in rows if row.begin is not None)

    def batch(layer: int, which: int) -> Tensor:
        empty = example.cache[layer][which][:, :0]
        parts = [row.begin.cache[layer][which] if row.begin else empty for row in rows]
        return torch.stack([pad(one, (0, 0, size - one.shape[1], 0)) for one in parts])

    return [(batch(layer, 0), batch(layer, 1)) for layer in range(len(example.cache))]


def _cut_out(cache: Any, place: int, rows: Sequence[Row], logits: Tensor) -> Beginning:
    """One row's own keys and values out of a padded batch."""
    row = rows[place]
    before = max(one.begin.length if one.begin else 0 for one in rows)
    begun = row.begin.length if row.begin else 0

    def own(tensor: Tensor) -> Tensor:
        parts = [tensor[place, :, before - begun : before], tensor[place, :, -row.length :]]
        return torch.cat(parts, dim=1)

    layers = tuple((own(layer.keys), own(layer.values)) for layer in cache.layers)
    return Beginning(layers, begun + row.length, logits)
