"""In which ways the engine may run a model: what its configuration says, and what a few tokens through it confirm.

A faster way (several replies in a row, padding, a shared prefix, embeddings in place of ids, a head that is one linear
layer) is used only where it gave the same hidden states or logits as plain forward passes of separate sequences. What
no way runs right is refused. The Llama family, which the tests compare in full, is not run for that.

Knows models, and the ways in which the engine can run them. Knows nothing of text, or of what is run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from trued.errors import InputError
from trued.language.engine.attention import NAME
from trued.language.engine.decoders import SHARED_PREFIX, Decoding, decoder_for
from trued.language.engine.forward import ALONE, MASK, POSITIONS, Passes, Way, row_states
from trued.language.engine.head import OwnHead
from trued.language.engine.masks import seeing
from trued.language.engine.prefix import new_cache
from trued.language.engine.scoring import Rows, full_logits, pack_rows, visible
from trued.language.engine.traits import attends_only, column_span, rope_switch, windowed

_CONFIRMED = ("transformers.models.llama.modeling_llama",)
T = TypeVar("T")


@dataclass(frozen=True)
class Basics:
    """What holds for every pass of a model.

    Attributes:
        decoder: which of `_decoders` is the decoder.
        direct: whether embeddings may be given in place of ids.
        own_head: whether logits need the model's own forward pass (`OwnHead`).
    """

    decoder: int = 0
    direct: bool = True
    own_head: bool = False


class Abilities:
    """What is known of how a model may be run; each part is found when it is first needed, and kept.

    The methods take the `LanguageModel`, so that its copies and adapted twins share what is known.
    """

    def __init__(self) -> None:
        self._basics: Basics | None = None
        self._way: Way | None = None
        self._decoding: dict[bool, Decoding] = {}
        self._attends: bool | None = None
        self._reuses: bool | None = None

    def settle(self, lm: Any) -> None:
        """Find everything now, before a copy of the model is rounded."""
        self.basics(lm)
        self.way(lm)
        self.decoding(lm)
        self.reuses_prefix(lm)

    def basics(self, lm: Any) -> Basics:
        """Return what holds for every pass.

        Raises:
            InputError: the model is no causal language model, or cannot be run on token ids alone.
        """
        if self._basics is None:
            self._basics = Basics() if _confirmed(lm) else _quietly(lm, partial(_find_basics, lm))
        assert self._basics is not None
        return self._basics

    def backbone(self, lm: Any) -> Any:
        """Return the decoder without its output head."""
        return _decoders(lm.base)[self.basics(lm).decoder]

    def head(self, lm: Any) -> nn.Module:
        """Return what turns the decoder's last hidden states into logits (`scoring.full_logits`)."""
        if self.basics(lm).own_head:
            return OwnHead(lm.base, self.backbone(lm))
        return lm.base.get_output_embeddings()

    def passes(self, lm: Any, until: nn.Module | None = None) -> Passes:
        """Return what runs the decoder on ids or embeddings."""
        return Passes(self.backbone(lm), lm.base.get_input_embeddings(), direct=self.basics(lm).direct, until=until)

    def way(self, lm: Any, columns: int = 0, length: int = 0) -> Way:
        """Return how rows of prompts and responses are run.

        Args:
            lm: the model.
            columns: tokens of the longest row.
            length: tokens of the longest sequence: a prompt and one response.
        """
        if self._way is None:
            self._way = MASK if _confirmed(lm) else ALONE
            if not _confirmed(lm) and self._attends_only(lm):
                self._way = _quietly(lm, partial(_find_way, lm, self.passes(lm)))
        assert self._way is not None
        short = _confirmed(lm) or _within(column_span(lm.config), columns)
        return self._way if short and _within(rope_switch(lm.config), length) else ALONE

    def decoding(self, lm: Any, columns: int = 0) -> Decoding:
        """Return how replies are decoded, prompt and reply together up to so many tokens."""
        if _confirmed(lm):
            return Decoding(shares=rope_switch(lm.config) is None)
        cached = self._attends_only(lm) and _within(column_span(lm.config), columns)
        if cached not in self._decoding:
            self._decoding[cached] = _quietly(lm, partial(_find_decoding, lm, self.backbone(lm), cached))
        return self._decoding[cached]

    def _attends_only(self, lm: Any) -> bool:
        if self._attends is None:
            self._attends = attends_only(lm.base, lm.config)
        return self._attends

    def reuses_prefix(self, lm: Any, length: int = 0) -> bool:
        """Whether sequences of one length may share a prefix in a `GrowingCache`, crop it and extend it.

        Args:
            lm: the model.
            length: tokens of the whole sequences.
        """
        if not _within(rope_switch(lm.config), length):
            return False
        if self._reuses is None:
            self._reuses = _confirmed(lm) or (
                self._attends_only(lm) and _quietly(lm, partial(_reuses, lm, self.backbone(lm)))
            )
        return self._reuses


def _within(limit: int | None, length: int) -> bool:
    return limit is None or length <= limit


def _confirmed(lm: Any) -> bool:
    """Whether the tests compare this very class in full, under an attention that takes any mask."""
    implementation = getattr(lm.config, "_attn_implementation", None)
    return type(lm.base).__module__ in _CONFIRMED and implementation in ("sdpa", "eager", NAME)


def _decoders(base: Any) -> list[Any]:
    """What may be the decoder; transformers' own rule first, which takes a vocabulary layer of that name for one."""
    inner = [child for child in base.children() if isinstance(child, PreTrainedModel)]
    candidates = [base.get_decoder(), getattr(base, "base_model", None), *inner]
    return [c for c in candidates if isinstance(c, nn.Module) and c is not base and not isinstance(c, nn.Linear)]


# -- what a few tokens show --------------------------------------------------------------------------------------------


def _quietly(lm: Any, find: Callable[[], T]) -> T:
    """Run a probe without gradient, dropout or lower precision than the weights'."""
    with lm.evaluating(), torch.no_grad(), torch.autocast(lm.device.type, enabled=False):
        return find()


def _tokens(lm: Any, count: int, first: int = 0) -> list[int]:
    """Token ids from the middle of the vocabulary, where special tokens are rare."""
    size = lm.base.get_input_embeddings().weight.shape[0]
    return [(size // 3 + 37 * number) % size for number in range(first, first + count)]


def _same(lm: Any, ours: Tensor, plain: Tensor, leeway: float = 1.0) -> bool:
    """Whether two sets of vectors are equal but for the rounding of the model's weights; with leeway to refuse."""
    if ours.shape != plain.shape:
        return False
    ours, plain = ours.double(), plain.double()
    off = (ours - plain).norm(dim=-1) / plain.norm(dim=-1).clamp(min=1e-6)
    if lm.dtype in (torch.float32, torch.float64):
        return bool((off <= leeway * 2e-4).all())  # NaN is not the same
    # Over 30 layers bfloat16 leaves 0.02 of a state as noise, and up to 0.1 of one in ten.
    return bool(off.mean() <= leeway * 0.05) and bool((off <= leeway * 0.25).all())


def _holds(check: Callable[[], bool]) -> bool:
    """Whether a way gives the right values; one that fails on the model's code does not."""
    try:
        return check()
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return False


def _find_basics(lm: Any) -> Basics:
    ids = torch.tensor([_tokens(lm, 11)], device=lm.device)
    embedder = lm.base.get_input_embeddings()
    logits, reason = _plain_logits(lm, ids)
    if logits is None:
        raise InputError(f"{lm.name} ({type(lm.base).__name__}) cannot be run on token ids alone: {reason}")
    for number, backbone in enumerate(_decoders(lm.base)):
        passes = Passes(backbone, embedder, direct=True)
        states = _states(passes, ids)
        if states is None:
            continue
        if not _same(lm, passes(ids[:, :7]), states[:, :7], leeway=5):
            raise InputError(
                f"{lm.name} ({type(lm.base).__name__}) lets a token see later ones: it is not a causal language model"
            )
        own_head = _needs_own_head(lm, backbone, states, logits)
        if own_head is not None:
            return Basics(number, _holds(partial(_takes_embeddings, lm, passes, ids)), own_head)
    raise InputError(
        f"{lm.name} ({type(lm.base).__name__}) has no decoder whose hidden states give its logits: it is not supported"
    )


def _plain_logits(lm: Any, ids: Tensor) -> tuple[Tensor | None, str]:
    """Return the model's own logits in its own attention, after comparing the engine's faster passes with them."""
    try:
        with lm.patches.off():
            plain = lm.base(input_ids=ids, use_cache=False).logits
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return None, " ".join(str(error).split())[:200] or type(error).__name__
    if plain is None or plain.ndim != 3:
        return None, "it returns no logits"
    if not _holds(lambda: _same(lm, lm.base(input_ids=ids, use_cache=False).logits, plain)):
        lm.patches.give_up()
    return plain, ""


def _states(passes: Passes, ids: Tensor) -> Tensor | None:
    """Return the hidden states that a module gives if it is a decoder."""
    try:
        states = passes(ids)
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return None
    return states if isinstance(states, Tensor) and states.shape[:2] == ids.shape else None


def _needs_own_head(lm: Any, backbone: Any, states: Tensor, logits: Tensor) -> bool | None:
    """Whether logits need the model's own forward pass; None where the states do not give them even so."""
    own = OwnHead(lm.base, backbone)

    def known(hidden: Tensor) -> Tensor:
        return full_logits(hidden, lm.base.get_output_embeddings(), lm.config)

    if _holds(lambda: _same(lm, own(states), logits)):
        # Large states too: a cap changes little in small logits.
        return not _holds(lambda: all(_same(lm, known(s), own(s)) for s in (states, 50 * states)))
    return False if _holds(lambda: _same(lm, known(states), logits)) else None


def _takes_embeddings(lm: Any, passes: Passes, ids: Tensor) -> bool:
    """Whether embeddings in place of ids, moved ones too, give what they give where ids are looked up."""
    looked_up = Passes(passes.backbone, passes.embedder, direct=False)
    own = passes.embedder(ids)
    return all(_same(lm, passes(ids, given), looked_up(ids, given)) for given in (own, own.flip(-1)))


def _find_way(lm: Any, passes: Passes) -> Way:
    prompts = [_tokens(lm, 6), _tokens(lm, 3, first=11)]
    replies = [[_tokens(lm, 3, first=20), _tokens(lm, 4, first=30)], [_tokens(lm, 2, first=40)]]
    rows = pack_rows(prompts, replies, pad=0, device=lm.device)
    embeddings = passes.embedder(rows.input_ids) if passes.direct else None
    read = rows.segments >= 0
    plain = row_states(passes, rows, embeddings, ALONE)[read]
    ways: tuple[Way, ...] = (POSITIONS,) if windowed(lm.config) else (MASK, POSITIONS)
    for way in ways:
        if _holds(lambda: _same(lm, row_states(passes, rows, embeddings, way)[read], plain)):  # noqa: B023  # pyright: ignore
            if way == POSITIONS and windowed(lm.config) and not _windows_shown(passes, rows, embeddings):
                continue
            return way
    return ALONE


def _windows_shown(passes: Passes, rows: Rows, embeddings: Tensor | None) -> bool:
    """Whether transformers' mask functions, which `seeing` gives positions, are where the windows are laid."""
    with seeing(visible(rows.segments), rows.positions, rows.positions) as built:
        whole = torch.ones_like(rows.input_ids)
        passes(rows.input_ids, embeddings, attention_mask=whole, position_ids=rows.positions)
    return built.windowed > 0


def _find_decoding(lm: Any, backbone: Any, cached: bool) -> Decoding:
    ways = [Decoding("state"), Decoding("state", together=False), Decoding("nothing")]
    if cached:
        by_position = (True,) if windowed(lm.config) else (False, True)
        shares = (True, False) if rope_switch(lm.config) is None else (False,)
        ways = [Decoding("cache", b, s) for s in shares for b in by_position] + ways
    for way in ways:
        if _holds(lambda: _decodes(lm, backbone, way)):  # noqa: B023
            return way
    raise InputError(f"{lm.name} ({type(lm.base).__name__}) cannot be decoded token by token: it is not supported")


def _decodes(lm: Any, backbone: Any, way: Decoding) -> bool:
    """Whether prompts of two lengths, continued by given tokens, get the states that they get alone."""
    begin = _tokens(lm, SHARED_PREFIX + 1)
    alike = [begin + _tokens(lm, length, first=20 + 5 * length) for length in (2, 5, 3)]
    unlike = [_tokens(lm, 4, first=50), alike[1], _tokens(lm, 4, first=60)]
    given = torch.tensor([_tokens(lm, 3, first=70 + 3 * row) for row in range(3)], device=lm.device)
    for prompts in (alike, unlike):
        ids = [torch.cat([torch.tensor(p, device=lm.device), g])[None] for p, g in zip(prompts, given, strict=True)]
        plain = [backbone(input_ids=i, use_cache=False).last_hidden_state[0, -4:] for i in ids]
        decoder, rows = decoder_for(way, backbone, lm.config, lm.device, lm.dtype), [0, 1, 2]
        states = decoder.start(prompts, 1, 3)
        for step in range(3):
            if not _same(lm, states, torch.stack([plain[row][step] for row in rows])):
                return False
            if step == 1:
                decoder.select(torch.tensor([1, 2], device=lm.device))
                rows = [1, 2]
            states = decoder.step(given[rows, step])
        if not _same(lm, states, torch.stack([plain[row][3] for row in rows])):
            return False
    return True


def _reuses(lm: Any, backbone: Any) -> bool:
    begin, tails = _tokens(lm, 6), [_tokens(lm, 3, first=20), _tokens(lm, 3, first=30)]

    def check() -> bool:
        cache = new_cache(lm.config, reserve=0)
        backbone(input_ids=torch.tensor([begin], device=lm.device), past_key_values=cache, use_cache=True)
        ids = torch.tensor(tails, device=lm.device)
        states = backbone(input_ids=ids, past_key_values=cache.expand(2), use_cache=True).last_hidden_state[:, -1]
        whole = [torch.tensor([begin + tail], device=lm.device) for tail in tails]
        plain = [backbone(input_ids=row, use_cache=False).last_hidden_state[:, -1] for row in whole]
        return _same(lm, states, torch.cat(plain))

    return _holds(check)
