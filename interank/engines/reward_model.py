"""A reward model: a classifier of chats with one output, which reads the answers to one question together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import torch

from interank.engines.heads import check_whole
from interank.engines.models import find_model, load_classifier, load_tokenizer
from interank.engines.prompts import rendered
from interank.engines.protocol import Message

# Tokens of a chat that are read; a longer one loses its beginning, as the answer stands at the end.
_LONGEST = 4096
# Tokens of a batch, padding included.
_BATCH = {"cpu": 4096, "cuda": 32768}
# The fewest tokens in common that are worth a forward pass of their own.
_SHARED = 32
Ids = tuple[int, ...]


class RewardModel:
    """Computes a common prefix of chats once for all of them, if the model's attention allows caching it."""

    def __init__(self, name: str) -> None:
        """Load the model.

        Raises:
            ModelError: It is not available, or is no classifier with one output.
        """
        files = find_model(name)
        check_whole(files)
        self.model: Any = load_classifier(files)
        self.tokenizer: Any = load_tokenizer(files)
        self.tokenizer.truncation_side = "left"
        config = self.model.config
        layers = {*(getattr(config, "layer_types", None) or ["full_attention"])}
        self._keeps = hasattr(self.model, "score") and layers == {"full_attention"}
        self._keeps &= getattr(config, "sliding_window", None) is None

    def outputs(self, chats: Sequence[Sequence[Message]]) -> list[float]:
        """Each chat's output, in their order; the other chats of a batch change it by rounding only."""
        rows = self._ids(chats)
        results = [0.0] * len(rows)
        for places in self._batches(rows):
            for place, value in zip(places, self._read([rows[place] for place in places]), strict=True):
                results[place] = value
        return results

    def _ids(self, chats: Sequence[Sequence[Message]]) -> list[Ids]:
        template = self.tokenizer.chat_template
        messages = [[{"role": role, "content": text} for role, text in chat] for chat in chats]
        texts = [
            rendered(self.tokenizer, each) if template else "\n\n".join(part["content"] for part in each)
            for each in messages
        ]
        encoded = self.tokenizer(texts, add_special_tokens=not template, truncation=True, max_length=_LONGEST)
        return [tuple(ids) for ids in encoded["input_ids"]]

    def _batches(self, rows: Sequence[Ids]) -> Iterator[list[int]]:
        """Batches as places in `rows`: rows with a prefix in common, and the others by length."""
        budget = _BATCH.get(self.model.device.type, _BATCH["cpu"])
        alone: list[int] = []
        group: list[int] = []
        for place in sorted(range(len(rows)), key=lambda place: rows[place]):
            if group and not (self._keeps and _fits([rows[one] for one in (*group, place)], budget)):
                if len(group) > 1:
                    yield group
                else:
                    alone += group
                group = []
            group.append(place)
        alone += group if len(group) == 1 else []
        if len(group) > 1:
            yield group
        alone.sort(key=lambda place: (-len(rows[place]), place))
        while alone:
            number = max(1, budget // len(rows[alone[0]]))
            yield alone[:number]
            alone = alone[number:]

    @torch.inference_mode()
    def _read(self, rows: Sequence[Ids]) -> list[float]:
        device, model = self.model.device, self.model
        places = [self._place(ids) for ids in rows]
        shared = min(_common(rows), *places) if self._keeps and len(rows) > 1 else 0
        width = max(map(len, rows)) - shared
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), shared + width), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row) - shared] = torch.tensor(row[shared:])
            mask[number, : len(row)] = 1
        ids, mask = ids.to(device), mask.to(device)
        if not hasattr(model, "score"):
            return list(model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist())
        backbone = getattr(model, model.base_model_prefix)
        cache = None
        if shared:
            cache = backbone(input_ids=torch.tensor([rows[0][:shared]], device=device), use_cache=True).past_key_values
            cache.batch_repeat_interleave(len(rows))
        # With a cached prefix the model continues it; without one it needs no cache.
        options = {"past_key_values": cache} if shared else {"use_cache": False}
        states = backbone(input_ids=ids, attention_mask=mask, **options).last_hidden_state
        chosen = states[torch.arange(len(rows), device=device), torch.tensor(places, device=device) - shared]
        return list(model.score(chosen.to(next(model.score.parameters()).dtype))[:, 0].float().tolist())

    def _place(self, ids: Ids) -> int:
        """Where transformers reads a row: at its last token that is not the configuration's padding."""
        padding = self.model.config.pad_token_id
        return max((place for place, index in enumerate(ids) if index != padding), default=0)


def _fits(rows: Sequence[Ids], budget: int) -> bool:
    """Whether these rows are worth a pass together: more than half of the longest is in common, and all of it fits."""
    common, longest = _common(rows), max(map(len, rows))
    return common >= max(_SHARED, longest / 2) and common + len(rows) * (longest - common) <= budget


def _common(rows: Sequence[Ids]) -> int:
    """The length of the rows' common prefix, which the smallest and the largest row have in common."""
    first, last = min(rows), max(rows)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
