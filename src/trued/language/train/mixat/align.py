"""Mixed adversarial training: embedding attacks around rewritten requests (MixAT, arXiv 2505.16947).

The neighbourhood that training covers is ``N(x) = R(x) + B(0, epsilon)``: a request x is rewritten, and the ball of
continuous perturbations is centred on the rewrite. A batch takes the rewrites with share alpha, fixed by a schedule;
the losses are C-AdvUL's or C-AdvIPO's (`trued.language.train.c_advul`), utility rows stay clean. Constants are those of
the released code (insait-institute/MixAT).

Knows losses, schedules and rewriters. Knows nothing of judges' labels, evaluation, cards or the terminal.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import torch
from accelerate import PartialState
from torch import Tensor

from trued.data.prompts import AdversarialRow
from trued.errors import InputError
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.attack.gcg.search import GCG
from trued.language.engine.model import LanguageModel
from trued.language.train.adversarial import AdversarialBatch, UtilityRow, collate, encode_chats, interleave
from trued.language.train.c_advul.loss import (
    AdvLossConfig,
    PreferenceLossConfig,
    cadvipo_loss,
    cadvul_loss,
    with_references,
)
from trued.language.train.mixat.attack_target import FrozenTarget, Lend, around, current, initial
from trued.language.train.mixat.gcg_rewriter import TRAINING_GCG, GCGRewriter
from trued.language.train.mixat.intent import IntentFilter
from trued.language.train.mixat.plan import PlannedBatch, Request, Rewriting, encode_requests, lay_out
from trued.language.train.mixat.rewriters import PAPRewriter, Rewriter, StaticRewriter
from trued.language.train.mixat.schedule import MixSchedule, Mode, Variant, schedule_of
from trued.learn.fit.loop import FitConfig, FitResult, StepLog, fit

KL_FLOOR = 1e-3  # nats below which the normalised divergence's gradient no longer grows


@dataclass(frozen=True)
class MixBatch:
    """A batch to train on, the mode of its adversarial rows, and the share of them whose rewrite was lost."""

    batch: AdversarialBatch
    mode: Mode | None
    lost: float

    @property
    def rewritten(self) -> bool:
        return bool(self.mode and {"D", "G"} & set(self.mode))

    @property
    def attacked(self) -> bool:
        return bool(self.mode and "C" in self.mode)


@dataclass(frozen=True)
class MixAT:
    """MixAT and the variants of the paper's ablations. Defaults are the paper's.

    Args:
        variant: see `trued.language.train.mixat.schedule.schedule_of`.
        alpha: share of the adversarial batches that are rewritten; `alpha_end` makes it a curriculum.
        gcg_share: share of the batches with an optimised suffix, of the variant "mixat-gcg".
        exact: permute exact counts of modes; False draws each.
        static: write all rewrites once before training instead of fresh ones in each batch.
        static_attacker: attack the initial model instead of the one in training.
        objective: C-AdvUL's loss (`loss`), or a preference loss on the same pairs (`preference`: IPO, DPO, …).
        attack: the continuous attack; its radius is 0.075 here.
        kl_weight: weight k of a further term on utility rows, the divergence from the base divided by its own detached
            value, so that its gradient has the same size whatever the divergence.
        tune: train LoRA, or all weights of a float32 copy.
        lora_r, lora_alpha, lora_dropout: the adapter.
        adversarial_share: share of adversarial rows among all.
        max_length: tokens of prompt and reply.
        tau: least similarity of a rewrite and its request.
        ahead: batches whose rewrites are written in the background, where the rewriter does not look at the model.
        gcg: the search of "mixat-gcg".
        fit: the optimiser.

    Raises:
        InputError: a share outside [0, 1], or full training with a divergence from a base that is then gone.
    """

    variant: Variant = "mixat"
    alpha: float = 0.5
    alpha_end: float | None = None
    gcg_share: float = 0.1
    exact: bool = True
    static: bool = False
    static_attacker: bool = False
    objective: Literal["unlikelihood", "preference"] = "unlikelihood"
    attack: EmbeddingAttack = field(default_factory=lambda: EmbeddingAttack(eps=0.075))
    loss: AdvLossConfig = field(default_factory=AdvLossConfig)
    preference: PreferenceLossConfig = field(default_factory=lambda: PreferenceLossConfig(utility_weight=1.0))
    kl_weight: float = 0.0
    tune: Literal["lora", "full"] = "lora"
    lora_r: int = 64
    lora_alpha: float = 16
    lora_dropout: float = 0.1
    adversarial_share: float = 0.125
    max_length: int | None = 256
    tau: float = 0.3
    ahead: int = 2
    gcg: GCG = TRAINING_GCG
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=2, lr=2e-4, weight_decay=0.001, warmup=0.03, max_grad_norm=0.3, batch_size=8, accumulation=8
        )
    )

    def __post_init__(self) -> None:
        self.schedule()
        if self.kl_weight < 0 or self.ahead < 0:
            raise InputError(f"kl_weight {self.kl_weight} and ahead {self.ahead}: neither may be negative")
        options = self.loss if self.objective == "unlikelihood" else self.preference
        online = self.objective == "preference" and self.preference.online_reference
        if self.tune == "full" and (self.kl_weight or options.utility == "kl" or online):
            raise InputError(
                "tune is 'full', and a divergence from the base or an online reference needs the base beside the "
                "trained model: train LoRA, or use the cross-entropy and references computed beforehand"
            )

    def schedule(self) -> MixSchedule:
        """The schedule of modes that these settings describe."""
        return schedule_of(
            self.variant, alpha=self.alpha, alpha_end=self.alpha_end, gcg_share=self.gcg_share, exact=self.exact,
            seed=self.fit.seed,
        )  # fmt: skip

    def align(
        self,
        lm: LanguageModel,
        adversarial: Sequence[AdversarialRow],
        utility: Sequence[UtilityRow] = (),
        *,
        rewriter: Rewriter | None = None,
        suffixes: Rewriter | None = None,
        keeps: IntentFilter | None = None,
        output: Path | None = None,
        resume: bool = False,
        validate: Callable[[LanguageModel, int], float] | None = None,
        report: Callable[[StepLog], None] | None = None,
        progress: bool = True,
    ) -> tuple[LanguageModel, FitResult]:
        """Train on `lm` and return the trained model with the record of its training.

        Beside the losses each step logs "rewritten" and "continuous", the shares of its batches of these kinds;
        "lost", the share of its adversarial rows whose rewrite was given up (see `what_was_trained_on`); and
        "pass_tokens", the tokens that went forward or backward through the model (a rewriter's work is not counted).

        Args:
            adversarial: prompts with affirmative targets and safe replies.
            utility: prompts with replies to keep; see `own_replies` for the model's own.
            rewriter: who rewrites in the modes D and C+D; persuasion by frames without one.
            suffixes: who does in the mode C+G; a search on the model by `gcg` without one.
            keeps: decides whether a rewrite still asks for the same; word overlap of at least `tau` without one.
            output: folder for checkpoints; the adapter or model itself is saved by the caller.
            resume: continue an interrupted run in `output`.
            validate: takes the trained model and the step; higher is better.

        Raises:
            InputError: no data, a share that the data cannot serve, or replies longer than the context.
        """
        tuned = self._trainable(lm)
        lend: Lend = initial(tuned) if self.static_attacker else partial(current, tuned)
        requests = encode_requests(tuned, adversarial, max_length=self.max_length)
        if self.objective == "preference" and not self.preference.online_reference:
            requests = cast(list[Request], with_references(tuned, requests, self.preference))
        chats = encode_chats(tuned, utility, max_length=self.max_length)
        generator = torch.Generator().manual_seed(self.fit.seed)
        examples = interleave(requests, chats, self.adversarial_share, generator)
        batches, config = lay_out(examples, self.fit, self.schedule(), processes=PartialState().num_processes)
        rewriters = self._rewriters(rewriter, suffixes, batches, lend)
        rewriting = Rewriting(
            tuned, lend, rewriters, keeps or IntentFilter(self.tau), batches, self.fit.seed, self.max_length, self.ahead
        )
        attack = FrozenTarget(**vars(self.attack), lend=lend) if self.static_attacker else self.attack
        with rewriting.running():
            result = fit(
                tuned.model,
                lambda _, mixed: self._logged(tuned, mixed, attack),
                batches,
                config,
                collate=lambda planned: _collate(tuned, planned, rewriting),
                output=output,
                resume=resume,
                validate=None if validate is None else lambda step: validate(tuned, step),
                report=report,
                progress=progress,
            )
        tuned.model.eval()
        return tuned, result

    def _trainable(self, lm: LanguageModel) -> LanguageModel:
        if self.tune == "lora":
            return lm.with_lora(self.lora_r, self.lora_alpha, self.lora_dropout, seed=self.fit.seed)
        if hasattr(lm.model, "peft_config"):
            raise InputError("this model has an adapter, and tune is 'full': merge it, or start from its base")
        # AdamW's steps are below bfloat16's resolution, so the weights are trained in float32.
        return around(copy.deepcopy(lm.model).float().requires_grad_(True), lm)

    def _rewriters(
        self, rewriter: Rewriter | None, suffixes: Rewriter | None, batches: Sequence[PlannedBatch], lend: Lend
    ) -> dict[str, Rewriter]:
        rewriters: dict[str, Rewriter] = {"D": rewriter or PAPRewriter(), "G": suffixes or GCGRewriter(self.gcg)}
        if not self.static:
            return rewriters
        used = {letter: [b for b in batches if b.letter == letter] for letter in rewriters}
        with lend() as model:
            return {
                letter: StaticRewriter.written_by(
                    rewriters[letter], [r.text for b in sorted(part, key=_number) for r in b.requests], model=model,
                    seed=self.fit.seed,
                )
                for letter, part in used.items()
                if part
            }  # fmt: skip

    def loss_of(
        self, lm: LanguageModel, batch: AdversarialBatch, *, mode: Mode | None, attack: EmbeddingAttack | None = None
    ) -> dict[str, Tensor | float]:
        """Return the loss of a batch whose requests are rewritten already where its mode says so, and its terms.

        Args:
            lm: the model.
            batch: the rows.
            mode: of its adversarial rows, None without any.
            attack: the continuous attack of the modes with "C"; the method's own without one.

        Returns:
            "loss", the terms of `cadvul_loss` or `cadvipo_loss`, "divergence" with a `kl_weight`, and "pass_tokens".
        """
        attacked = mode is not None and "C" in mode
        used = (attack or self.attack) if attacked else None
        if self.objective == "unlikelihood":
            losses: dict[str, Tensor | float] = {**cadvul_loss(lm, used, batch, self.loss)}
        else:
            losses = {**cadvipo_loss(lm, used, batch, self.preference)}
        if self.kl_weight:
            divergence = divergence_from_base(lm, batch)
            losses["loss"] += self.kl_weight * divergence / divergence.detach().clamp(min=KL_FLOOR)
            losses["divergence"] = divergence
        return losses | {"pass_tokens": float(self._pass_tokens(batch, attacked=attacked))}

    def _logged(self, lm: LanguageModel, mixed: MixBatch, attack: EmbeddingAttack) -> dict[str, Tensor | float]:
        # Every batch logs the same names: a mean over batches, or over processes, would be wrong without.
        log = dict.fromkeys(("attack", "attacked", "margin"), 0.0)
        return {
            **log, **self.loss_of(lm, mixed.batch, mode=mixed.mode, attack=attack),
            "rewritten": float(mixed.rewritten), "continuous": float(mixed.attacked), "lost": mixed.lost,
            "weight": mixed.batch.rows, "tokens": mixed.batch.tokens,
        }  # fmt: skip

    def _pass_tokens(self, batch: AdversarialBatch, *, attacked: bool) -> int:
        """Tokens forward plus tokens backward: K passes both ways of the attack, one both ways of the loss."""
        attack = self.attack.steps * batch.attack.tokens if attacked and batch.attack is not None else 0
        chat_tokens = batch.chats.tokens if batch.chats is not None else 0
        config = self.loss if self.objective == "unlikelihood" else self.preference
        references = chat_tokens * ((config.utility == "kl") + 4 * bool(self.kl_weight))
        return 2 * (attack + batch.tokens) + references


def divergence_from_base(lm: LanguageModel, batch: AdversarialBatch) -> Tensor:
    """Return KL(base || model) on the utility replies' tokens, the mean in nats; zero for a batch without any."""
    only_chats = replace(batch, attack=None, pairs=None, references=None)
    return cadvul_loss(lm, None, only_chats, AdvLossConfig(utility="kl"))["utility"]


def _number(batch: PlannedBatch) -> int:
    return batch.number


def _collate(lm: LanguageModel, planned: Sequence[PlannedBatch], rewriting: Rewriting) -> MixBatch:
    (batch,) = planned
    examples, lost = rewriting(batch)
    return MixBatch(collate(lm, examples), batch.mode, lost)


def what_was_trained_on(result: FitResult) -> dict[str, float]:
    """Return the shares of batches that were rewritten and attacked, and of rewritten rows that were given up."""
    sums = {name: sum(step[name] for step in result.history) for name in ("rewritten", "continuous", "lost")}
    steps = max(1, len(result.history))
    return {
        "rewritten": sums["rewritten"] / steps,
        "continuous": sums["continuous"] / steps,
        "lost": sums["lost"] / sums["rewritten"] if sums["rewritten"] else 0.0,
    }
