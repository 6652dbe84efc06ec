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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from trued.experiments import _structure_report as report
from trued.experiments._structure_data import IMAGE, OTHER, TEXT, Data, data
from trued.lab.experiment import Lab, experiment
from trued.learn.fit.loop import FitConfig
from trued.learn.similarity import Score, effective_rank, similarity_matrix
from trued.representation.heads import Kind
from trued.representation.space import quality
from trued.representation.structure.layers import LayerFeatures, select_layers
from trued.representation.structure.train import Aligner

BASELINE, METHOD = "last layers", "chosen layers + STRUCTURE"
PENALTY, CHOSEN = "last layers + STRUCTURE", "chosen layers"
SHUFFLED_PENALTY, SHUFFLED_LAYERS = "last layers + shuffled STRUCTURE", "layers chosen on shuffled pairs"
SCORES: tuple[Score, ...] = get_args(Score)


@dataclass(frozen=True)
class Scale:
    """Sizes.

    Args:
        image, text: encoders of a user's own pairs.
        pixels: pictures' sides.
        development, test: pairs set apart.
        sizes: numbers of training pairs; `main` is the claims', and its double is among them.
        head, other_heads: the claims' head, and those shown beside it.
        dim, hidden, steps, batch, lr, validate_every: of every arm's training.
        lam, tau, levels: of the penalty.
        probed: layers of each side in the grid of layer pairs, evenly spaced.
        probe_steps: of each of its linear heads.
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
    head: Kind = "mlp"
    other_heads: tuple[Kind, ...] = ("linear", "csa")
    dim: int = 256
    hidden: int = 512
    steps: int = 200
    batch: int = 400
    lr: float = 1e-3
    validate_every: int = 50
    lam: float = 100.0
    tau: float = 0.2
    levels: int = 1
    probed: tuple[int, int] = (5, 4)
    probe_steps: int = 60
    neighbours: int = 10
    recall: int = 5


SCALES = {
    "tiny": Scale(
        development=30, test=50, sizes=(40, 80), main=40, other_heads=("csa",), dim=8, hidden=8, steps=4, batch=40,
        validate_every=2, probed=(2, 3), probe_steps=2, neighbours=5,
    ),
    "desktop": Scale(),
    "full": Scale(
        image="facebook/dinov2-large", text="FacebookAI/roberta-large", pixels=224, development=2000, test=5000,
        sizes=(1000, 5000, 20_000, 40_000), main=20_000, dim=512, hidden=1024, steps=4000, batch=4096, lr=5e-4,
        validate_every=250, probe_steps=1000, recall=1,
    ),
}  # fmt: skip


@experiment("structure", scales=SCALES, seeds=(0, 1, 2, 3, 4))
def run(lab: Lab) -> None:
    """Train the arms of each seed, measure all of them on the same test pairs, and probe layer pairs."""
    scale: Scale = lab.scale
    found = data(lab)
    _describe(lab, scale, found)
    for seed in lab.seeds:
        bench = Bench(scale, found, seed, shown=lab.bars.shown)
        arms = dict(lab.progress(bench.arms(), f"structure · seed {seed} · arms", bench.count))
        probes = bench.probe(partial(lab.progress, description=f"structure · seed {seed} · layer pairs"))
        lab.record("arms", seed, arms)
        lab.record("probes", seed, probes)
        _measure(lab, scale, seed, arms, probes, suffix_of(bench.words))
    report.present(lab, scale, report.Names(BASELINE, METHOD, PENALTY, CHOSEN, SHUFFLED_PENALTY))


class Bench:
    """One seed's split, and the arms that train and are tested on it."""

    def __init__(self, scale: Scale, found: Data, seed: int, *, shown: bool = False) -> None:
        self.scale, self.found, self.seed, self.shown = scale, found, seed, shown
        self.pool, self.test = found.split(seed, scale.test)
        self.shuffle = torch.randperm(max(scale.sizes), generator=torch.Generator().manual_seed(1000 + seed))

    @property
    def words(self) -> str:
        """The side whose choice of layers is tested: the language model's, where there is one."""
        return OTHER if OTHER in self.found.sides else TEXT

    @property
    def count(self) -> int:
        """How many arms there are."""
        scale = self.scale
        return 6 + 2 * (len(scale.sizes) - 1) + 2 * len(scale.other_heads) + 4 * (self.words == OTHER)

    def arms(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each arm's name and what it gave; other pairs, heads or encoders stand behind a bar."""
        scale, main = self.scale, self.scale.main
        last, chosen = self.layers(TEXT, main, chosen=False), self.layers(TEXT, main)
        yield BASELINE, self.arm(last, main, lam=0)
        yield PENALTY, self.arm(last, main)
        yield CHOSEN, self.arm(chosen, main, lam=0)
        yield METHOD, self.arm(chosen, main)
        yield SHUFFLED_PENALTY, self.arm(last, main, shuffled=True)
        for pairs in scale.sizes:
            if pairs != main:
                yield f"{BASELINE} | {pairs}", self.arm(self.layers(TEXT, pairs, chosen=False), pairs, lam=0)
                yield f"{METHOD} | {pairs}", self.arm(self.layers(TEXT, pairs), pairs)
        for head in scale.other_heads:
            yield f"{BASELINE} | {head}", self.arm(last, main, lam=0, head=head)
            yield f"{METHOD} | {head}", self.arm(chosen, main, head=head)
        words, suffix = self.words, suffix_of(self.words)
        last, chosen = self.layers(words, main, chosen=False), self.layers(words, main)
        if suffix:
            yield BASELINE + suffix, self.arm(last, main, lam=0)
            yield PENALTY + suffix, self.arm(last, main)
            yield CHOSEN + suffix, self.arm(chosen, main, lam=0)
            yield METHOD + suffix, self.arm(chosen, main)
        yield SHUFFLED_LAYERS + suffix, self.arm(self.layers(words, main, shuffled=True), main, lam=0)

    def side(self, name: str, rows: Tensor) -> LayerFeatures:
        return self.found.sides[name].take(rows)

    def layers(self, text: str, pairs: int, *, chosen: bool = True, shuffled: bool = False) -> dict[str, str]:
        """The layer of each side: the last ones, or the most similar ones on the training pairs."""
        if not chosen:
            return {name: self.found.sides[name].last for name in (IMAGE, text)}
        image, words = self.side(IMAGE, self.pool[:pairs]), self.side(text, self.pool[:pairs])
        if shuffled:
            words = words.take(self.shuffle[self.shuffle < pairs])
        choice = select_layers(image, words, k=self.scale.neighbours, seed=self.seed)
        return {IMAGE: choice.pair[0], text: choice.pair[1]}

    def arm(
        self, layers: dict[str, str], pairs: int, *, lam: float | None = None, head: Kind | None = None,
        shuffled: bool = False, steps: int | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Train heads on these layers, and measure them on the test pairs.

        Returns:
            Per test pair "recall", "trustworthiness" and "continuity"; the layers, and ranks of the spaces.
        """
        scale = self.scale
        train, held, test = (
            {name: self.found.sides[name][layer][rows] for name, layer in layers.items()}
            for rows in (self.pool[:pairs], self.found.development, self.test)
        )
        order = self.shuffle[self.shuffle < pairs]
        aligner = Aligner(
            head=head or scale.head, dim=scale.dim, hidden=scale.hidden, lam=scale.lam if lam is None else lam,
            tau=scale.tau, levels=scale.levels,
            fit=FitConfig(
                steps=steps or scale.steps, lr=scale.lr, batch_size=scale.batch, seed=self.seed,
                validate_every=scale.validate_every,
            ),
        )  # fmt: skip
        reference = {name: x[order] for name, x in train.items()} if shuffled else None
        space, result = aligner.align(train, validation=held, reference=reference, progress=False)
        found = quality(space, test, recall=scale.recall, neighbours=scale.neighbours)
        return {
            "recall": found.recall.tolist(),
            "trustworthiness": found.mean("trustworthiness").tolist(),
            "continuity": found.mean("continuity").tolist(),
            "rank": float(np.mean([effective_rank(space.transform(x, name)) for name, x in test.items()])),
            "layers": list(layers.values()),
            "pairs": pairs,
            "seconds": 0.0 if result is None else result.seconds,
        }

    def probe(self, progress: Any) -> dict[str, Any]:
        """Scores of layer pairs on training pairs, and the recall that linear heads reach on them."""
        scale, both = self.scale, (IMAGE, self.words)
        names = [spread(self.found.sides[side].names, n) for side, n in zip(both, scale.probed, strict=True)]
        rows = self.pool[: scale.main]
        sides = [[self.found.sides[side][name][rows] for name in some] for side, some in zip(both, names, strict=True)]
        scores = {
            score: similarity_matrix(sides[0], sides[1], score, k=scale.neighbours, seed=self.seed) for score in SCORES
        }
        pairs = [(a, b) for a in names[0] for b in names[1]]
        recall = [
            float(
                np.mean(
                    self.arm({IMAGE: a, self.words: b}, scale.main, lam=0, head="linear", steps=scale.probe_steps)[
                        "recall"
                    ]
                )
            )
            for a, b in progress(pairs)
        ]
        mixed = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(2000 + self.seed))
        knn = scores["mutual_knn"].flatten()
        whole = select_layers(self.side(IMAGE, rows), self.side(self.words, rows), k=scale.neighbours, seed=self.seed)
        return {
            "layers": names,
            "recall": recall,
            "scores": {score: matrix.flatten().tolist() for score, matrix in scores.items()},
            "rho": {score: rank_correlation(matrix.flatten(), recall) for score, matrix in scores.items()},
            "rho_shuffled": rank_correlation(knn[mixed], recall),
            "matrix": whole.matrix.tolist(),
            "chosen": list(whole.pair),
        }


def suffix_of(words: str) -> str:
    """What stands behind the names of the arms on whose layers the choice is tested."""
    return f" | {words}" if words == OTHER else ""


def spread(names: tuple[str, ...], n: int) -> list[str]:
    """Return n names, evenly spaced, the first and the last among them."""
    return [names[i] for i in sorted({round(x) for x in np.linspace(0, len(names) - 1, n)})]


def rank_correlation(scores: Tensor, recall: list[float]) -> float:
    """Spearman's rho; 0 where either side does not vary, since it orders nothing."""
    if float(scores.max()) == float(scores.min()) or max(recall) == min(recall):
        return 0.0
    return float(stats.spearmanr(scores.numpy(), recall)[0])  # pyright: ignore


def _measure(lab: Lab, scale: Scale, seed: int, arms: dict[str, Any], probes: dict[str, Any], suffix: str) -> None:
    def pair(claim: str, what: str, baseline: str, method: str, control: str | None = None) -> None:
        lab.measure(claim, seed, baseline=arms[baseline][what], method=arms[method][what])
        if control is not None:
            lab.control(claim, seed, arms[control][what])

    pair("structure-helps", "recall", BASELINE, METHOD, SHUFFLED_PENALTY)
    pair("penalty-helps", "recall", BASELINE, PENALTY, SHUFFLED_PENALTY)
    pair("neighbourhoods-kept", "trustworthiness", BASELINE, PENALTY, SHUFFLED_PENALTY)
    pair("layers-matter", "recall", BASELINE + suffix, CHOSEN + suffix, SHUFFLED_LAYERS + suffix)
    double = f"{BASELINE} | {2 * scale.main}"
    pair("half-the-pairs", "recall", double, METHOD, SHUFFLED_PENALTY)
    lab.measure("similarity-predicts", seed, baseline=0.0, method=probes["rho"]["mutual_knn"])
    lab.control("similarity-predicts", seed, probes["rho_shuffled"])


def _describe(lab: Lab, scale: Scale, found: Data) -> None:
    lab.protocol(
        pairs=len(found.rest) + len(found.development), development=len(found.development), test=scale.test,
        training=list(scale.sizes), head=scale.head, dim=scale.dim, hidden=scale.hidden, steps=scale.steps,
        batch=scale.batch, lr=scale.lr, lam=scale.lam, tau=scale.tau, levels=scale.levels,
        selection=f"mutual {scale.neighbours}-nearest neighbours on the training pairs",
        pooling="mean over positions or tokens; standardised by the training pairs",
    )  # fmt: skip
    if lab.data is None and lab.scale_name == "desktop":
        from trued.data.emoji import CREDIT

        lab.note(CREDIT + ".")
        lab.note(
            "Pairs are a drawing and a name of a few words: the paper's are photographs with captions, up to 80,000 of "
            "them, and its encoders are ten to a hundred times as large."
        )
    lab.note(
        "The paper's weight, walk length and temperature could not be verified: weight and temperature here "
        "come from a pilot on development pairs; without a penalty there is nothing to choose."
    )
    lab.note("All arms keep the step that does best in validation, which already spares the baseline some overfitting.")
