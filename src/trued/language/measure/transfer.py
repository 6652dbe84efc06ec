"""Whether an attack found on one version of a model works on another: quantised to full precision, and back.

Knows models that share a tokenizer, attacks and judges. Knows nothing of how the versions came about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from trued.data.messages import Prompt
from trued.errors import InputError
from trued.language.attack.contract import Attack, Behavior, ChatTarget
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import per_response
from trued.language.judge.reply import Judge, Label

CLEAN = "no attack"

Pairing = tuple[str, str]  # whom the attack was computed on, whom it is tried on


def transferred_losses(
    models: Mapping[str, LanguageModel],
    prompts: Sequence[Prompt],
    target: str,
    attack: EmbeddingAttack,
    *,
    batch: int = 16,
) -> dict[Pairing, list[float]]:
    """Cross-entropy of `target` in nats a token, for every pair of a model attacked and a model tried.

    Returns:
        (source, victim) → one value a prompt; the source "no attack" is the clean prompt.

    Raises:
        InputError: no prompts, no models, or models that tokenise the prompts differently.
    """
    if not models or not prompts:
        raise InputError(f"{len(models)} models and {len(prompts)} prompts: both need at least one")
    losses: dict[Pairing, list[float]] = {(source, victim): [] for source in (CLEAN, *models) for victim in models}
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        rows = {}
        for name, lm in models.items():
            rows[name] = lm.rows([lm.prompt_ids(p) for p in part], [[lm.reply_ids(target, end=False)]] * len(part))
        first = next(iter(rows.values()))
        for name, own in rows.items():
            if not torch.equal(own.input_ids.cpu(), first.input_ids.cpu()):
                raise InputError(f"{name} encodes the prompts to other tokens: transfer needs the same tokenizer")
        deltas = {CLEAN: None} | {name: attack.perturb(lm, rows[name]).delta for name, lm in models.items()}
        for (source, victim), values in losses.items():
            delta, lm = deltas[source], models[victim]
            with torch.no_grad():
                scores = lm.response_logprobs(rows[victim], None if delta is None else delta.to(lm.device))
            values += (-per_response(scores, rows[victim]) / rows[victim].lengths).tolist()
    return losses


def transferred_labels(
    models: Mapping[str, LanguageModel],
    behaviors: Sequence[Behavior],
    attack: Attack,
    judge: Judge,
    *,
    seed: int,
    max_new_tokens: int = 40,
) -> dict[Pairing, list[Label]]:
    """Label the replies of every model to the cases that `attack` found on every model, such as GCG's strings.

    Returns:
        (source, victim) → one label a case.
    """
    texts = {behavior.id: behavior.text for behavior in behaviors}
    targets = {name: ChatTarget(lm, max_new_tokens=max_new_tokens) for name, lm in models.items()}
    labels: dict[Pairing, list[Label]] = {}
    for source, found_on in targets.items():
        cases = attack.run(behaviors, found_on, seed=seed)
        requests = [texts[case.behavior_id] for case in cases]
        for victim, tried_on in targets.items():
            labels[source, victim] = judge.label(requests, tried_on.generate(cases))
    return labels
