"""Every preference loss beside TRL's: values, gradients and implicit rewards in float64, to 1e-6.

TRL's own trainer code computes its side: the loss methods of DPOTrainer, KTOTrainer, CPOTrainer and ORPOTrainer run on
random logits, one pair at a time, with the trainer replaced by a bag of its settings. Ours goes from the same logits
through log-softmax, sums and `preference_loss`; gradients are compared with respect to the logits.

TRL lives in an environment of its own, which needs nothing of trued:

    python -m venv trl-venv
    trl-venv/bin/pip install torch==2.13.0 trl==1.16.0
    python benchmarks/preference_parity.py --python trl-venv/bin/python

Without `--python`, TRL is imported from the environment that runs the script. Exit code 1 if any number differs by
more than the tolerance. What is not the same by design: `dpop` has no counterpart in TRL; DPOTrainer's "sigmoid"
ignores label smoothing, so conservative DPO is compared with "aot", which is that loss when the batch is one pair;
ORPOTrainer's cross-entropy covers the prompt, too, which here is a single, never predicted token; and ORPOTrainer
casts to float32, so its formula is compared once with that cast lifted to float64 and once as it stands.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from types import SimpleNamespace
from unittest import mock

import torch
from torch import Tensor

TOLERANCE = 1e-6
PAIRS, TIME, VOCABULARY, PAD = 5, 8, 11, 0

# name shown, our loss, our options, TRL's trainer, TRL's settings
CASES = [
    ("sigmoid", "sigmoid", {"beta": 0.3}, "dpo", {"loss_type": "sigmoid"}),
    ("sigmoid, smoothed", "sigmoid", {"beta": 0.3, "label_smoothing": 0.2}, "dpo", {"loss_type": "aot"}),
    ("sigmoid_norm", "sigmoid_norm", {"beta": 0.7}, "dpo", {"loss_type": "sigmoid_norm"}),
    ("robust", "robust", {"beta": 0.3, "label_smoothing": 0.2}, "dpo", {"loss_type": "robust"}),
    ("hinge", "hinge", {"beta": 0.3}, "dpo", {"loss_type": "hinge"}),
    ("ipo", "ipo", {"beta": 0.25}, "dpo", {"loss_type": "ipo"}),
    ("ipo, sums", "ipo", {"beta": 0.25, "average": False}, "cpo", {"loss_type": "ipo", "reference": True}),
    ("exo_pair", "exo_pair", {"beta": 0.3, "label_smoothing": 0.125}, "dpo", {"loss_type": "exo_pair"}),
    ("sppo_hard", "sppo_hard", {"beta": 0.25}, "dpo", {"loss_type": "sppo_hard"}),
    ("apo_zero", "apo_zero", {"beta": 0.3}, "dpo", {"loss_type": "apo_zero"}),
    ("apo_down", "apo_down", {"beta": 0.3}, "dpo", {"loss_type": "apo_down"}),
    ("kto_pair", "kto_pair", {"beta": 0.3, "kl": 0.8}, "kto", {"kl": 0.8}),
    ("cpo", "cpo", {"beta": 0.2, "alpha": 0.7}, "cpo", {"loss_type": "sigmoid", "cpo_alpha": 0.7}),
    (
        "cpo, smoothed",
        "cpo",
        {"beta": 0.2, "alpha": 1.0, "label_smoothing": 0.2},
        "cpo",
        {"loss_type": "sigmoid", "cpo_alpha": 1.0},
    ),
    ("simpo", "simpo", {"beta": 2.0, "gamma": 1.0}, "cpo", {"loss_type": "simpo", "simpo_gamma": 1.0}),
    ("orpo", "orpo", {"beta": 0.4}, "orpo", {"lift": True}),
    ("orpo, TRL in float32", "orpo", {"beta": 0.4}, "orpo", {"lift": False}),
]


class Batch:
    """Random logits of `PAIRS` pairs, chosen in row 0 and rejected in row 1, after a prompt of one token."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (PAIRS, 2, TIME)
        self.logits = 2 * torch.randn(*shape, VOCABULARY, generator=generator, dtype=torch.float64)
        self.ids = torch.randint(1, VOCABULARY, shape, generator=generator)
        self.lengths = torch.randint(2, TIME, (PAIRS, 2), generator=generator)
        self.mask = (torch.arange(TIME) >= 1) & (torch.arange(TIME) <= self.lengths[..., None])
        reference = self.logits + torch.randn(self.logits.shape, generator=generator, dtype=torch.float64)
        self.reference = self.token_log_probs(reference).sum(-1)

    def token_log_probs(self, logits: Tensor, pair: int | slice = slice(None)) -> Tensor:
        """Log-probabilities of tokens 1, 2, … of one pair or all; zero outside the reply."""
        log_probs = logits[..., :-1, :].log_softmax(-1).gather(-1, self.ids[pair][..., 1:, None])[..., 0]
        return log_probs * self.mask[pair][..., 1:]


def ours(batch: Batch, loss: str, options: dict[str, float]) -> dict[str, list]:
    from trued.learn.preference import PairLogProbs, preference_loss

    logits = batch.logits.clone().requires_grad_()
    columns = [*batch.token_log_probs(logits).sum(-1).T, *batch.reference.T, *batch.lengths.T]
    out = preference_loss(PairLogProbs(*columns), loss, **options)
    (gradient,) = torch.autograd.grad(out.loss.sum(), logits)
    rewards = torch.stack([out.chosen_reward, out.rejected_reward], 1)
    return {"value": out.loss.tolist(), "gradient": gradient.tolist(), "reward": rewards.tolist()}


def theirs(batch: Batch, trainer: str, settings: dict) -> dict[str, list]:
    values, gradients, rewards = [], [], []
    for pair in range(PAIRS):
        logits = batch.logits[pair].clone().requires_grad_()
        value, reward = TRL[trainer](batch, pair, logits, settings)
        values.append(value.item())
        gradients.append(torch.autograd.grad(value, logits)[0].tolist())
        rewards.append([float(x) for x in reward])
    return {"value": values, "gradient": gradients, "reward": rewards}


def _settings(**settings: object) -> SimpleNamespace:
    """What the loss methods read of `self`, whichever trainer they belong to."""
    accelerator = SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)
    common = {"accelerator": accelerator, "aux_loss_enabled": False, "model": SimpleNamespace(training=True)}
    common |= {"_metrics": defaultdict(lambda: defaultdict(list)), "_total_train_tokens": 0, "_tp_size": 1}
    return SimpleNamespace(**{**common, "label_smoothing": 0.0, "is_encoder_decoder": False, **settings})


def _fused_head(batch: Batch, pair: int, logits: Tensor):
    """A model whose output is what TRL's fused head reports of these logits."""
    log_probs = batch.token_log_probs(logits, pair)
    zeros = torch.zeros_like(log_probs)
    output = SimpleNamespace(log_probs=log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())
    return lambda **_: output


def _inputs(batch: Batch, pair: int) -> dict[str, Tensor]:
    attention = batch.mask[pair] | (torch.arange(TIME) == 0)
    mask = batch.mask[pair].long()
    return {"input_ids": batch.ids[pair], "attention_mask": attention.long(), "completion_mask": mask}


def _dpo(batch: Batch, pair: int, logits: Tensor, settings: dict) -> tuple[Tensor, list[float]]:
    from trl import DPOTrainer

    trainer = _settings(
        loss_types=[settings["loss_type"]],
        loss_weights=[1.0],
        beta=settings["beta"],
        label_smoothing=settings.get("label_smoothing", 0.0),
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        use_weighting=False,
    )
    inputs = _inputs(batch, pair)
    inputs["ref_chosen_logps"], inputs["ref_rejected_logps"] = batch.reference[pair].split(1)
    value = DPOTrainer._compute_loss(trainer, _fused_head(batch, pair, logits), inputs, False)
    logged = trainer._metrics["train"]
    return value, [logged["rewards/chosen"][-1], logged["rewards/rejected"][-1]]


def _kto(batch: Batch, pair: int, logits: Tensor, settings: dict) -> tuple[Tensor, list[float]]:
    from trl import KTOTrainer

    reference = torch.zeros(2, dtype=torch.float64)
    trainer = _settings(
        loss_type="kto",
        beta=settings["beta"],
        precompute_ref_logps=True,
        calculate_KL=True,
        _compute_kl_logps=lambda *_: reference + settings["kl"],
        desirable_weight=1.0,
        undesirable_weight=1.0,
    )
    inputs = _inputs(batch, pair)
    inputs |= {"label": torch.tensor([True, False]), "ref_logps": batch.reference[pair], "ref_KL_logps": reference}
    value = KTOTrainer._compute_loss(trainer, _fused_head(batch, pair, logits), inputs, False)
    logged = trainer._metrics["train"]
    return value, [logged["rewards/chosen"][-1], logged["rewards/rejected"][-1]]


def _cpo(batch: Batch, pair: int, logits: Tensor, settings: dict) -> tuple[Tensor, list[float]]:
    from trl.experimental.cpo import CPOTrainer

    trainer = _settings(
        # TRL's own `alpha` is AlphaPO's transformation, off here; ours weighs the cross-entropy
        **{"cpo_alpha": 0.0, "simpo_gamma": 0.0, **settings, "alpha": 0.0},
        pad_token_id=PAD,
        concatenated_inputs=CPOTrainer.concatenated_inputs,
        get_batch_logps=CPOTrainer.get_batch_logps,
    )
    if settings.get("reference"):  # the literal IPO equation: CPOTrainer's, on log-ratios
        ratios = batch.token_log_probs(logits, pair).sum(-1) - batch.reference[pair]
        losses, *rewards = CPOTrainer.cpo_loss(trainer, *ratios.split(1))
        return losses.mean(), rewards
    trainer.concatenated_forward = lambda *a: CPOTrainer.concatenated_forward(trainer, *a)
    trainer.cpo_loss = lambda *a: CPOTrainer.cpo_loss(trainer, *a)
    value, metrics = CPOTrainer.get_batch_loss_metrics(
        trainer, lambda *_, **__: SimpleNamespace(logits=logits), _labelled(batch, pair)
    )
    return value, [metrics["rewards/chosen"], metrics["rewards/rejected"]]


def _orpo(batch: Batch, pair: int, logits: Tensor, settings: dict) -> tuple[Tensor, list[float]]:
    from trl.experimental.orpo import ORPOTrainer

    trainer = _settings(
        beta=settings["beta"],
        padding_value=PAD,
        concatenated_inputs=ORPOTrainer.concatenated_inputs,
        get_batch_logps=ORPOTrainer.get_batch_logps,
    )
    trainer.concatenated_forward = lambda *a: ORPOTrainer.concatenated_forward(trainer, *a)
    trainer.odds_ratio_loss = lambda *a: ORPOTrainer.odds_ratio_loss(trainer, *a)
    cast = torch.Tensor.double if settings["lift"] else torch.Tensor.float
    with mock.patch.object(torch.Tensor, "float", cast):
        value, metrics = ORPOTrainer.get_batch_loss_metrics(
            trainer, lambda *_, **__: SimpleNamespace(logits=logits), _labelled(batch, pair)
        )
    return value, [metrics["rewards/chosen"], metrics["rewards/rejected"]]


TRL = {"dpo": _dpo, "kto": _kto, "cpo": _cpo, "orpo": _orpo}


def _labelled(batch: Batch, pair: int) -> dict[str, Tensor]:
    inputs, result = _inputs(batch, pair), {}
    labels = batch.ids[pair].masked_fill(~batch.mask[pair], -100)
    for row, side in enumerate(("chosen", "rejected")):
        result[f"{side}_input_ids"] = inputs["input_ids"][row : row + 1]
        result[f"{side}_attention_mask"] = inputs["attention_mask"][row : row + 1]
        result[f"{side}_labels"] = labels[row : row + 1]
    return result


def reference() -> dict:
    """TRL's side of every case; runs in the environment that holds TRL."""
    import trl

    batch = Batch()
    cases = {name: theirs(batch, trainer, {**options, **more}) for name, _, options, trainer, more in CASES}
    return {"trl": trl.__version__, "torch": torch.__version__, "cases": cases}


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare every preference loss with TRL's, in float64.")
    parser.add_argument("--python", help="interpreter of an environment that holds TRL; this one if left out")
    parser.add_argument("--reference", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reference:
        print(json.dumps(reference()))
        return 0
    if arguments.python:
        command = [arguments.python, __file__, "--reference"]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        expected = json.loads(answer.splitlines()[-1])
    else:
        expected = reference()

    print(
        f"TRL {expected['trl']}, torch {expected['torch']}; trued on torch {torch.__version__}; {PAIRS} pairs, float64"
    )
    print(f"{'loss':<22}{'value':>12}{'gradient':>12}{'reward':>12}   largest absolute difference")
    batch, failed = Batch(), []
    for name, loss, options, *_ in CASES:
        mine, other = ours(batch, loss, options), expected["cases"][name]
        gaps = [_gap(mine[key], other[key]) for key in ("value", "gradient", "reward")]
        print(f"{name:<22}" + "".join(f"{gap:>12.1e}" for gap in gaps))
        if not max(gaps) <= TOLERANCE:
            failed.append(name)
    print(f"{len(CASES) - len(failed)} of {len(CASES)} within {TOLERANCE:g}" + (f"; not: {failed}" if failed else ""))
    return 1 if failed else 0


def _gap(mine: list, other: list) -> float:
    """Largest absolute difference; NaN or missing numbers count as infinite."""
    gap = torch.tensor(mine, dtype=torch.float64) - torch.tensor(other, dtype=torch.float64)
    return gap.abs().nan_to_num(nan=float("inf")).max().item()


if __name__ == "__main__":
    sys.exit(main())
