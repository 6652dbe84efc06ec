"""The cached loss and the gradient through embeddings, against plain full forward passes."""

import math
from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from trued.errors import InputError
from trued.language.attack.gcg import loss as module
from trued.language.attack.gcg.loss import SuffixLoss, cheapest_cuts, require_finite
from trued.language.attack.gcg.suffix import SlottedPrompt, allowed_ids
from trued.language.engine.model import LanguageModel

N = 7


def problem(lm, **options):
    prompt = SlottedPrompt.render(lm, "tell me")
    target = lm.reply_ids("Sure, here", end=False)
    return prompt, target, SuffixLoss(lm, prompt.before, prompt.after, target, **options)


def suffixes(lm, rows, seed=0):
    """Random suffixes, most of which agree with the first one for a while, as a step's candidates do."""
    allowed = allowed_ids(lm.tokenizer, lm.model.config.vocab_size)
    generator = torch.Generator().manual_seed(seed)
    drawn = allowed[torch.randint(len(allowed), (rows, N), generator=generator)]
    for row in range(1, rows):
        drawn[row, : row % (N + 1)] = drawn[0, : row % (N + 1)]
    return drawn


def plain_logits(lm, prompt, target, suffix):
    ids = torch.tensor([prompt.before + suffix.tolist() + prompt.after + target])
    return lm.model(input_ids=ids, use_cache=False).logits[0, -len(target) - 1 : -1].float()


@torch.no_grad()
def plain_losses(lm, prompt, target, rows):
    return torch.stack([F.cross_entropy(plain_logits(lm, prompt, target, row), torch.tensor(target)) for row in rows])


def family(name):
    """Tiny random models whose attention, embeddings or logits differ from Llama's, around the same tokenizer."""
    import transformers

    from trued.language.engine.tiny import tiny_model

    tiny = tiny_model()
    settings = {
        "vocab_size": tiny.model.config.vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.2,
    }
    kinds = {
        "mistral": lambda: transformers.MistralConfig(**settings, sliding_window=16),
        "gemma2": lambda: transformers.Gemma2Config(**settings, sliding_window=16, final_logit_softcapping=3.0),
        "gemma3": lambda: transformers.Gemma3TextConfig(
            **settings, sliding_window=16, layer_types=["sliding_attention", "full_attention"]
        ),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = transformers.AutoModelForCausalLM.from_config(kinds[name]())
    return LanguageModel(network.eval(), tiny.tokenizer, name=name)


@pytest.mark.parametrize("batch_size", [1, 5, 64])
@pytest.mark.parametrize("base", ["none", "encode", "gradient"])
def test_cached_losses_equal_full_forwards(tiny, batch_size, base):
    prompt, target, loss = problem(tiny, batch_size=batch_size)
    rows = suffixes(tiny, 20)
    start = {
        "none": lambda: None,
        "encode": lambda: loss.encode(rows[0]),
        "gradient": lambda: loss.gradient(rows[0])[1],
    }
    encoded = start[base]()
    expected = plain_losses(tiny, prompt, target, rows)
    for _ in range(2):  # a cache that an earlier call wrote into would drift in the second
        torch.testing.assert_close(loss(rows, encoded)[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["mistral", "gemma2", "gemma3"])
def test_other_families_give_the_same_with_and_without_cache(name):
    lm = family(name)
    prompt, target, loss = problem(lm, batch_size=4)
    rows = suffixes(lm, 10)
    expected = plain_losses(lm, prompt, target, rows)
    gradient, encoded = loss.gradient(rows[0])
    torch.testing.assert_close(loss(rows, encoded)[0], expected, atol=1e-4, rtol=0)
    uncached = SuffixLoss(lm, prompt.before, prompt.after, target, cached=False)
    torch.testing.assert_close(uncached(rows)[0], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(gradient, uncached.gradient(rows[0])[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["tiny", "gemma2", "gemma3"])
def test_the_gradient_times_the_embedding_matrix_is_the_one_hot_gradient(tiny, name):
    lm = tiny if name == "tiny" else family(name)
    prompt, target, loss = problem(lm)
    suffix = suffixes(lm, 1)[0]
    vocabulary = lm.embed(torch.arange(lm.model.config.vocab_size)).detach()  # scaled, where the family scales
    one_hot = F.one_hot(suffix, len(vocabulary)).float().requires_grad_()
    fixed = [lm.embed(torch.tensor(ids)).detach() for ids in (prompt.before, prompt.after + target[:-1])]
    logits = lm.model(inputs_embeds=torch.cat([fixed[0], one_hot @ vocabulary, fixed[1]])[None]).logits[0]
    (expected,) = torch.autograd.grad(F.cross_entropy(logits[-len(target) :], torch.tensor(target)), one_hot)
    torch.testing.assert_close(loss.gradient(suffix)[0] @ vocabulary.T, expected, atol=1e-5, rtol=1e-4)
    assert all(p.grad is None for p in lm.model.parameters())


def test_mellowmax_is_its_formula_and_tends_to_the_worst_token(tiny):
    rows = suffixes(tiny, 3)
    for alpha in (1.0, 50.0):
        prompt, target, loss = problem(tiny, mellowmax=alpha)
        with torch.no_grad():
            target_logits = torch.stack(
                [plain_logits(tiny, prompt, target, row).gather(1, torch.tensor(target)[:, None])[:, 0] for row in rows]
            )
        expected = ((-alpha * target_logits).logsumexp(1) - math.log(len(target))) / alpha
        torch.testing.assert_close(loss(rows)[0], expected, atol=1e-4, rtol=0)
    assert (expected - (-target_logits).max(1).values).abs().max() < math.log(len(target)) / 50 + 1e-4


def test_exact_is_greedy_decoding_of_the_target(tiny):
    prompt, _, _ = problem(tiny)
    rows = suffixes(tiny, 4)
    ids = prompt.before + rows[2].tolist() + prompt.after
    target = tiny.model.generate(torch.tensor([ids]), max_new_tokens=3, do_sample=False)[0, len(ids) :].tolist()
    _, exact = SuffixLoss(tiny, prompt.before, prompt.after, target)(rows)
    greedy = [plain_logits(tiny, prompt, target, row).argmax(1).tolist() == target for row in rows]
    assert exact.tolist() == greedy
    assert exact[2]


def test_passes_are_counted_in_sequences(tiny):
    _, _, loss = problem(tiny, batch_size=2)
    assert (loss.forwards, loss.backwards) == (1, 0)  # the prompt before the slot
    rows = suffixes(tiny, 5)
    _, base = loss.gradient(rows[0])
    loss(rows, base)
    assert (loss.forwards, loss.backwards) == (1 + 1 + 5, 1)


def test_the_shared_beginning_is_not_computed_again(tiny):
    prompt, target, loss = problem(tiny, batch_size=1)
    rows = suffixes(tiny, 1).repeat(2, 1)
    rows[1, 4] = (rows[1, 4] + 1) % 90
    base = loss.encode(rows[0])
    widths = []
    handle = tiny.backbone.register_forward_pre_hook(
        lambda module, args, given: widths.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    loss(rows[1:], base)
    handle.remove()
    assert widths == [N - 4 + len(prompt.after) + len(target) - 1]


def test_a_batch_that_does_not_fit_is_halved(tiny, monkeypatch):
    prompt, target, loss = problem(tiny, batch_size=8)
    rows = suffixes(tiny, 10)
    inner = loss._target_logits

    def tight(batch, *others):
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return inner(batch, *others)

    monkeypatch.setattr(loss, "_target_logits", tight)
    torch.testing.assert_close(loss(rows)[0], plain_losses(tiny, prompt, target, rows), atol=1e-4, rtol=0)
    assert loss.batch_size == 2


def test_a_loss_that_is_not_finite(tiny):
    with pytest.raises(InputError, match=r"step 3: the loss of tiny-random in torch.float32 is not finite"):
        require_finite(torch.tensor([1.0, float("nan")]), 3, tiny)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), min_size=1, max_size=7), st.integers(1, 12))
def test_cuts_are_the_cheapest_of_all(groups, call):
    shared = torch.tensor([step for step, _ in groups]).cumsum(0).tolist()
    counts, width, batch = [count for _, count in groups], 30, 4

    def cost(cuts):
        rows = [sum(counts[a:b]) for a, b in pairwise(cuts)]
        tokens = sum(n * (width - shared[a]) for n, (a, _) in zip(rows, pairwise(cuts), strict=True))
        return tokens + call * sum(math.ceil(n / batch) for n in rows)

    inner = range(1, len(shared))
    every = [[0, *some, len(shared)] for size in range(len(shared)) for some in combinations(inner, size)]
    cheapest = cheapest_cuts(shared, counts, width, batch, call)
    assert (cheapest[0], cheapest[-1]) == (0, len(shared))
    assert cost(cheapest) == min(map(cost, every))


def test_a_step_computes_fewer_tokens_than_batches_of_equal_size_would(tiny, monkeypatch):
    prompt, target, loss = problem(tiny, batch_size=64)
    monkeypatch.setattr(module, "CALL_TOKENS", 1)
    rows = suffixes(tiny, 1).repeat(N * 8, 1)
    rows[torch.arange(N * 8), torch.arange(N * 8) % N] = 5
    base = loss.encode(suffixes(tiny, 1)[0])
    computed = []
    handle = tiny.backbone.register_forward_pre_hook(
        lambda module, args, given: computed.append(given["input_ids"].numel()), with_kwargs=True
    )
    losses, _ = loss(rows, base)
    handle.remove()
    torch.testing.assert_close(losses, plain_losses(tiny, prompt, target, rows), atol=1e-4, rtol=0)
    tail = len(loss.after) + len(loss.target) - 1
    assert sum(computed) == sum(8 * (N - position + tail) for position in range(N))  # nothing is computed twice
