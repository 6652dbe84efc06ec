"""Do kept neighbourhoods and chosen layers help to align two frozen encoders from few pairs? (structure, 2506.16895)

Pairs are emoji and their names. The encoders are EfficientNet-Lite0 and, for what the penalty does, a sentence encoder
(MiniLM); for what the choice of layers does, a causal language model (SmolLM2), whose last layer serves the next token
and not the sentence. Every seed splits the pairs anew. Within a seed every arm trains on the same pairs with the same
steps, batches and first weights, and keeps the step that does best in validation. Arms, with an MLP head at the main
number of pairs:
- last layers without a penalty (the baseline), and with STRUCTURE;
- the most similar layers, without a penalty and with it (the method);
- controls: a penalty towards the neighbourhoods of shuffled samples; layers chosen on shuffled pairs.
Baseline and method also train on other numbers of pairs, with linear heads and with the closed form. For the last claim
linear heads are trained on a grid of layer pairs. Layers are chosen on training pairs. The penalty's weight and
temperature come from a pilot of four settings on the development pairs, which are never trained or tested on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch

from trued.data.emoji import CREDIT
from trued.experiments.structure.data import IMAGE, LANGUAGE_MODEL, TEXT, load
from trued.experiments.structure.report import BASELINE, CHOSEN, METHOD, PENALTY, SHUFFLED, SHUFFLED_LAYERS, present
from trued.lab.experiment import Lab, experiment
from trued.learn.fit.loop import FitConfig
from trued.representation.heads import Kind
from trued.representation.structure.layer_pairs import align_layers, layer_grid
from trued.representation.structure.layers import LayerFeatures, select_layers
from trued.representation.structure.low_data import Split
from trued.representation.structure.train import Aligner

FIT = FitConfig(steps=200, lr=1e-3, batch_size=400, validate_every=50)
TINY_FIT = FitConfig(steps=4, lr=1e-3, batch_size=40, validate_every=2)
FULL_FIT = FitConfig(steps=4000, lr=5e-4, batch_size=4096, validate_every=250)
ALIGNER = Aligner(head="mlp", dim=256, hidden=512, lam=100.0, tau=0.2, levels=1, fit=FIT)


@dataclass(frozen=True)
class Scale:
    """Sizes of one run.

    Args:
        image, text: encoders of a user's own pairs, for pictures of `pixels` a side.
        development, test: pairs set apart.
        sizes: numbers of training pairs; `main` is the claims', and its double is among them.
        aligner: how every arm is trained; `other_heads` are shown beside its head.
        probed: layers of each side in the grid of layer pairs, whose linear heads take `probe_steps`.
        neighbours: k of trustworthiness, and of mutual nearest neighbours.
        recall: how many are looked at.
    """

    image: str = "efficientnet-lite0"
    text: str = "minilm"
    pixels: int = 160
    development: int = 191
    test: int = 400
    sizes: tuple[int, ...] = (100, 200, 400, 800)
    main: int = 400
    aligner: Aligner = ALIGNER
    other_heads: tuple[Kind, ...] = ("linear", "csa")
    probed: tuple[int, int] = (5, 4)
    probe_steps: int = 60
    neighbours: int = 10
    recall: int = 5


SCALES = {
    "tiny": Scale(
        development=30, test=50, sizes=(40, 80), main=40, aligner=replace(ALIGNER, dim=8, hidden=8, fit=TINY_FIT),
        other_heads=("csa",), probed=(2, 3), probe_steps=2, neighbours=5,
    ),
    "desktop": Scale(),
    "full": Scale(
        image="facebook/dinov2-large", text="FacebookAI/roberta-large", pixels=224, development=2000, test=5000,
        sizes=(1000, 5000, 20_000, 40_000), main=20_000,
        aligner=replace(ALIGNER, dim=512, hidden=1024, fit=FULL_FIT), probe_steps=1000, recall=1,
    ),
}  # fmt: skip
PARTS: dict[str, dict[str, Any]] = {
    BASELINE: {"lam": 0.0}, PENALTY: {}, CHOSEN: {"lam": 0.0, "layers": "chosen"}, METHOD: {"layers": "chosen"},
}  # fmt: skip


def arms_of(scale: Scale, text: str, suffix: str) -> dict[str, dict[str, Any]]:
    """Return what distinguishes each arm, for `train`; other pairs, heads or encoders stand behind a bar in its name.

    Args:
        text: the side whose choice of layers is tested.
        suffix: what stands behind the names of these arms.
    """
    both = {name: PARTS[name] for name in (BASELINE, METHOD)}
    arms = PARTS | {SHUFFLED: {"shuffled": True}}
    for pairs in scale.sizes:
        if pairs != scale.main:
            arms |= {f"{name} | {pairs}": {**arm, "pairs": pairs} for name, arm in both.items()}
    for head in scale.other_heads:
        arms |= {f"{name} | {head}": {**arm, "head": head} for name, arm in both.items()}
    parts = {**PARTS, SHUFFLED_LAYERS: {"lam": 0.0, "layers": "shuffled"}}
    return arms | {name + suffix: {**arm, "text": text} for name, arm in parts.items()}


@experiment("structure", scales=SCALES, seeds=(0, 1, 2, 3, 4))
def run(lab: Lab) -> None:
    """Train the arms of each seed, measure all of them on the same test pairs, and probe layer pairs."""
    scale, sides = lab.scale, load(lab)
    describe(lab, scale, len(sides[IMAGE]))
    text, suffix = (LANGUAGE_MODEL, f" | {LANGUAGE_MODEL}") if LANGUAGE_MODEL in sides else (TEXT, "")
    arms = arms_of(scale, text, suffix)
    for seed in lab.seeds:
        aligner = replace(scale.aligner, fit=replace(scale.aligner.fit, seed=seed))
        split = Split.anew(
            len(sides[IMAGE]), validation=scale.development, test=scale.test, train=max(scale.sizes), seed=seed
        )
        for name in lab.progress(arms, f"structure · seed {seed} · arms", len(arms)):
            lab.record(name, seed, train(scale, aligner, sides, split, **arms[name]))
        rho = probe(lab, aligner, {IMAGE: sides[IMAGE], text: sides[text]}, split.first(scale.main))
        lab.compare("structure-helps", seed, "recall", baseline=BASELINE, method=METHOD, control=SHUFFLED)
        lab.compare("penalty-helps", seed, "recall", baseline=BASELINE, method=PENALTY, control=SHUFFLED)
        lab.compare("neighbourhoods-kept", seed, "trustworthiness", baseline=BASELINE, method=PENALTY, control=SHUFFLED)
        lab.compare("layers-matter", seed, "recall", baseline=BASELINE + suffix, method=CHOSEN + suffix,
                    control=SHUFFLED_LAYERS + suffix)  # fmt: skip
        lab.compare("half-the-pairs", seed, "recall", baseline=f"{BASELINE} | {2 * scale.main}", method=METHOD,
                    control=SHUFFLED)  # fmt: skip
        lab.measure("similarity-predicts", seed, baseline=0.0, method=rho["mutual_knn"], control=rho["shuffled"])
    present(lab, scale, list(arms))


def train(
    scale: Scale, aligner: Aligner, sides: dict[str, LayerFeatures], split: Split, *, text: str = TEXT,
    layers: Literal["last", "chosen", "shuffled"] = "last", pairs: int | None = None, shuffled: bool = False,
    **changes: Any,
) -> dict[str, Any]:  # fmt: skip
    """Train and measure one arm.

    Args:
        text: the side that pictures are aligned with.
        layers: the last ones, the most similar ones, or those that are most similar on shuffled pairs.
        pairs: of training, if not the scale's.
        shuffled: keep the neighbourhoods of shuffled samples.
        changes: to the aligner.
    """
    both, seed = {side: sides[side] for side in (IMAGE, text)}, aligner.fit.seed
    split = split.first(pairs or scale.main)
    rows, order = split.train, torch.randperm(max(scale.sizes), generator=torch.Generator().manual_seed(1000 + seed))
    mixed, names = rows[order[order < len(rows)]], [features.last for features in both.values()]
    if layers != "last":
        words = sides[text].take(mixed if layers == "shuffled" else rows)
        names = select_layers(sides[IMAGE].take(rows), words, k=scale.neighbours, seed=seed).pair
    return align_layers(
        both, dict(zip(both, names, strict=True)), split, replace(aligner, **changes),
        reference=mixed if shuffled else None, recall=scale.recall, neighbours=scale.neighbours,
    ).record()  # fmt: skip


def probe(lab: Lab, aligner: Aligner, sides: dict[str, LayerFeatures], split: Split) -> dict[str, float]:
    """Record how similar layers are before training, and what linear heads on them reach; return what correlates."""
    scale, seed = lab.scale, aligner.fit.seed
    aligner = replace(aligner, lam=0.0, head="linear", fit=replace(aligner.fit, steps=scale.probe_steps))
    grid = layer_grid(
        sides, split, aligner, counts=scale.probed, recall=scale.recall, neighbours=scale.neighbours,
        progress=partial(lab.progress, description=f"structure · seed {seed} · layer pairs"),
    )  # fmt: skip
    rho = {str(score): grid.rank_correlation(score) for score in grid.scores}
    image, words = (features.take(split.train) for features in sides.values())
    lab.record("probes", seed, {
        "layers": grid.layers, "scores": grid.scores["mutual_knn"].tolist(), "recall": grid.recall.tolist(),
        "rho": rho, "matrix": select_layers(image, words, k=scale.neighbours, seed=seed).matrix.tolist(),
    })  # fmt: skip
    order = torch.randperm(len(grid.recall), generator=torch.Generator().manual_seed(2000 + seed))
    return {**rho, "shuffled": grid.rank_correlation("mutual_knn", order)}


def describe(lab: Lab, scale: Scale, pairs: int) -> None:
    """Put the protocol and the limits, which apply to every seed, into the evidence."""
    aligner = scale.aligner
    lab.protocol(
        pairs=pairs, development=scale.development, test=scale.test, training=list(scale.sizes), head=aligner.head,
        dim=aligner.dim, hidden=aligner.hidden, steps=aligner.fit.steps, batch=aligner.fit.batch_size,
        lr=aligner.fit.lr, lam=aligner.lam, tau=aligner.tau, levels=aligner.levels,
        selection=f"mutual {scale.neighbours}-nearest neighbours on the training pairs",
        pooling="mean over positions or tokens; standardised by the training pairs",
    )  # fmt: skip
    if lab.data is None and lab.scale_name == "desktop":
        lab.note(f"{CREDIT}.")
        lab.note(
            "Pairs are a drawing and a name of a few words: the paper's are photographs with captions, up to 80,000 of "
            "them, and its encoders are ten to a hundred times as large."
        )
    lab.note(
        "The paper's weight, walk length and temperature could not be verified: weight and temperature here "
        "come from a pilot on development pairs; without a penalty there is nothing to choose."
    )
    lab.note("All arms keep the step that does best in validation, which already spares the baseline some overfitting.")
