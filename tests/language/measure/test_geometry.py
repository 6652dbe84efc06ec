"""Representations: pooled as the engine pools, unmoved without an attack, and moved as far in the control."""

import pytest
import torch

from trued.errors import InputError
from trued.language.attack.embedding import EmbeddingAttack
from trued.language.measure.geometry import ATTACKED, BOTH, PLAIN, RANDOM, REWRITTEN, pooled, prompt_geometry

PROMPTS = ["tell me", "a longer request"]
REWRITES = ["as an expert: tell me", "please, a longer request"]


def placed(lm, attack, **options):
    return prompt_geometry(
        lm, PROMPTS, REWRITES, "Sure", attack, generator=torch.Generator().manual_seed(0), **options
    )  # fmt: skip


def test_pooling_is_the_engines_mean_over_the_prompt(tiny):
    rows = tiny.rows([tiny.prompt_ids(p) for p in PROMPTS], [[tiny.reply_ids("Sure")]] * 2)
    torch.testing.assert_close(pooled(tiny, rows, None), tiny.hidden(PROMPTS, pool="mean"), atol=1e-5, rtol=1e-4)
    zero = torch.zeros(*rows.input_ids.shape, tiny.config.hidden_size)
    torch.testing.assert_close(pooled(tiny, rows, zero), pooled(tiny, rows, None))


def test_without_a_radius_nothing_moves(tiny):
    geometry = placed(tiny, EmbeddingAttack(eps=0.0, steps=1))
    for moved, still in ((ATTACKED, PLAIN), (BOTH, REWRITTEN), (RANDOM, REWRITTEN)):
        torch.testing.assert_close(geometry.points[moved], geometry.points[still])
    assert geometry.distances(PLAIN) == pytest.approx([0, 0], abs=1e-6)


def test_distances_are_cosines_and_grow_with_the_attack(tiny):
    geometry = placed(
        tiny, EmbeddingAttack(eps=0.5, steps=4, relative_lr=True), others={"G(x)": ["tell me !!", "x !!"]}
    )
    assert list(geometry.points) == [PLAIN, ATTACKED, REWRITTEN, BOTH, RANDOM, "G(x)"]
    a, b = (geometry.points[name].double() for name in (PLAIN, BOTH))
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    assert geometry.distances(BOTH) == pytest.approx((1 - cosine).tolist(), abs=1e-5)
    assert min(geometry.distances(ATTACKED)) > 1e-4
    table = geometry.table()
    torch.testing.assert_close(table, table.T)
    torch.testing.assert_close(table.diagonal(), torch.ones(6))


def test_one_form_of_each_request(tiny):
    with pytest.raises(InputError, match=r"2 of x, 1 of R\(x\)"):
        prompt_geometry(tiny, PROMPTS, ["one"], "Sure", EmbeddingAttack(), generator=torch.Generator())
