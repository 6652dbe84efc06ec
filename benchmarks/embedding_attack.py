"""A step of the embedding attack, beside the formulation of the paper's released code.

There the embeddings are the one-hot matrix [batch, time, vocabulary] times the embedding matrix, the model computes
logits at every position, and the loss takes the target's from them. The plain side here does so in our own code on
transformers' own layers, and gets every benefit of doubt: the one-hot product is taken once an attack and not once a
step, it is as narrow as the weights (bfloat16), and only the perturbation gets a gradient. Both sides make the same
sign steps in the same ball, on the same batch, whose losses the findings compare.
"""

from __future__ import annotations

import sys
from typing import Any

from side_by_side import Benchmark, Side, Size, Work, floor_of, seen_pairs


def load(settings: dict[str, Any]):
    """The model in bfloat16, the attack, and a batch of shipped requests with affirmative targets."""
    import torch

    from trued.data.prompts import adversarial_rows
    from trued.language.attack.embedding import EmbeddingAttack
    from trued.language.engine.model import LanguageModel
    from trued.language.engine.tiny import tiny_model

    lm = tiny_model() if settings["tiny"] else LanguageModel.load(dtype=torch.bfloat16)
    lm.model.to(torch.bfloat16).requires_grad_(False)
    data = adversarial_rows("train", targets=1)[: settings["batch"]]
    prompts = [lm.prompt_ids(row.prompt) for row in data]
    targets = [lm.reply_ids(row.targets[0], end=False) for row in data]
    attack = EmbeddingAttack(steps=settings["steps"], relative_lr=True)
    return lm, attack, prompts, targets


def trued(settings: dict[str, Any]) -> Work:
    from dataclasses import replace

    lm, attack, prompts, targets = load(settings)
    rows = lm.rows(prompts, [[target] for target in targets])

    def run() -> dict[str, Any]:
        return {"losses": attack.perturb(lm, rows).losses, "amount": attack.steps}

    def floor() -> dict[str, Any]:
        size, flops = Size.of(lm), 0.0
        for prompt, target in zip(prompts, targets, strict=True):
            work = (len(prompt) + len(target), len(target), seen_pairs(len(prompt), [len(target)]))
            flops += size.forward(*work) + size.backward(*work)
        return {"floor": floor_of(flops * attack.steps, 2 * size.weight_bytes * attack.steps)}

    return Work(run, warm_up=lambda: replace(attack, steps=1).perturb(lm, rows), after=floor)


def one_hot(settings: dict[str, Any]) -> Work:
    import torch

    lm, attack, prompts, targets = load(settings)
    plain = transformers_own(lm)
    width = max(len(p) + len(t) for p, t in zip(prompts, targets, strict=True))
    ids, labels, mask, region = [], [], [], []
    for prompt, target in zip(prompts, targets, strict=True):
        gap = width - len(prompt) - len(target)
        ids.append([*prompt, *target, *[lm.pad_id] * gap])
        labels.append([*[-100] * len(prompt), *target, *[-100] * gap])
        mask.append([1] * (width - gap) + [0] * gap)
        region.append([1.0] * len(prompt) + [0.0] * (width - len(prompt)))
    ids, labels, mask, region = (torch.tensor(column) for column in (ids, labels, mask, region))

    def perturb(steps: int) -> list[float]:
        matrix = plain.get_input_embeddings().weight
        embeddings = torch.nn.functional.one_hot(ids, len(matrix)).to(matrix.dtype) @ matrix
        radius = attack.eps * float(matrix.float().norm(dim=-1).mean())
        lr = attack.step_size(lm, radius)
        delta = torch.zeros(embeddings.shape, requires_grad=True)
        losses = []
        for _ in range(steps):
            attacked = embeddings + (delta * region[..., None]).to(embeddings.dtype)
            logits = plain(inputs_embeds=attacked, attention_mask=mask, use_cache=False).logits
            each = torch.nn.functional.cross_entropy(
                logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="none"
            )
            mean = each.view(len(ids), -1).sum(1) / (labels[:, 1:] != -100).sum(1)
            losses.append(float(mean.detach().mean()))
            (gradient,) = torch.autograd.grad(mean.sum(), delta)
            with torch.no_grad():
                moved = delta - lr * gradient.sign()
                norms = moved.norm(dim=-1, keepdim=True).clamp(min=1e-12)
                delta = (moved * (radius / norms).clamp(max=1.0)).requires_grad_(True)
        return losses

    return Work(
        lambda: {"losses": perturb(attack.steps), "amount": attack.steps},
        warm_up=lambda: perturb(1),
    )


def transformers_own(lm: Any) -> Any:
    """The model with transformers' own attention, norms and activations."""
    for module in lm.base.modules():
        vars(module).pop("forward", None)  # ours
    lm.base.set_attn_implementation("sdpa")
    return lm.base


def compare(values: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        f"target cross-entropy, {name}": f"{first['losses'][0]:.4f} at step 1, {first['losses'][-1]:.4f} at step "
        f"{len(first['losses'])}"
        for name, (first, *_) in values.items()
    }


BENCHMARK = Benchmark(
    name="embedding_attack",
    what="A step of the embedding attack, batch of 8 requests, SmolLM2-135M in bfloat16",
    peer="one-hot embeddings, full logits",
    target="at least 1.5x steps/s, at most 50 % of peak memory",
    unit="steps",
    sides=[Side("trued", trued), Side("one-hot, full logits", one_hot)],
    compare=compare,
    settings={"batch": 8, "steps": 10},
    tiny={"batch": 2, "steps": 3},
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
