"""The families of text encoders, tiny and random, and what is checked of `trued.representation.TextEncoder` on them.

The reference is `AutoModel` of the same folder, or its encoder half, one text at a time. A layer is what the model
gives among its hidden states, pooled over the text's tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .building import configured, save_encoder
from .configurations import FAMILIES as LANGUAGE
from .configurations import SIZES as LANGUAGE_SIZES
from .outcome import Different, NoReference, worst
from .reference import plainly, reference, without
from .tokenizer import SENTENCES, chat_tokenizer

POSITIONS = 64
TEXTS = ["hi", SENTENCES[1], "the dog", SENTENCES[0], " ".join(SENTENCES[:2])]
TOO_LONG = " ".join(SENTENCES * 2)

DECODERS = (
    "bloom", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mamba", "mistral", "modernbert-decoder",
    "phi3", "qwen2", "qwen3", "qwen3_5_text",
)  # fmt: skip
"""Decoders whose hidden states serve as embeddings of texts."""

EXTRA = (
    "bart", "canine", "clip", "embedding_gemma2_text", "gte", "jina_embeddings_v3", "mpnet", "nomic_bert", "siglip",
    "t5gemma2_encoder", "ultrabert",
)  # fmt: skip
"""Encoders of texts that transformers lists neither among those nor among masked language models."""

ROBERTA: dict[str, Any] = {"pad_token_id": 1, "type_vocab_size": 1}
PAD: dict[str, Any] = {"pad_token_id": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("bart", "esm", "flaubert", "ibert", "luke", "mbart", "mvp", "t5gemma", "xlm"), PAD),
    "esmc": {"num_key_value_heads": 4},
    "funnel": {
        "architectures": ["FunnelModel"], "block_sizes": [1, 1], "block_repeats": [1, 1], "d_inner": 40, "d_head": 6,
        "n_head": 4,
    },
    "neomme": {"head_dim": 16},
    "reformer": LANGUAGE["reformer"] | {"axial_pos_embds_dim": [12, 12], "axial_pos_shape": [8, 8]},
    "camembert": ROBERTA,
    "data2vec-text": ROBERTA,
    "mpnet": {"pad_token_id": 1},
    "roberta": ROBERTA,
    "roberta-prelayernorm": ROBERTA,
    "xlm-roberta": ROBERTA,
    "xlm-roberta-xl": ROBERTA,
    "xmod": LANGUAGE["xmod"],
    "longformer": {**ROBERTA, "attention_window": 16},
    "mobilebert": {
        "true_hidden_size": 24, "intra_bottleneck_size": 24, "embedding_size": 24, "num_feedforward_networks": 2,
    },
    "squeezebert": {"q_groups": 2, "k_groups": 2, "v_groups": 2, "post_attention_groups": 1, "intermediate_groups": 2,
                    "output_groups": 2, "embedding_size": 24},
}  # fmt: skip

SIZES: dict[str, Any] = {
    **LANGUAGE_SIZES, "is_decoder": False, "max_position_embeddings": POSITIONS, "n_positions": POSITIONS,
    "hidden_size": 24, "d_model": 24, "d_kv": 6, "d_ff": 40, "num_decoder_layers": 1, "embedding_size": 24,
    "emb_dim": 24, "dim": 24, "hidden_dim": 40, "n_heads": 4, "n_layers": 2, "num_layers": 2, "dropout_rate": 0.0,
    "type_vocab_size": 2, "head_dim": 6, "qa_dropout": 0.0, "seq_classif_dropout": 0.0, "projection_dim": 24,
}  # fmt: skip

FAST = ("bert", "distilbert", "mpnet", "modernbert", "qwen3", "roberta", "t5", "xlm-roberta")


def families() -> list[str]:
    from transformers.models.auto import modeling_auto as auto

    known = {*auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES, *auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES}
    return sorted({*known, *DECODERS, *EXTRA} & {*auto.MODEL_MAPPING_NAMES})


class Subject:
    """A tiny random encoder in a folder, as trued and as plain transformers load it."""

    def __init__(self, name: str, folder: Path) -> None:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        self.name, self.folder = name, folder
        self.tokenizer = chat_tokenizer()
        self.tokenizer.pad_token = "<|endoftext|>"
        sizes = {**SIZES, "vocab_size": len(self.tokenizer), "bos_token_id": None, "pad_token_id": None}
        own = {**(LANGUAGE.get(name, {}) if name in DECODERS else {}), **FAMILIES.get(name, {})}
        with reference("transformers builds no tiny model of it"):
            config = configured(CONFIG_MAPPING[name], sizes, own)
            save_encoder(config, folder)
            self.tokenizer.save_pretrained(folder)
        self.without = without(lambda: self.states(TEXTS[1]))

    @cached_property
    def trued(self) -> Any:
        from trued.representation import TextEncoder

        return TextEncoder.load(self.folder)

    @cached_property
    def plain(self) -> Any:
        from transformers import AutoModel

        with reference("plain transformers fails"):
            try:
                model = AutoModel.from_pretrained(self.folder, attn_implementation="eager", dtype=torch.float32).eval()
            except (ValueError, ImportError):
                model = AutoModel.from_pretrained(self.folder, dtype=torch.float32).eval()
        model = getattr(model, "text_model", model)
        return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model

    @plainly
    @torch.no_grad()
    def states(self, text: str, longest: int | None = None) -> list[Tensor]:
        """What each layer gives for a text: [tokens, dim]."""
        ids = torch.tensor([self.tokenizer(text)["input_ids"][:longest]])
        out = self.plain(input_ids=ids, output_hidden_states=True)
        if getattr(out, "hidden_states", None) is None:
            raise NoReference("plain transformers gives no hidden states of this family")
        if any(x.shape[:2] != ids.shape for x in out.hidden_states):
            raise NoReference("plain transformers gives hidden states of other places than the tokens")
        return [x[0] for x in out.hidden_states]


def _pooled(states: Tensor, pool: str) -> Tensor:
    return {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pool]


def load(subject: Subject) -> float:
    own = subject.trued.model.state_dict()
    return worst(0.0, *(_off(own[name], x) for name, x in subject.plain.state_dict().items() if name in own))


def _features(subject: Subject, pool: str, **options: Any) -> float:
    layers = list(subject.trued.features(TEXTS, pool=pool, **options).layers.values())
    states = [subject.states(text) for text in TEXTS]
    if len(layers) != len(states[0]):
        raise Different(f"{len(layers)} layers, not {len(states[0])}")
    return worst(*(_off(x, torch.stack([_pooled(s[number], pool) for s in states])) for number, x in enumerate(layers)))


def mean(subject: Subject) -> float:
    return _features(subject, "mean")


def first(subject: Subject) -> float:
    return _features(subject, "cls")


def last(subject: Subject) -> float:
    return _features(subject, "last")


def batches(subject: Subject) -> float:
    """One text at a time, and a few."""
    return worst(_features(subject, "mean", batch_tokens=1), _features(subject, "mean", batch_tokens=50))


def long_text(subject: Subject) -> float:
    """A text that is longer than the model's positions is cut off there, beside a short one."""
    ids = subject.tokenizer(TOO_LONG)["input_ids"]
    layers = subject.trued.features([TOO_LONG, TEXTS[0]]).layers
    last_layer = list(layers.values())[-1]
    for longest in (POSITIONS, POSITIONS - 2, len(ids)):
        try:
            states = subject.states(TOO_LONG, longest)
        except NoReference:
            continue
        off = _off(last_layer[0], states[-1].mean(0))
        if off <= 1e-4:
            return off
    raise Different("it is not that of the text, cut off at the model's positions or whole")


def _off(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise Different(f"shape {tuple(ours.shape)}, not {tuple(theirs.shape)}")
    if not theirs.isfinite().all():
        raise NoReference("plain transformers gives numbers that are not finite")
    if not theirs.numel():
        return 0.0
    return float((ours.double() - theirs.double()).abs().max() / theirs.abs().max().clamp(min=1e-3))


CHECKS: dict[str, Callable[[Subject], float]] = {
    check.__name__: check for check in (load, mean, first, last, batches, long_text)
}
