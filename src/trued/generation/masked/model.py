"""Masked models: what samplers and losses ask of one, a small transformer, and adapters for others.

A masked model takes token ids, some of them MASK, and gives logits for the requested masked positions. The
output head is most of a small model's work, so it runs on these positions alone.

Knows token ids and logits. Knows nothing of text, schedules or how anything is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trued.errors import InputError


class MaskedModel(Protocol):
    """Logits of masked tokens given the others: mu of arXiv 2409.02908.

    Attributes:
        mask_id: the id of MASK.
        vocab: how many ids there are, MASK among them.
        timed: whether the logits depend on the time; if not, nothing is asked twice about the same ids.
        causal: whether the logits at a position depend on the tokens before it alone, so that positions can be filled
            from left to right only.
    """

    @property
    def mask_id(self) -> int: ...

    @property
    def vocab(self) -> int: ...

    @property
    def timed(self) -> bool: ...

    @property
    def causal(self) -> bool: ...

    def __call__(
        self,
        ids: Int[Tensor, "batch length"],
        where: Bool[Tensor, "batch length"],
        time: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "chosen vocab"]:
        """Logits at the positions `where`, row by row."""
        ...


@dataclass(frozen=True)
class MaskedConfig:
    """The shape of a `TinyMaskedLM`.

    Args:
        vocab: token ids, MASK included, which is the last of them.
        length: the longest sequence.
        width: of the residual stream.
        layers: transformer blocks.
        heads: attention heads; they divide the width.
        clock: `running` tells the network the time, which scales and shifts what its norms give; `stopped` is the same
            network always given 0, so that nothing but the time differs.
        causal: predict each token from those before it alone: an autoregressive model, in the same interface.
    """

    vocab: int
    length: int = 128
    width: int = 192
    layers: int = 4
    heads: int = 6
    clock: Literal["none", "running", "stopped"] = "none"
    causal: bool = False

    def __post_init__(self) -> None:
        if self.vocab < 2 or min(self.length, self.layers, self.heads) < 1:
            raise InputError(f"{self}: at least 2 token ids, and one position, layer and head")
        if self.width % self.heads:
            raise InputError(f"width is {self.width}: it must be a multiple of heads, {self.heads}")
        if self.clock not in ("none", "running", "stopped"):
            raise InputError(f"clock is {self.clock!r}: choose none, running or stopped")


class TinyMaskedLM(nn.Module):
    """A small bidirectional transformer: pre-norm blocks, learned positions, input and output embeddings tied.

    Every block mixes three neighbouring tokens by a convolution before its attention. By attention alone a small masked
    model learns where its neighbours are only after thousands of steps, and knows no more than frequencies until then.

    Args:
        config: its shape.
        seed: of the initial weights.
    """

    def __init__(self, config: MaskedConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tokens = nn.Embedding(config.vocab, config.width)
            self.positions = nn.Embedding(config.length, config.width)
            self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
            self.norm = _Norm(config)
            self.bias = nn.Parameter(torch.zeros(config.vocab))
            for embedding in (self.tokens, self.positions):
                nn.init.normal_(embedding.weight, std=0.02)
            # Drawn last, so that a network with a clock starts from the same weights as one without.
            self.clock = _Clock(config.width) if config.clock != "none" else None

    @classmethod
    def restored(cls, config: MaskedConfig, state: Mapping[str, Tensor]) -> TinyMaskedLM:
        """Return a model of this shape with the weights of a `state_dict`, in evaluation mode."""
        model = cls(config)
        model.load_state_dict(state)
        return model.eval()

    @property
    def size(self) -> int:
        """How many parameters the model has."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def mask_id(self) -> int:
        return self.config.vocab - 1

    @property
    def vocab(self) -> int:
        return self.config.vocab

    @property
    def timed(self) -> bool:
        return self.config.clock == "running"

    @property
    def causal(self) -> bool:
        return self.config.causal

    def forward(
        self,
        ids: Int[Tensor, "batch length"],
        where: Bool[Tensor, "batch length"],
        time: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "chosen vocab"]:
        """Logits at the positions `where`, row by row, on the device of the weights.

        Raises:
            InputError: sequences longer than the model's, or a timed model without a time.
        """
        device = self.tokens.weight.device
        ids, where, time = ids.to(device), where.to(device), None if time is None else time.to(device)
        if ids.shape[1] > self.config.length:
            raise InputError(f"sequences of {ids.shape[1]} tokens: this model takes {self.config.length} at most")
        if self.config.causal:  # what is predicted at a position has seen the tokens before it, MASK before the first
            ids = nn.functional.pad(ids[:, :-1], (1, 0), value=self.mask_id)
        hidden = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        clock = None if self.clock is None else self.clock(self._time(ids, time).to(hidden.dtype))
        for block in self.blocks:
            hidden = block(hidden, clock)
        return nn.functional.linear(self.norm(hidden, clock)[where], self.tokens.weight, self.bias)

    def _time(self, ids: Tensor, time: Tensor | None) -> Tensor:
        if not self.timed:
            return torch.zeros(len(ids), device=ids.device)
        if time is None:
            raise InputError("this model is timed: pass the time of each row")
        return time


class _Norm(nn.LayerNorm):
    """A layer norm; with a clock, the time adds to its scale and shift (adaptive norm, arXiv 2212.09748), first 0."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__(config.width)
        timed = config.clock != "none"
        self.moves = nn.Parameter(torch.zeros(2 * config.width, config.width)) if timed else None

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, hidden: Float[Tensor, "batch length width"], clock: Float[Tensor, "batch width"] | None
    ) -> Float[Tensor, "batch length width"]:
        normed = super().forward(hidden)
        if clock is None or self.moves is None:
            return normed
        scale, shift = nn.functional.linear(clock, self.moves)[:, None].chunk(2, -1)
        return normed * (1 + scale) + shift


class _Block(nn.Module):
    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        self.heads, self.causal = config.heads, config.causal
        self.before_local, self.local = _Norm(config), nn.Conv1d(config.width, config.width, 3)
        self.before_attention, self.before_mlp = _Norm(config), _Norm(config)
        self.qkv, self.out = nn.Linear(config.width, 3 * config.width), nn.Linear(config.width, config.width)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, 4 * config.width), nn.GELU(), nn.Linear(4 * config.width, config.width)
        )
        for layer in (self.out, cast(nn.Linear, self.mlp[2])):
            nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * config.layers))

    def forward(
        self, hidden: Float[Tensor, "batch length width"], clock: Float[Tensor, "batch width"] | None
    ) -> Float[Tensor, "batch length width"]:
        near = self.before_local(hidden, clock).transpose(1, 2)
        hidden = hidden + self.local(nn.functional.pad(near, (2, 0) if self.causal else (1, 1))).transpose(1, 2)
        parts = self.qkv(self.before_attention(hidden, clock)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        hidden = hidden + self.out(seen.transpose(1, 2).flatten(2))
        return hidden + self.mlp(self.before_mlp(hidden, clock))


class _Clock(nn.Module):
    """Sinusoids of the time through a small network: what the norms read."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rates = width // 2
        self.net = nn.Sequential(nn.Linear(2 * self.rates, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, time: Float[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        rates = torch.linspace(0, math.log(1000.0), self.rates, device=time.device, dtype=time.dtype).exp()
        angles = time[:, None] * rates
        return self.net(torch.cat([angles.sin(), angles.cos()], -1))


@dataclass(frozen=True)
class FromLogits:
    """Any function from ids to logits at every position, as a masked model.

    Args:
        logits: ids [batch, length] to logits [batch, length, vocab]; with `timed`, it takes the time of each row too.
        mask_id, vocab, timed, causal: as `MaskedModel`.
    """

    logits: Callable[..., Tensor]
    mask_id: int
    vocab: int
    timed: bool = False
    causal: bool = False

    def __call__(self, ids: Tensor, where: Tensor, time: Tensor | None = None) -> Tensor:
        return (self.logits(ids, time) if self.timed else self.logits(ids))[where]


class HuggingFaceMaskedLM:
    """Any Hugging Face masked language model, its head cut down to the requested positions.

    The hidden states are gathered just before the output embedding, where the model names one, so the product with the
    vocabulary runs on masked positions only; a model that names none gives all logits, of which some are taken.

    Args:
        model: returns an object with `.logits`; a model whose code is not in transformers is loaded by the caller.
        mask_id: the id of MASK.
        forbidden: ids that no text has, such as those of padding and of a sequence's ends: `all_special_ids` of the
            tokenizer. They have probability 0, and the others share what they had.

    Raises:
        InputError: `mask_id` or a forbidden id is not in the model's vocabulary.
    """

    timed = False
    causal = False

    def __init__(self, model: Any, mask_id: int, forbidden: Iterable[int] = ()) -> None:
        self.model = model.eval()
        self.mask_id = mask_id
        self.vocab = int(model.config.vocab_size)
        if not 0 <= mask_id < self.vocab:
            raise InputError(f"mask_id is {mask_id}: this model's ids run from 0 to {self.vocab - 1}")
        ruled_out = sorted({int(token) for token in forbidden} - {mask_id})
        if ruled_out and not 0 <= ruled_out[0] <= ruled_out[-1] < self.vocab:
            raise InputError(f"forbidden ids {ruled_out[0]} to {ruled_out[-1]}: this model's run to {self.vocab - 1}")
        self.forbidden = torch.tensor(ruled_out, dtype=torch.long)
        head = getattr(model, "get_output_embeddings", lambda: None)()
        self.head = head if isinstance(head, nn.Module) else None

    def __call__(self, ids: Tensor, where: Tensor, time: Tensor | None = None) -> Tensor:
        device = next(self.model.parameters()).device
        ids, where = ids.to(device), where.to(device)
        logits = self._logits(ids, where)
        return logits.index_fill(-1, self.forbidden.to(device), -torch.inf) if len(self.forbidden) else logits

    def _logits(self, ids: Tensor, where: Tensor) -> Tensor:
        if self.head is None:
            return self.model(input_ids=ids).logits[where]
        cut = self.head.register_forward_pre_hook(lambda _, inputs: (inputs[0][where], *inputs[1:]))
        try:
            return self.model(input_ids=ids).logits
        finally:
            cut.remove()
