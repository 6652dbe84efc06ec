"""What plain transformers and PEFT compute: eager attention, float32, one sequence at a time, without a cache.

What they cannot do themselves is `NoReference`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

from .outcome import NoReference

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def reference(of: str) -> Iterator[None]:
    """Turn what goes wrong in plain transformers or PEFT into `NoReference`."""
    try:
        yield
    except NoReference:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        raise NoReference(f"{of}: {type(error).__name__}: {words}") from error


def plainly(method: F) -> F:
    @wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        with reference("plain transformers or PEFT fails"):
            return method(*args, **options)

    return call  # pyright: ignore


def without(run: Callable[[], object]) -> NoReference | None:
    """Return why a reference cannot be had, or None if it can."""
    try:
        run()
    except NoReference as error:
        return error
    return None


class Plain:
    """A model as transformers, or PEFT around it, runs it."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @classmethod
    @plainly
    def load(cls, folder: str) -> Plain:
        from transformers import AutoModelForCausalLM

        options: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True}
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", **options)
        except (ValueError, ImportError):  # a family without a choice of attention
            model = AutoModelForCausalLM.from_pretrained(folder, **options)
        return cls(model.eval())

    @plainly
    def logits(self, ids: Sequence[int]) -> Tensor:
        return self.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float()

    @plainly
    def logprobs(self, prompt: Sequence[int], reply: Sequence[int]) -> Tensor:
        """Log-probabilities of the tokens of a reply, differentiable."""
        log_probs = self.logits([*prompt, *reply])[len(prompt) - 1 : -1].log_softmax(-1)
        return log_probs.gather(-1, torch.tensor(list(reply))[:, None])[:, 0]

    @torch.no_grad()
    def check_causal(self, ids: Sequence[int]) -> None:
        """Check that what the model says of a token does not depend on the tokens that follow.

        Raises:
            NoReference: it does, so that its scores in one pass are not those that it replies by.
        """
        half = len(ids) // 2
        difference = float((self.logits(ids)[:half] - self.logits(ids[:half])).abs().max())
        if difference > 1e-3:
            raise NoReference(
                f"plain transformers' logits of a token change by {difference:.1e} with the tokens that follow it"
            )

    @torch.no_grad()
    def greedy(self, prompt: Sequence[int], tokens: int, ends: frozenset[int]) -> list[int]:
        """The likeliest token again and again, each by a pass over everything so far."""
        reply: list[int] = []
        while len(reply) < tokens:
            token = int(self.logits([*prompt, *reply])[-1].argmax())
            if token in ends:
                break
            reply.append(token)
        return reply

    @plainly
    @torch.no_grad()
    def generated(self, prompt: Sequence[int], tokens: int, ends: frozenset[int]) -> list[int]:
        """What `generate` replies greedily, with its cache."""
        ids = torch.tensor([list(prompt)])
        settings: dict[str, Any] = {"max_new_tokens": tokens, "do_sample": False, "eos_token_id": sorted(ends)}
        out = self.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), pad_token_id=min(ends), **settings
        )[0, ids.shape[1] :].tolist()
        return out[: next((place for place, token in enumerate(out) if token in ends), len(out))]

    @torch.no_grad()
    def sampled(self, prompts: Sequence[Sequence[int]], tokens: int, seed: int) -> list[list[int]]:
        """Sample one reply a prompt at temperature 1, with the random numbers that a batch of them draws."""
        from trued.learn.categorical import sample_categorical

        generator = torch.Generator().manual_seed(seed)
        replies: list[list[int]] = [[] for _ in prompts]
        for _ in range(tokens):
            uniforms = torch.rand(len(prompts), dtype=torch.float64, generator=generator)
            logits = torch.stack([self.logits([*p, *r])[-1] for p, r in zip(prompts, replies, strict=True)])
            for reply, token in zip(replies, sample_categorical(logits, uniforms=uniforms).tolist(), strict=True):
                reply.append(token)
        return replies

    @plainly
    @torch.no_grad()
    def hidden(self, ids: Sequence[int], layer: int) -> Tensor:
        out = self.model(input_ids=torch.tensor([list(ids)]), use_cache=False, output_hidden_states=True)
        if not out.hidden_states:
            raise NoReference("plain transformers gives no hidden states of this family")
        states = out.hidden_states[layer]
        if states.ndim == 4 and hasattr(self.model.config, "altup_active_idx"):
            states = states[self.model.config.altup_active_idx]
        if states.ndim != 3:
            raise NoReference("plain transformers has several states of a token in a layer")
        return states[0].float()

    @contextmanager
    def shifted(self, delta: Tensor) -> Iterator[None]:
        """Add `delta` [time, dim] to the first input embeddings of every pass, at the embedding module."""
        embeddings = self.model.get_input_embeddings()

        def add(_: object, __: object, output: Tensor) -> Tensor:
            room = output.shape[1] - len(delta)
            return output + torch.cat([delta, delta.new_zeros(room, delta.shape[1])])[None]

        handle = embeddings.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()
