"""Sentence embeddings by all-MiniLM-L6-v2: mean pooling over tokens, then unit length.

Knows texts and vectors. Knows nothing of what the similarities are used for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from trued.errors import InputError

LONGEST = 256  # tokens that the model was trained on; what follows them is cut off


class SentenceEmbedder:
    """Texts to unit vectors, whose inner product is the cosine similarity.

    Args:
        model: a BERT-like encoder that returns `last_hidden_state`.
        tokenizer: its tokenizer.
        batch_tokens: rows times longest row of a batch.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_tokens: int = 16_384) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.batch_tokens = batch_tokens

    @classmethod
    def load(cls, source: str | Path | None = None, *, device: str = "cpu") -> SentenceEmbedder:
        """Load all-MiniLM-L6-v2, or another encoder with mean pooling from a folder.

        Raises:
            InputError: the embedded model is not to be had.
        """
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # a bar for a second's work, which would stand in whatever the caller prints
        if source is None:
            from trued.language.embedded import default_model

            source = default_model("minilm")
        model = AutoModel.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
        return cls(model.to(device), AutoTokenizer.from_pretrained(source))

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
        ids = self.tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for batch in self._batches(order, ids):
            vectors[batch] = self._embed([ids[i] for i in batch])
        return vectors

    def _batches(self, order: list[int], ids: list[list[int]]) -> list[list[int]]:
        """Cut an order by rising length into batches of similar length, so that little is padding."""
        batches: list[list[int]] = [[]]
        for index in order:
            if batches[-1] and (len(batches[-1]) + 1) * len(ids[index]) > self.batch_tokens:
                batches.append([])
            batches[-1].append(index)
        return batches

    def _embed(self, rows: list[list[int]]) -> Float[np.ndarray, "rows dim"]:
        device = next(self.model.parameters()).device
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=-1).float().cpu().numpy()
