"""`LanguageModel`: any Hugging Face causal language model and its tokenizer, made quick for chats, scores and training.

Knows chats, batches, caches and adapters. Knows nothing of papers. The wrapped model and tokenizer stay reachable as
`.model` and `.tokenizer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trued.data.messages import Prompt
from trued.errors import InputError
from trued.language.engine.abilities import Abilities
from trued.language.engine.adapters import adapter_off, has_adapter, save_adapter, with_fresh_lora
from trued.language.engine.card import AdapterCard
from trued.language.engine.decoders import decoder_for
from trued.language.engine.folding import folded
from trued.language.engine.forward import row_states
from trued.language.engine.generation import Limits, Sampling, decode, plan_batches
from trued.language.engine.loading import load_model
from trued.language.engine.origin import Origin
from trued.language.engine.patches import Patches, patched
from trued.language.engine.replies import ReplyText, check_lengths, check_sampling, one_prefill_each
from trued.language.engine.scoring import Rows, full_logits, pack_rows, per_response, token_logprobs
from trued.language.engine.template import ChatFormat
from trued.language.engine.traits import rope_switch

BATCH_TOKENS = 16_384


class LanguageModel:
    """A causal language model with its chat format; changes the model's attention and some forward passes in place.

    They are faster ones with the same results, in bfloat16 to the last digits. `restore()`, or deleting the last
    `LanguageModel` of a model, puts the model's own back. Weights and configuration stay as they are.

    Args:
        model: a Hugging Face causal language model, or a PEFT model around one.
        tokenizer: its tokenizer.
        name: what to call it in reports.
        template: None for the tokenizer's own chat template, "none" for plain text, or a Jinja template.
        origin: where the weights come from, if that is known.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str = "",
        template: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name or str(getattr(model, "name_or_path", "") or type(model).__name__)
        self.format = ChatFormat(tokenizer, template, eos_ids=_eos_ids(self.base, len(tokenizer)))
        self.origin = origin
        self._patches = patched(self.base)
        self._abilities = Abilities()

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        *,
        device: str | None = None,
        dtype: torch.dtype | Literal["auto"] = "auto",
        adapter: str | Path | None = None,
        template: str | None = None,
        revision: str | None = None,
        adapter_revision: str | None = None,
    ) -> LanguageModel:
        """Load a model or an adapter on its base, from a folder or a hub id; without a source, the embedded default.

        Weights come from safetensors only, all of them, and no code of a model's repository is run. An adapter's own
        tokenizer and chat template are used. What begins with "." or "/" or ends like a file is a path, never a hub id.

        Args:
            source: a folder, a hub id such as "org/name" or "org/name@revision", or an adapter by either.
            device: where it computes; a GPU if there is one.
            dtype: "auto" is bfloat16 where the processor computes in it, float32 elsewhere.
            adapter: a PEFT adapter to put on the model, by folder or hub id.
            template: see the class.
            revision: branch, tag or commit of `source` on the hub.
            adapter_revision: branch, tag or commit of `adapter` on the hub.

        Raises:
            InputError: no such model, a truncated, pickled or incomplete checkpoint, tokens without embeddings, no chat
                template, an adapter of another base or of a kind that the engine cannot run.
        """
        loaded = load_model(
            source, device=device, dtype=dtype, adapter=adapter, revision=revision, adapter_revision=adapter_revision
        )
        return cls(loaded.model, loaded.tokenizer, name=loaded.origin.name, template=template, origin=loaded.origin)

    # -- parts -----------------------------------------------------------------------------------------------------

    @property
    def base(self) -> Any:
        """The Hugging Face model, with any LoRA layers injected but without PEFT's wrapper."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def backbone(self) -> nn.Module:
        """The decoder without its output head."""
        return self._abilities.backbone(self)

    @property
    def head(self) -> nn.Module:
        """What makes logits of the decoder's last hidden states, by `scoring.full_logits`."""
        return self._abilities.head(self)

    @property
    def patches(self) -> Patches:
        """The faster forward passes that the model has been given."""
        return self._patches

    @property
    def config(self) -> Any:
        return self.base.config.get_text_config(decoder=True)

    @property
    def title(self) -> str:
        """The model's own name, without its owner: what a prompt calls it."""
        return self.origin.title if self.origin is not None else self.name.rpartition("/")[2]

    @property
    def limits(self) -> tuple[str, ...]:
        """Sentences for a report on what the weights' origin and the chat template mean for what is measured."""
        return (*(self.origin.limits if self.origin is not None else ()), *self.format.limits)

    @property
    def device(self) -> torch.device:
        return next(self.base.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return self.base.get_input_embeddings().weight.dtype

    @property
    def context(self) -> int:
        """The longest sequence, in tokens, that the model takes."""
        return int(getattr(self.config, "max_position_embeddings", 0) or 1 << 20)

    @property
    def pad_id(self) -> int:
        """What fills padding: always masked, so the end token will do where the tokenizer names no other."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else (self.tokenizer.eos_token_id or 0))

    def embed(self, ids: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Input embeddings through the model's own module: some families scale inside it, so never `weight[ids]`."""
        return self.base.get_input_embeddings()(ids)

    # -- adapters --------------------------------------------------------------------------------------------------

    @property
    def has_adapter(self) -> bool:
        return has_adapter(self.model)

    def with_lora(self, r: int = 16, alpha: float = 32, dropout: float = 0.0, *, seed: int = 0) -> LanguageModel:
        """Return this model with fresh, trainable LoRA on all linear layers; the base weights are shared and frozen."""
        twin = self._sharing(with_fresh_lora(self.model, r=r, alpha=alpha, dropout=dropout, seed=seed))
        self._patches.apply()
        return twin

    def without_lora(self) -> LanguageModel:
        """Take the adapter off for good and return the base model."""
        return self._sharing(self.model.unload() if hasattr(self.model, "unload") else self.model)

    def _sharing(self, model: Any) -> LanguageModel:
        """Another view of the same base weights."""
        twin = object.__new__(LanguageModel)
        twin.__dict__.update(self.__dict__, model=model)
        return twin

    def around(self, model: Any) -> LanguageModel:
        """Return another model, such as a copy, with this one's tokenizer, chat format, name and origin."""
        self._abilities.settle(self)  # on these weights: a copy's may be rounded
        twin = self._sharing(model)
        twin._patches = patched(twin.base)
        return twin

    @contextmanager
    def adapter(self, enabled: bool) -> Iterator[None]:
        """Switch LoRA on or off for a while; off is the reference model that preference losses compare with.

        Raises:
            InputError: it is to be switched off and there is none.
        """
        with nullcontext() if enabled else adapter_off(self.model):
            yield

    @contextmanager
    def merged(self) -> Iterator[None]:
        """Fold the adapter into the base weights for a while, for generation at the base model's speed.

        The base weights are restored bit for bit afterwards. Merged bfloat16 weights round, so logits differ slightly
        from unmerged ones. An adapter that cannot be merged stays beside the weights.
        """
        with folded(self.base):
            yield

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Switch dropout off for a while, and put every module's mode back."""
        training = [module for module in self.model.modules() if module.training]
        self.model.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True

    @contextmanager
    def deployed(self, *, adapter: bool = True) -> Iterator[None]:
        """The model as it would serve: no dropout, its adapter folded into the weights, or switched off.

        Raises:
            InputError: the adapter is to be switched off and there is none.
        """
        with self.evaluating(), self.merged() if adapter else self.adapter(enabled=False):
            yield

    def save_adapter(self, folder: str | Path, card: AdapterCard | None = None) -> Path:
        """Write the adapter in PEFT's layout, atomically; transformers, TRL, vLLM and PEFT load it.

        Args:
            folder: where to; a folder of that name is replaced.
            card: what its model card says of training and check.

        Raises:
            InputError: there is no adapter.
        """
        return save_adapter(self.model, folder, self.origin, card or AdapterCard(), tokenizer=self.tokenizer)

    def restore(self) -> None:
        """Put the wrapped model's own attention and forward passes back; use this `LanguageModel` no more after that.

        The same happens by itself when the last `LanguageModel` of a model is deleted.
        """
        self._patches.restore()

    # -- scores ----------------------------------------------------------------------------------------------------

    def prompt_ids(self, prompt: Prompt, *, prefill: str = "") -> list[int]:
        """Token ids of a prompt, chat template applied, the assistant's turn opened and begun with `prefill`."""
        return self.format.prompt_ids(prompt, prefill=prefill)

    def reply_ids(self, text: str, *, end: bool = True) -> list[int]:
        """Token ids of an assistant's reply; with `end`, the end of turn too."""
        return self.format.reply_ids(text, end=end)

    def rows(self, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[Sequence[int]]]) -> Rows:
        """Lay out token ids for `response_logprobs`, checked against the context.

        Raises:
            InputError: an empty prompt or response, or one that is longer than the model's context.
        """
        for number, (prompt, replies) in enumerate(zip(prompts, responses, strict=True), start=1):
            longest = len(prompt) + max(map(len, replies), default=0)
            if longest > self.context:
                raise InputError(
                    f"row {number}: prompt and response are {longest} tokens and the context of {self.name} holds "
                    f"{self.context}: shorten the row or drop it"
                )
        return pack_rows(prompts, responses, pad=self.pad_id, device=self.device)

    def states(self, rows: Rows, delta: Float[Tensor, "rows time dim"] | None = None) -> Float[Tensor, "scored dim"]:
        """Hidden states from which the scored tokens are predicted; `delta` is added to the embeddings of prompts."""
        embeddings = None if delta is None else self.row_embeddings(rows, delta)
        return self.row_states(rows, embeddings).flatten(0, 1)[rows.source]

    def row_embeddings(
        self, rows: Rows, delta: Float[Tensor, "rows time dim"] | None = None
    ) -> Float[Tensor, "rows time dim"]:
        """Input embeddings of rows; `delta` is added to those of prompts."""
        embeddings = self.embed(rows.input_ids)
        if delta is not None:
            embeddings = embeddings + (delta * rows.prompt_mask[..., None]).to(embeddings.dtype)
        return embeddings

    def row_states(
        self, rows: Rows, embeddings: Float[Tensor, "rows time dim"] | None = None, *, until: nn.Module | None = None
    ) -> Float[Tensor, "rows time dim"]:
        """Hidden states of all tokens of rows, each as it is with its prompt and its own response alone.

        Args:
            rows: prompts and responses.
            embeddings: instead of their tokens' own; what stands on padding has no effect.
            until: a part of the decoder whose output is returned; what comes after it is not computed. None: the last
                hidden states, after the last norm.
        """
        way = self._abilities.way(self, rows.input_ids.shape[1], int(rows.positions.max()) + 1)
        return row_states(self._abilities.passes(self, until), rows, embeddings, way)

    def sequence_states(
        self, ids: Int[Tensor, "rows time"], embeddings: Float[Tensor, "rows time dim"] | None = None, **options: Any
    ) -> Float[Tensor, "rows time dim"]:
        """Last hidden states of sequences of one length, such as they are alone.

        Args:
            ids: token ids; families that use them further up than in the embeddings need them beside embeddings too.
            embeddings: instead of those of the ids.
            options: for the decoder's forward pass, such as a cache where `reuses_prefix`.
        """
        return self._abilities.passes(self)(ids, embeddings, **options)

    @property
    def takes_embeddings(self) -> bool:
        """Whether the decoder computes from embeddings alone what it computes from ids."""
        return self._abilities.basics(self).direct

    def reuses_prefix(self, length: int) -> bool:
        """Whether a prefix in a `GrowingCache` may be shared by sequences of one length, up to `length` tokens."""
        return self._abilities.reuses_prefix(self, length)

    def response_logprobs(
        self, rows: Rows, delta: Float[Tensor, "rows time dim"] | None = None
    ) -> Float[Tensor, " scored"]:
        """Log-probability of every scored token, float32, differentiable in weights, adapter and `delta`."""
        return token_logprobs(self.states(rows, delta), rows.targets, self.head, self.config)

    @torch.no_grad()
    def logprobs(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[Sequence[str]],
        *,
        end: bool = True,
        batch_tokens: int = BATCH_TOKENS // 2,
    ) -> list[list[Tensor]]:
        """Log-probabilities of the tokens of each response; responses to one prompt share its computation.

        Returns:
            For each prompt and each of its responses a float32 tensor [tokens], the end of turn included if `end`.
        """
        prompt_ids = [self.prompt_ids(p) for p in prompts]
        reply_ids = [[self.reply_ids(text, end=end) for text in group] for group in responses]
        widths = [len(p) + sum(map(len, group)) for p, group in zip(prompt_ids, reply_ids, strict=True)]
        result: list[list[Tensor]] = [[] for _ in prompts]
        for batch in plan_batches(widths, new_tokens=0, copies=1, budget=batch_tokens):
            rows = self.rows([prompt_ids[i] for i in batch], [reply_ids[i] for i in batch])
            pieces = list(self.response_logprobs(rows).cpu().split(rows.lengths.tolist()))
            for index in batch:
                result[index] = [pieces.pop(0) for _ in reply_ids[index]]
        return result

    def perplexity(self, conversations: Sequence[tuple[Prompt, str]]) -> Float[Tensor, " conversations"]:
        """Perplexity of each reply: the exponential of its mean negative log-likelihood a token."""
        return self.nats_per_token(conversations).exp()

    def nats_per_token(self, conversations: Sequence[tuple[Prompt, str]]) -> Float[Tensor, " conversations"]:
        """Mean negative log-likelihood of each reply, in nats a token."""
        scores = self.logprobs([p for p, _ in conversations], [[reply] for _, reply in conversations])
        return torch.stack([-group[0].mean() for group in scores])

    @torch.no_grad()
    def hidden(
        self, prompts: Sequence[Prompt], *, layer: int = -1, pool: Literal["mean", "last"] = "last"
    ) -> Float[Tensor, "prompts dim"]:
        """Hidden states of prompts at one layer (0 the embeddings, -1 the last), pooled over their tokens, float32."""
        ids = [self.prompt_ids(p) for p in prompts]
        result: list[Tensor] = [torch.empty(0)] * len(ids)
        for batch in plan_batches([len(i) for i in ids], new_tokens=0, copies=1, budget=BATCH_TOKENS // 2):
            for index in batch:
                out = self.backbone(
                    input_ids=torch.tensor([ids[index]], device=self.device), output_hidden_states=True, use_cache=False
                )
                if out.hidden_states is None:
                    raise InputError(f"{self.name} ({type(self.base).__name__}) does not return its hidden states")
                states = out.hidden_states[layer]
                if states.ndim == 4 and hasattr(self.config, "altup_active_idx"):
                    states = states[self.config.altup_active_idx]  # the stream of several that the layers compute on
                if states.ndim != 3:
                    raise InputError(
                        f"{self.name} ({type(self.base).__name__}) keeps several streams between its layers: layer "
                        f"{layer} has no one state a token"
                    )
                states = states[0].float()
                result[index] = states.mean(0) if pool == "mean" else states[-1]
        return torch.stack(result)

    # -- generation ------------------------------------------------------------------------------------------------

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 256,
        n: int = 1,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        prefill: str | Sequence[str] = "",
        generator: torch.Generator | None = None,
        batch_tokens: int = BATCH_TOKENS,
        progress: Callable[[int], None] | None = None,
    ) -> list[list[str]]:
        """Continue each prompt `n` times: greedily at temperature 0, else sampled with `generator`.

        Args:
            prompts: texts or lists of messages; the chat template is applied.
            stop: a reply ends before the first of these strings.
            prefill: how the assistant's turn begins (one for all, or one a prompt); not part of the returned text.
            batch_tokens: rows times final length of a batch; lower it where memory is short.
            progress: called with the number of prompts that are done.

        Returns:
            [prompt][n] replies, special tokens removed.

        Raises:
            InputError: sampling without a generator, a prompt as long as the context, or mismatched prefills.
        """
        check_sampling(n, temperature, generator)
        prefills = one_prefill_each(prefill, len(prompts))
        ids = [self.prompt_ids(p, prefill=f) for p, f in zip(prompts, prefills, strict=True)]
        check_lengths(ids, self.context, self.name)
        text = ReplyText(self.tokenizer, tuple(stop))
        new_tokens = min(max_new_tokens, self.context - max(map(len, ids), default=0))
        sampling = Sampling(temperature, top_p, generator)
        replies: list[list[str]] = [[] for _ in ids]
        finished = 0
        longest = max(map(len, ids), default=0) + new_tokens
        decoding, backbone, head = self._abilities.decoding(self, longest), self.backbone, self.head
        limits = Limits(
            new_tokens,
            self.format.stop_ids,
            stopped=text.stopped if stop else None,
            switch=rope_switch(self.config),
        )
        for batch in plan_batches([len(i) for i in ids], new_tokens=new_tokens, copies=n, budget=batch_tokens):
            tokens = decode(
                lambda: decoder_for(decoding, backbone, self.config, self.device, self.dtype),
                lambda state: full_logits(state, head, self.config),
                [ids[i] for i in batch],
                copies=n,
                sampling=sampling,
                limits=limits,
            )
            for place, index in enumerate(batch):
                replies[index] = [text(t) for t in tokens[place * n : (place + 1) * n]]
            finished += len(batch)
            if progress is not None:
                progress(finished)
        return replies


def _eos_ids(model: Any, tokens: int) -> set[int]:
    """Return the tokens of the tokenizer at which a model's own configuration ends a reply."""
    ids: set[int] = set()
    for config in (getattr(model, "generation_config", None), model.config, model.config.get_text_config(decoder=True)):
        eos = getattr(config, "eos_token_id", None)
        ids.update([] if eos is None else [eos] if isinstance(eos, int) else eos)
    return {token for token in ids if 0 <= token < tokens}


__all__ = ["LanguageModel", "Prompt", "per_response"]
