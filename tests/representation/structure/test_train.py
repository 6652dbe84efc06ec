"""Training of heads: pairs are found again, the penalty does what it says, any loss fits, bad input is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trued.errors import InputError
from trued.learn.contrastive import clip_loss
from trued.learn.fit.loop import FitConfig
from trued.representation.retrieval import recall_at
from trued.representation.space import SharedSpace, quality
from trued.representation.structure.penalty_sweep import sweep
from trued.representation.structure.train import Aligner, _Collate, _Objective, _Trained

pytestmark = pytest.mark.filterwarnings("ignore:a batch of", "ignore:at tau")

FIT = FitConfig(steps=30, lr=1e-2, batch_size=64)
ALIGNER = Aligner(dim=16, hidden=32, lam=0, fit=FIT)


def rows(n, dim, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def pairs(n=128, seed=0, modalities=("image", "text")):
    """Things with 6 properties, seen by each modality through a map of its own, with noise."""
    things = rows(n, 6, seed)
    return {
        name: 10 * things @ rows(6, 12 + 4 * i, 50 + i) + rows(n, 12 + 4 * i, 60 + i + seed) + 3
        for i, name in enumerate(modalities)
    }


def recall(space, features, k=5):
    return float(quality(space, features, recall=k).recall.mean())


@pytest.mark.parametrize("head", ["linear", "mlp", "csa"])
@pytest.mark.parametrize("lam", [0.0, 10.0])
def test_unseen_pairs_find_each_other(head, lam):
    aligner = replace(ALIGNER, head=head, lam=lam, tau=0.2)
    space, result = aligner.align(pairs(), progress=False)
    untrained = SharedSpace({"image": 12, "text": 16}, head=head, dim=16, hidden=32)
    test = pairs(seed=1)
    assert recall(space, test) > 0.75
    assert recall(untrained, test) < 0.2
    assert (result is None) == (head == "csa" and lam == 0)
    assert not any(parameter.requires_grad for parameter in space.parameters())


@pytest.mark.parametrize("loss", ["siglip", lambda a, b, scale, same: clip_loss(a, b, scale, same=same)])
def test_other_losses_fit_in_the_same_place(loss):
    space, _ = replace(ALIGNER, loss=loss).align(pairs(), progress=False)
    assert recall(space, pairs(seed=1)) > 0.7


def test_three_modalities_share_a_space():
    names = ("image", "text", "sound")
    space, _ = replace(ALIGNER, lam=1.0, tau=0.2).align(pairs(modalities=names), progress=False)
    test = pairs(seed=1, modalities=names)
    placed = {name: space.transform(x, name) for name, x in test.items()}
    for a, b in (("image", "text"), ("image", "sound"), ("text", "sound")):
        assert float(recall_at(5, placed[a], placed[b]).mean()) > 0.6


def test_the_penalty_keeps_neighbourhoods_and_a_shuffled_one_does_not():
    features = {"image": rows(96, 40), "text": rows(96, 40, 1)}  # pairs at random: a head can only learn them by heart
    aligner = replace(ALIGNER, head="mlp", hidden=128, fit=replace(FIT, steps=40))
    order = torch.randperm(96, generator=torch.Generator().manual_seed(5))
    trust = []
    for lam, reference in ((0, None), (100, None), (100, {name: x[order] for name, x in features.items()})):
        space, _ = replace(aligner, lam=lam, tau=0.2).align(features, reference=reference, progress=False)
        trust.append(float(quality(space, features).mean("trustworthiness").mean()))
    assert trust[1] > trust[0] + 0.05
    assert trust[1] > trust[2] + 0.05


def test_the_loss_is_the_sum_that_the_docstring_says():
    from trued.representation.structure.penalty import structure_loss

    x = {name: rows(40, 5, i) for i, name in enumerate("abc")}
    aligner = replace(ALIGNER, dim=4, lam=3.0, tau=0.3, levels=2)
    model = _Trained(SharedSpace(dict.fromkeys(x, 5), dim=4), aligner).train()
    result = _Objective(aligner)(model, _Collate(x, x)([*range(40)]))
    placed = {name: model.heads[name](features) for name, features in x.items()}
    contrast = sum(clip_loss(placed[p], placed[q], model.temperature()) for p, q in ("ab", "ac", "bc"))
    structure = sum(structure_loss(x[name], a, levels=2, tau=0.3) for name, a in placed.items())
    torch.testing.assert_close(result["loss"], contrast + 3 * structure)
    torch.testing.assert_close(result["structure"], structure.detach())


def test_lambda_rises_over_its_warm_up():
    aligner = replace(ALIGNER, lam=8.0, lam_warmup=0.5, fit=replace(FIT, steps=8))
    features = pairs(64)
    _, result = aligner.align(features, progress=False)
    weights = [(step["loss"] - step["alignment"]) / step["structure"] for step in result.history[1:]]
    assert weights == pytest.approx(
        [4, 6, 8, 8, 8, 8, 8], rel=1e-2
    )  # a head begins as a rotation: step 1 has no penalty


def test_validation_keeps_the_best_step_and_is_never_trained_on():
    train, held = pairs(64), pairs(64, seed=3)
    aligner = replace(ALIGNER, fit=replace(FIT, lr=0.05, validate_every=5))
    space, result = aligner.align(train, validation=held, progress=False)
    seen = [step["validation"] for step in result.history if "validation" in step]
    assert len(seen) == 6
    assert recall(space, held) == pytest.approx(max(seen), abs=1e-6)


def test_the_same_seed_gives_the_same_space_and_batches_have_nearly_one_size():
    first, _ = ALIGNER.align(pairs(), progress=False)
    second, _ = ALIGNER.align(pairs(), progress=False)
    other, _ = replace(ALIGNER, fit=replace(FIT, seed=1)).align(pairs(), progress=False)
    x = pairs(seed=1)["image"]
    assert torch.equal(first.transform(x, "image"), second.transform(x, "image"))
    assert not torch.equal(first.transform(x, "image"), other.transform(x, "image"))
    assert replace(ALIGNER, fit=replace(FIT, batch_size=100))._evenly(201).batch_size == 67


def test_duplicates_are_masked_where_identities_are_given():
    """Every caption stands twice: without identities the twin is pushed away, with them nothing is gained by that."""
    once = pairs(40)
    twice = {"image": torch.cat([once["image"], once["image"] + 0.01]), "text": once["text"].repeat(2, 1)}
    names = [i % 40 for i in range(80)]
    aligner = replace(ALIGNER, fit=replace(FIT, batch_size=80))
    losses = []
    for identities in ((), (names,)):
        _, result = aligner.align(twice, identities=identities, progress=False)
        losses.append(result.history[-1]["alignment"])
    assert losses[0] > 0.6  # log 2, since twins cannot be told apart
    assert losses[1] < losses[0] - 0.3


def test_a_sweep_tries_every_setting_and_puts_the_best_first():
    aligner = replace(ALIGNER, fit=replace(FIT, steps=4))
    trials = sweep(aligner, pairs(64), pairs(40, seed=2), lams=(1, 10), levels=(1, 2), taus=(0.1, 0.2), progress=False)
    assert len({(trial.aligner.lam, trial.aligner.levels, trial.aligner.tau) for trial in trials}) == 8
    assert [trial.recall for trial in trials] == sorted((trial.recall for trial in trials), reverse=True)
    with pytest.raises(InputError, match="grid is empty"):
        sweep(aligner, pairs(64), pairs(40), taus=())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"features": {"image": rows(8, 3)}}, "modalities image"),
        ({"features": {"image": rows(8, 3), "text": rows(7, 3)}}, "8 rows of image, 7 rows of text"),
        ({"features": {"image": rows(1, 3), "text": rows(1, 3)}}, "1 pair"),
        ({"features": {"image": rows(8, 3) / 0, "text": rows(8, 3)}}, "not finite"),
        ({"features": pairs(40), "validation": {"image": rows(4, 12)}}, "modalities image"),
        ({"features": pairs(40), "reference": pairs(41)}, "41 rows of reference and 40"),
        ({"features": pairs(40), "identities": ([1, 2],)}, "identities of 2 rows and 40 pairs"),
    ],
)
def test_unfit_features_are_refused(change, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(ALIGNER, fit=replace(FIT, steps=1)).align(**change, progress=False)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"loss": "triplet"}, "unknown loss 'triplet'"),
        ({"lam": -1.0}, "lam -1"),
        ({"lam_warmup": 2.0}, "lam_warmup 2"),
        ({"tau": 0.0}, "tau 0"),
        ({"fit": FitConfig(steps=1, max_tokens=5)}, "no tokens"),
    ],
)
def test_unfit_settings_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Aligner(**settings)


def test_canonical_correlations_are_for_two():
    with pytest.raises(InputError, match="there are 3"):
        replace(ALIGNER, head="csa").align(pairs(40, modalities=("a", "b", "c")), progress=False)
