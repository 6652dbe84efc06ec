"""Run a frozen model once, and keep one vector a thing for every layer.

Knows models of transformers, modules of any kind, and how their outputs are pooled. Knows nothing of what the features
are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trued.data.hashed import hashed_share
from trued.errors import InputError, nearest
from trued.language.engine.text_length import longest_text
from trued.language.engine.text_part import PROBES, embedding_rows, padding_is_masked, text_part
from trued.learn.device import open_device
from trued.learn.trace import outputs_of
from trued.representation.structure.layers import LayerFeatures

Pool = Literal["mean", "cls", "last"]
BATCH_TOKENS = 4096
LONGEST = 8192  # tokens of a text that are read, at most


class TextEncoder:
    """Any text model of transformers, encoder or decoder, as a source of features.

    Args:
        model: returns hidden states. Of a model of pictures and texts the half for texts is taken, of an
            encoder-decoder the encoder.
        tokenizer: its tokenizer.
        name: for reports.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "") -> None:
        self.model = text_part(model).eval().requires_grad_(False)
        self.tokenizer, self.name = tokenizer, name

    @cached_property
    def masks_padding(self) -> bool:
        """Whether texts of different lengths can share a batch: in some families padding changes their features.

        Raises:
            InputError: the model gives no features of texts, or others each time.
        """
        short, long = self._ids(PROBES)
        return padding_is_masked(self._layers, short, long, self.name or type(self.model).__name__)

    @classmethod
    def load(cls, source: str | Path, *, device: str = "cpu") -> TextEncoder:
        """Load a model in float32 from a folder or the hub; "smollm2" and "minilm" are the embedded ones.

        Raises:
            InputError: no such device or model, or one that gives no features of texts.
        """
        from transformers import AutoModel, AutoTokenizer

        from trued.fetch.completeness import POOLER
        from trued.fetch.hub import find_files
        from trued.fetch.pretrained import read_model, read_parts
        from trued.fetch.vocabulary import fit_vocabulary
        from trued.language.engine.embedded import default_model
        from trued.language.engine.sources import SOURCES

        where = open_device(device)
        try:
            files = find_files(default_model(str(source)) if str(source) in SOURCES else source)
            model = read_model(AutoModel, files, dtype=torch.float32, unused=POOLER)
            tokenizer = read_parts(AutoTokenizer, files)
            if (rows := embedding_rows(text_part(model))) is not None:
                tokenizer = fit_vocabulary(tokenizer, rows, name=files.name)
        except InputError as error:
            raise InputError(
                f"no text encoder '{source}' ({error}): give {', '.join(SOURCES)}, a folder or a hub id"
            ) from error
        encoder = cls(model.to(where), tokenizer, name=str(source))
        _ = encoder.masks_padding  # what cannot be used says so here, not after other work
        return encoder

    @torch.no_grad()
    def features(self, texts: Sequence[str], *, pool: Pool = "mean", batch_tokens: int = BATCH_TOKENS) -> LayerFeatures:
        """Return one vector a text of every layer: the embeddings, and what each block puts out.

        A text that is longer than the model's positions, or than 8,192 tokens, is cut off there. Padding is masked, so
        a text's features do not depend on its neighbours.

        Args:
            texts: one a row.
            pool: over a text's tokens: their mean, the first ("cls"), or the last.
            batch_tokens: rows times longest row of a batch.

        Raises:
            InputError: one string, no texts, an empty one, or an unknown pooling.
        """
        if isinstance(texts, str) or not len(texts):
            raise InputError("texts is one string or empty: give a list of texts")
        ids = self._ids(texts)
        if empty := [i for i, row in enumerate(ids) if not row]:
            raise InputError(f"text {empty[0]} is empty: it has no tokens to pool")
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        layers: list[Tensor] = []
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(ids[order[stop]]) <= batch_tokens:
                if not self.masks_padding and len(ids[order[stop]]) > len(ids[order[start]]):
                    break
                stop += 1
            for layer, pooled in enumerate(self._states([ids[i] for i in order[start:stop]], pool)):
                if layer == len(layers):
                    layers.append(torch.zeros(len(ids), pooled.shape[1]))
                layers[layer][order[start:stop]] = pooled
            start = stop
        return LayerFeatures({f"layer {number}": x for number, x in enumerate(layers)})

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        limit = min(longest_text(self.model), LONGEST)
        return self.tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]

    def _states(self, rows: list[list[int]], pool: Pool) -> list[Float[Tensor, "rows dim"]]:
        mask, states = self._layers(rows)
        return [pooled_tokens(state, mask, pool).float().cpu() for state in states]

    def _layers(
        self, rows: list[list[int]]
    ) -> tuple[Int[Tensor, "rows time"], Sequence[Float[Tensor, "rows time dim"]]]:
        """Return the mask of a padded batch and what every layer gives for it."""
        device = next(self.model.parameters()).device
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        return mask, self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states


def pooled_tokens(
    states: Float[Tensor, "rows time dim"], mask: Int[Tensor, "rows time"], pool: Pool
) -> Float[Tensor, "rows dim"]:
    """Pool over the tokens that the mask holds: their mean, the first one or the last one.

    Raises:
        InputError: an unknown pooling.
    """
    if pool == "mean":
        weights = mask[..., None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)
    if pool in ("cls", "last"):
        places = mask.argmax(1) if pool == "cls" else mask.shape[1] - 1 - mask.flip(1).argmax(1)
        return states[torch.arange(len(states), device=states.device), places]
    raise InputError(f"unknown pooling {pool!r}: 'mean', 'cls' or 'last'")


def hashed_words(texts: Sequence[str], width: int = 32) -> Float[Tensor, "texts width"]:
    """Return a bag of words a text, each word counted at a place that its hash gives: features without a model."""
    out = torch.zeros(len(texts), width)
    for row, text in enumerate(texts):
        for word in text.split():
            out[row, int(width * hashed_share(word))] += 1
    return out


@torch.no_grad()
def module_features(
    model: nn.Module, batches: Iterable[Any], modules: Sequence[str], *, pool: Pool = "mean"
) -> LayerFeatures:
    """Return one vector a row of what named modules of any network put out, read by forward hooks.

    Outputs of four dimensions are feature maps, [rows, channels, height, width], and are averaged over positions; those
    of three are [rows, tokens, dim] and pooled over all tokens; those of two are taken as they are.

    Args:
        model: the network, in evaluation mode while it runs.
        batches: what the network is called with: a tensor, a tuple of arguments, or a mapping of named ones.
        modules: names, as `named_modules` gives them.
        pool: over tokens.

    Raises:
        InputError: no such module, no batch, or outputs of another shape.
    """
    known = dict(model.named_modules())
    for name in modules:
        if name not in known:
            raise InputError(f"the {type(model).__name__} has no module '{name}'{nearest(name, known)}")
    outputs_by_module: dict[str, list[Tensor]] = {name: [] for name in modules}
    training = model.training
    model.eval()
    try:
        for batch in batches:
            arguments, named = _arguments(batch)
            outputs = outputs_of({name: known[name] for name in modules}, lambda a=arguments, n=named: model(*a, **n))
            for name, output in outputs.items():
                outputs_by_module[name].append(_pooled(output, name, pool).float().cpu())
    finally:
        model.train(training)
    if not any(outputs_by_module.values()):
        raise InputError("no modules or no batches: there is nothing to read")
    return LayerFeatures({name: torch.cat(parts) for name, parts in outputs_by_module.items()})


def _arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return (tuple(batch), {}) if isinstance(batch, tuple | list) else ((batch,), {})


def _pooled(x: Tensor, name: str, pool: Pool) -> Float[Tensor, "rows dim"]:
    match x.ndim:
        case 2:
            return x
        case 3:
            return pooled_tokens(x, torch.ones(x.shape[:2], dtype=torch.long, device=x.device), pool)
        case 4:
            return x.mean((2, 3))
    raise InputError(f"module '{name}' puts out shape {tuple(x.shape)}: expected two to four dimensions, rows first")
