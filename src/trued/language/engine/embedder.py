"""Sentence embeddings by all-MiniLM-L6-v2: mean pooling over tokens, then unit length.

Knows texts and vectors. Knows nothing of what the similarities are used for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from trued.errors import InputError
from trued.fetch.completeness import POOLER
from trued.fetch.hub import find_files
from trued.fetch.pretrained import read_model, read_parts
from trued.fetch.vocabulary import fit_vocabulary
from trued.language.engine.embedded import default_model
from trued.language.engine.loading import default_dtype
from trued.language.engine.text_length import longest_text
from trued.language.engine.text_part import PROBES, embedding_rows, padding_is_masked, text_part
from trued.learn.device import open_device

LONGEST = 256  # tokens that the model was trained on; what follows them is cut off


class SentenceEmbedder:
    """Texts to unit vectors, whose inner product is the cosine similarity.

    Args:
        model: a BERT-like encoder that returns `last_hidden_state`; of an encoder-decoder the encoder is taken.
        tokenizer: its tokenizer.
        batch_tokens: rows times longest row of a batch.
        longest: tokens of a text that are read, its two marks included.

    Raises:
        InputError: fewer than 3 tokens, or more than the model was trained on.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_tokens: int = 16_384, longest: int = LONGEST) -> None:
        if not 3 <= longest <= LONGEST:
            raise InputError(f"{longest} tokens of a text: give 3 to {LONGEST}")
        self.model = text_part(model).eval()
        self.tokenizer = tokenizer
        self.masks_padding = True  # False: texts share a batch only with those of their own length
        self.batch_tokens = batch_tokens
        self.longest = longest

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        *,
        device: str = "cpu",
        dtype: torch.dtype | Literal["auto"] = torch.float32,
        longest: int = LONGEST,
    ) -> SentenceEmbedder:
        """Load all-MiniLM-L6-v2, or another encoder with mean pooling from a folder or the hub.

        Args:
            source: a folder or a hub id; None for the embedded model.
            device: where it computes.
            dtype: that it computes in; "auto" is bfloat16 where the processor has it, at twice the speed and a cosine
                of 0.9999 to the vectors of float32.
            longest: tokens of a text that are read.

        Raises:
            InputError: no such model, the embedded one is not available, `longest` is out of range, or the model gives
                no states of a text's tokens.
        """
        from transformers import AutoModel, AutoTokenizer

        where = open_device(device)
        files = find_files(default_model("minilm") if source is None else source)
        resolved = default_dtype(device) if dtype == "auto" else dtype
        model = read_model(AutoModel, files, dtype=resolved, unused=POOLER)
        tokenizer = read_parts(AutoTokenizer, files)
        if (rows := embedding_rows(text_part(model))) is not None:
            tokenizer = fit_vocabulary(tokenizer, rows, name=files.name)
        embedder = cls(model.to(where), tokenizer, longest=longest)
        if source is not None:
            short, long = embedder._ids(PROBES)
            embedder.masks_padding = padding_is_masked(embedder._states, short, long, files.name)
        return embedder

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """Embed `texts`; the order is kept, and a text's vector does not depend on its neighbours.

        Returns:
            Unit vectors in float32, 384 wide for the default model.
        """
        if isinstance(texts, str):
            raise InputError("texts is one string: give a list of texts")
        width = int(self.model.config.hidden_size)
        vectors = np.zeros((len(texts), width), dtype=np.float32)
        if not len(texts):
            return vectors
        ids = self._ids(texts)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for batch in self._batches(order, ids):
            vectors[batch] = self._embed([ids[i] for i in batch])
        return vectors

    def _batches(self, order: list[int], ids: list[list[int]]) -> list[list[int]]:
        """Cut an order by rising length into batches of similar length, so that little is padding."""
        batches: list[list[int]] = [[]]
        for index in order:
            batch = batches[-1]
            full = (len(batch) + 1) * len(ids[index]) > self.batch_tokens
            if batch and (full or (not self.masks_padding and len(ids[index]) > len(ids[batch[0]]))):
                batches.append([])
            batches[-1].append(index)
        return batches

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        limit = min(self.longest, longest_text(self.model))
        return self.tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]

    def _states(self, rows: list[list[int]]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the mask of a padded batch and the last layer's states for it."""
        device = next(self.model.parameters()).device
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        return mask, [self.model(input_ids=ids, attention_mask=mask).last_hidden_state]

    def _embed(self, rows: list[list[int]]) -> Float[np.ndarray, "rows dim"]:
        mask, (states,) = self._states(rows)
        states = states.float()
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
