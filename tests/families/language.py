"""What is checked of a family of causal language models: `CHECKS`, in the order of the table's columns.

A check returns the largest difference between trued and plain transformers or PEFT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .configurations import tiny_model
from .outcome import Different, NoReference, worst
from .reference import Plain, plainly, reference, without
from .tokenizer import chat_tokenizer

SHORT = "hi"
SENTENCE = "how do i sort a list in python?"
LONG = (
    "how do i sort a list in python? describe the weather in lisbon and write a short poem about bicycles, "
    "wheels and the lazy dog"
)
COMMON = "a user and an assistant talk about the capital of peru: "
REPLIES = ("sure", "i cannot help with that", "the quick brown fox jumps over the lazy dog, and then another")
NEW_TOKENS = 12


class Family:
    """A tiny random model of a family in a folder, as trued and as plain transformers load it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        tokenizer = chat_tokenizer()
        with reference("transformers builds no tiny model of it"):
            model = tiny_model(name, tokenizer)
            model.generation_config.eos_token_id = tokenizer.eos_token_id
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        self.without = without(lambda: self.plain.check_causal(tokenizer(LONG)["input_ids"]))

    def load(self, **options: Any) -> Any:
        """trued's `LanguageModel` of the folder, loaded anew."""
        from trued.language.engine import LanguageModel

        options.setdefault("source", str(self.folder))
        return LanguageModel.load(device="cpu", dtype=torch.float32, **options)

    @cached_property
    def trued(self) -> Any:
        return self.load()

    @cached_property
    def plain(self) -> Plain:
        return Plain.load(str(self.folder))

    def tuned(self) -> tuple[Any, Plain]:
        """A model with LoRA on it, its second factors random too, and PEFT's own of the same weights."""
        tuned = self.load().with_lora(r=4, alpha=8, seed=1)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for name, parameter in tuned.model.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        twin = self._peft_twin(tuned)
        with reference("PEFT's own model fails"), torch.no_grad():
            twin.logprobs(tuned.prompt_ids(SHORT), tuned.reply_ids(REPLIES[0]))
        return tuned, twin

    @plainly
    def _peft_twin(self, tuned: Any) -> Plain:
        import copy

        from peft import get_peft_model

        weights = {name: x.detach().clone() for name, x in tuned.model.named_parameters() if "lora_" in name}
        twin = get_peft_model(Plain.load(str(self.folder)).model, copy.deepcopy(tuned.model.peft_config["default"]))
        own = {name: x for name, x in twin.named_parameters() if "lora_" in name}
        if own.keys() != weights.keys():
            raise Different(f"trued's adapter has other weights than PEFT's: {sorted(own.keys() ^ weights.keys())[:4]}")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(weights[name])
        return Plain(twin.eval())


# -- the checks --------------------------------------------------------------------------------------------------------


def load(subject: Family) -> float:
    """The weights are those of the folder, all of them."""
    loaded = dict(subject.trued.base.state_dict())
    return max(_difference(loaded[name], value) for name, value in subject.plain.model.state_dict().items())


def one_reply(subject: Family) -> float:
    return _scores(subject.trued, subject.plain, [SHORT], [REPLIES[:1]])


def several_replies(subject: Family) -> float:
    return _scores(subject.trued, subject.plain, [SHORT], [REPLIES])


def padding(subject: Family) -> float:
    """Prompts of different lengths, with different numbers of replies, in one batch."""
    return _scores(subject.trued, subject.plain, [SHORT, SENTENCE, "ok"], [REPLIES[1:], REPLIES[:1], REPLIES])


def long_prompts(subject: Family) -> float:
    """Prompts longer than any window, alone and beside short ones."""
    alone = _scores(subject.trued, subject.plain, [LONG], [REPLIES])
    return max(alone, _scores(subject.trued, subject.plain, [LONG, SHORT], [REPLIES[:1], REPLIES]))


def greedy(subject: Family) -> float:
    """Replies to prompts of different lengths in one batch, with nothing in common but the template."""
    return max(_greedy(subject, [SENTENCE]), _greedy(subject, [SHORT, LONG, SENTENCE]))


def shared_prefix(subject: Family) -> float:
    """Prompts that begin alike, and several sampled replies to each."""
    prompts = [COMMON + "where is it?", COMMON + "tell me how far away it is from lisbon, please", COMMON + "no"]
    _greedy(subject, prompts)
    return _sampled(subject, [LONG, SENTENCE])


def hidden(subject: Family) -> float:
    """Hidden states of the embeddings, the first layer and the last one, of the last token and in the mean."""
    prompts = [SHORT, LONG]
    largest = 0.0
    for layer in (-1, 1, 0):
        last = subject.trued.hidden(prompts, layer=layer)
        mean = subject.trued.hidden(prompts, layer=layer, pool="mean")
        plain = [subject.plain.hidden(subject.trued.prompt_ids(prompt), layer) for prompt in prompts]
        largest = worst(largest, _difference(last, torch.stack([x[-1] for x in plain])))
        largest = worst(largest, _difference(mean, torch.stack([x.mean(0) for x in plain])))
    return largest


def gradients(subject: Family) -> float:
    """Scores with shifted input embeddings, and their gradients with respect to the shift."""
    trued, plain = subject.trued, subject.plain
    prompts = [trued.prompt_ids(prompt) for prompt in (LONG, SHORT)]
    replies = [[trued.reply_ids(reply) for reply in group] for group in (REPLIES[:2], REPLIES[2:])]
    rows = trued.rows(prompts, replies)
    generator = torch.Generator().manual_seed(3)
    width = trued.embed(rows.input_ids).shape[-1]
    delta = (torch.randn(*rows.input_ids.shape, width, generator=generator) * 0.05).requires_grad_()
    scores, totals = [], []
    for row, (prompt, group) in enumerate(zip(prompts, replies, strict=True)):
        shift = delta[row, : len(prompt)].detach().clone().requires_grad_()
        total = torch.zeros(len(prompt), width)
        for reply in group:
            with plain.shifted(shift):
                scores.append(plain.logprobs(prompt, reply))
            with reference("plain transformers gives no gradient"):
                total += torch.autograd.grad(scores[-1].sum(), shift)[0]
        totals.append(total)
    ours = trued.response_logprobs(rows, delta)
    (gradient,) = torch.autograd.grad(ours.sum(), delta)
    off = [_relative(gradient[row, : len(total)], total) for row, total in enumerate(totals)]
    return worst(_difference(ours, torch.cat(scores)), *off)


def lora_step(subject: Family) -> float:
    """One step of gradient descent on LoRA: loss, gradients, and the loss after the step."""
    tuned, twin = subject.tuned()
    tuned.model.train()
    twin.model.train()
    prompts = [tuned.prompt_ids(prompt) for prompt in (LONG, SHORT)]
    replies = [[tuned.reply_ids(reply) for reply in group] for group in (REPLIES[:2], REPLIES[2:])]
    pairs = [(prompt, reply) for prompt, group in zip(prompts, replies, strict=True) for reply in group]
    rows = tuned.rows(prompts, replies)

    def own() -> Tensor:
        return -tuned.response_logprobs(rows).mean()

    def peft() -> Tensor:
        return -torch.cat([twin.logprobs(prompt, reply) for prompt, reply in pairs]).mean()

    own_factors, peft_factors = (_trained(model.model) for model in (tuned, twin))
    with reference("PEFT's own training fails"):
        expected = peft()
        peft_gradients = torch.autograd.grad(expected, list(peft_factors.values()), allow_unused=True)
    loss = own()
    own_gradients = torch.autograd.grad(loss, [own_factors[name] for name in peft_factors], allow_unused=True)
    largest = _difference(loss, expected)
    for name, ours, theirs in zip(peft_factors, own_gradients, peft_gradients, strict=True):
        with torch.no_grad():
            blank = torch.zeros_like(peft_factors[name])
            ours, theirs = (blank if x is None else x for x in (ours, theirs))
            largest = worst(largest, _relative(ours, theirs))
            own_factors[name] -= 0.3 * ours
            peft_factors[name] -= 0.3 * theirs
    with torch.no_grad():
        return worst(largest, _difference(own(), peft()))


def adapter_file(subject: Family) -> float:
    """An adapter that was saved, as trued and as PEFT load it."""
    tuned, _ = subject.tuned()
    folder = subject.folder / "adapter"
    tuned.save_adapter(folder)
    with reference("PEFT does not load the adapter"):
        from peft import PeftModel

        plain = Plain(PeftModel.from_pretrained(Plain.load(str(subject.folder)).model, str(folder)).eval())
    return worst(
        _scores(subject.load(source=str(folder)), plain, [LONG], [REPLIES]),
        _scores(subject.load(adapter=str(folder)), plain, [SHORT], [REPLIES]),
    )


def merged(subject: Family) -> float:
    """The adapter folded into the weights, and taken out of them again."""
    tuned, twin = subject.tuned()
    with tuned.deployed():
        folded = _scores(tuned, twin, [LONG, SHORT], [REPLIES, REPLIES[:1]])
    return worst(folded, _scores(tuned, twin, [LONG], [REPLIES]))


def adapter_off(subject: Family) -> float:
    """With its adapter switched off the model is its base, and with it on again it is not."""
    tuned, twin = subject.tuned()
    with tuned.adapter(False):
        off = _scores(tuned, subject.plain, [LONG, SHORT], [REPLIES, REPLIES[:1]])
    with tuned.deployed(adapter=False):
        off = worst(off, _scores(tuned, subject.plain, [SHORT], [REPLIES]))
    return worst(off, _scores(tuned, twin, [SHORT], [REPLIES]))


CHECKS: dict[str, Callable[[Family], float]] = {
    check.__name__: check
    for check in (
        load, one_reply, several_replies, padding, long_prompts, shared_prefix, greedy, hidden, gradients, lora_step,
        adapter_file, merged, adapter_off,
    )
}  # fmt: skip


# -- their parts -------------------------------------------------------------------------------------------------------


def _difference(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise Different(f"shape {tuple(ours.shape)}, not {tuple(theirs.shape)}")
    return float((ours.detach().double() - theirs.detach().double()).abs().max()) if ours.numel() else 0.0


def _relative(ours: Tensor, theirs: Tensor) -> float:
    """A difference of gradients, in units of the largest of them where that is above 1."""
    return _difference(ours, theirs) / max(1.0, float(theirs.abs().max()))


def _trained(model: Any) -> dict[str, Tensor]:
    return {name: x for name, x in model.named_parameters() if "lora_" in name}


def _scores(trued: Any, plain: Plain, prompts: Sequence[str], replies: Sequence[Sequence[str]]) -> float:
    ours = trued.logprobs(prompts, replies)
    largest = 0.0
    with torch.no_grad():
        for prompt, group, scores in zip(prompts, replies, ours, strict=True):
            for reply, score in zip(group, scores, strict=True):
                expected = plain.logprobs(trued.prompt_ids(prompt), trued.reply_ids(reply))
                largest = worst(largest, _difference(score, expected))
    return largest


def _ends(trued: Any) -> frozenset[int]:
    return frozenset([trued.tokenizer.eos_token_id])


def _greedy(subject: Family, prompts: Sequence[str]) -> float:
    """Compare greedy replies with `generate`; where that is at odds with its own passes without a cache, with those."""
    trued, plain = subject.trued, subject.plain
    replies = trued.generate(prompts, max_new_tokens=NEW_TOKENS)
    for prompt, (reply,) in zip(prompts, replies, strict=True):
        ids = trued.prompt_ids(prompt)
        try:
            if reply == _text(trued, plain.generated(ids, NEW_TOKENS, _ends(trued))):
                continue
        except NoReference:
            pass
        expected = plain.greedy(ids, NEW_TOKENS, _ends(trued))
        if reply != _text(trued, expected):
            raise Different(f"reply {reply!r}, not {_text(trued, expected)!r}, to {prompt[-30:]!r}")
    return 0.0


def _sampled(subject: Family, prompts: Sequence[str], *, copies: int = 2, tokens: int = 6) -> float:
    """Compare sampled replies with those that the same random numbers give by passes without a cache."""
    trued, plain = subject.trued, subject.plain
    ids = [trued.prompt_ids(prompt) for prompt in prompts]
    rows = [row for row in ids for _ in range(copies)]
    # A row that ends early leaves the batch, which then draws fewer numbers: take a seed for which none does.
    for seed in range(20):
        expected = plain.sampled(rows, tokens, seed)
        if not any(_ends(trued) & set(reply) for reply in expected):
            break
    generator = torch.Generator().manual_seed(seed)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]), reverse=True)
    assert order == list(range(len(ids))), "give the longest prompt first, as batches are laid out"
    replies = trued.generate(prompts, max_new_tokens=tokens, n=copies, temperature=1.0, generator=generator)
    for reply, row in zip([r for group in replies for r in group], expected, strict=True):
        if reply != _text(trued, row):
            raise Different(f"sampled {reply!r}, not {_text(trued, row)!r}")
    return 0.0


def _text(trued: Any, ids: Sequence[int]) -> str:
    return trued.tokenizer.decode(list(ids), skip_special_tokens=True)
