"""GCG as a whole: it finds less loss than chance does, keeps its promises about the string, and can be repeated."""

from dataclasses import replace

import pytest
import torch

from trued.errors import InputError
from trued.language.attack.contract import Behavior, ChatTarget, TestCase
from trued.language.attack.gcg import search as module
from trued.language.attack.gcg.search import GCG
from trued.language.attack.gcg.suffix import SLOT, allowed_ids, fill, with_slot
from trued.language.engine.model import LanguageModel
from trued.language.engine.tiny import tiny_model

SMALL = GCG(steps=6, search_width=24, topk=12, suffix_tokens=6)
TARGET = "Sure, here"


def search(lm, attack=SMALL, prompt="tell me", target=TARGET, seed=0):
    return attack.optimise(lm, prompt, target, generator=torch.Generator().manual_seed(seed))


def test_the_best_loss_is_that_of_the_string(tiny):
    result = search(tiny)
    assert result.stable
    assert len(result.losses) == len(result.strings) == SMALL.steps + 1
    case = TestCase("a", fill(with_slot("tell me"), result.best_string))
    assert ChatTarget(tiny).nll([case], [TARGET]).item() == pytest.approx(result.best_loss, abs=1e-4)
    assert result.best_loss == min(result.losses) < result.losses[0]
    assert result.best_string == result.strings[result.losses.index(min(result.losses))]


def trimming(lm):
    template = lm.tokenizer.chat_template.replace("message['content']", "message['content'] | trim")
    return LanguageModel(lm.model, lm.tokenizer, template=template)


def message_loss(lm, prompt, suffix, target=TARGET):
    case = TestCase("a", fill(with_slot(prompt), suffix))
    return ChatTarget(lm).nll([case], [target]).item()


@pytest.mark.parametrize("check", ["suffix", "prompt", None])
@pytest.mark.parametrize("prompt", ["tell me", f"{SLOT} tell me"])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_loss_is_that_of_the_message_where_the_template_trims(tiny, check, prompt, seed):
    lm = trimming(tiny)
    result = search(lm, replace(SMALL, check=check, suffix_tokens=2), prompt, seed=seed)
    assert message_loss(lm, prompt, result.best_string) == pytest.approx(result.best_loss, abs=1e-4)
    if check is not None:
        assert result.stable
        sides = [text[-1] if prompt == "tell me" else text[0] for text in result.strings[1:]]
        assert " " not in sides  # the first suffix is the caller's


@pytest.mark.parametrize("mellowmax", [None, 2.0])
def test_a_message_of_other_tokens_than_were_searched_on_is_told_by_its_own_loss(merging, mellowmax):
    # "me" and "x…" merge: the message has other tokens than the search, which is what `stable` says.
    attack = replace(SMALL, steps=0, mellowmax=mellowmax)
    result = search(merging, attack)
    ids = merging.prompt_ids(fill(with_slot("tell me"), result.best_string))
    loss = module.SuffixLoss(merging, ids[:-3], ids[-2:], merging.reply_ids(TARGET, end=False), mellowmax=mellowmax)
    own, exact = loss(torch.tensor([ids[-3:-2]]))
    assert not result.stable
    assert result.best_loss == pytest.approx(float(own[0]), abs=1e-5)
    assert abs(result.best_loss - result.losses[0]) > 1e-3
    assert result.exact == bool(exact[0])
    together = search_all([merging], attack, [("tell me", TARGET), ("say ", TARGET)])
    each = [search(merging, attack, prompt).best_loss for prompt in ("tell me", "say ")]
    assert together.best_loss == pytest.approx(sum(each), abs=1e-4)


def test_a_case_tells_the_loss_of_its_message(tiny):
    lm = trimming(tiny)
    case = replace(SMALL, check=None, suffix_tokens=2).run(
        [Behavior("b", "x", TARGET)], ChatTarget(lm, None, 4), seed=1
    )
    assert ChatTarget(lm).nll(case, [TARGET]).item() == pytest.approx(case[0].meta["loss"], abs=1e-4)


def test_a_suffix_has_to_be_shown_by_the_template_of_every_model(tiny):
    models = [tiny, trimming(tiny_model(1))]
    for seed in range(3):
        result = search_all(models, replace(SMALL, suffix_tokens=2), AIMS[:1], seed=seed)
        assert result.stable
        assert sum(message_loss(lm, "tell me", result.best_string) for lm in models) == pytest.approx(
            result.best_loss, abs=1e-4
        )


def test_gradient_search_beats_random_search_of_equal_evaluations():
    # Few candidates: of the 95 tokens that this tokenizer allows, a wide draw finds the good ones by chance.
    gains = []
    for seed in range(8):
        lm = tiny_model(seed)
        attack = replace(SMALL, steps=10, search_width=4, topk=4, suffix_tokens=20)
        steered = search(lm, attack, seed=seed)
        control = search(lm, replace(attack, use_gradient=False), seed=seed)
        assert control.losses[0] == steered.losses[0]
        assert control.cost.backwards == 0
        assert steered.cost.forwards <= control.cost.forwards + attack.steps  # duplicates are evaluated once
        gains.append(control.best_loss - steered.best_loss)
    assert sum(gains) / len(gains) > 0.1
    assert sum(gain > 0 for gain in gains) >= 6


@pytest.mark.parametrize("size", [1, 4])
def test_the_loss_never_rises_with_a_buffer(tiny, size):
    result = search(tiny, replace(SMALL, buffer=size, use_gradient=False, search_width=3, steps=12))
    assert all(after <= before for before, after in zip(result.losses, result.losses[1:], strict=False))


def test_without_a_buffer_the_search_moves_on_even_upwards(tiny):
    result = search(tiny, replace(SMALL, use_gradient=False, search_width=1, steps=12))
    assert any(after > before for before, after in zip(result.losses, result.losses[1:], strict=False))


def test_the_same_seed_gives_the_same_search_and_another_does_not(tiny):
    first, second, other = search(tiny), search(tiny), search(tiny, seed=1)
    assert (first.losses, first.strings) == (second.losses, second.strings)
    assert first.strings != other.strings


def test_neither_caches_nor_batches_change_the_search(tiny):
    first = search(tiny)
    for variant in (replace(SMALL, cached=False), replace(SMALL, batch_size=5)):
        result = search(tiny, variant)
        assert result.strings == first.strings
        assert result.losses == pytest.approx(first.losses, abs=1e-4)


@pytest.mark.parametrize("use_gradient", [True, False])
def test_forbidden_tokens_never_appear(merging, use_gradient):
    seen = []
    attack = replace(SMALL, use_gradient=use_gradient, check=None, steps=3, topk=97)
    assert len(allowed_ids(merging.tokenizer, 10**6)) == 97
    original = module.SuffixLoss.__call__

    def spy(self, suffixes, base=None):
        if suffixes.shape[1] == SMALL.suffix_tokens:  # the loss of the message that is sent has no slot
            seen.extend(suffixes.flatten().tolist())
        return original(self, suffixes, base)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.SuffixLoss, "__call__", spy)
        result = search(merging, attack)
    assert set(seen) <= set(allowed_ids(merging.tokenizer, 10**6).tolist())
    assert all(text.isascii() and text.isprintable() for text in result.strings)


def test_candidates_survive_within_the_prompt_if_asked_to(merging):
    # In the prompt, "me" and a suffix that starts with "x" merge: the init itself is not stable.
    strict = search(merging, replace(SMALL, check="prompt", steps=8, topk=97, search_width=64))
    assert strict.strings[0].startswith("x")
    assert not any(text.startswith("x") for text in strict.strings[1:])
    assert strict.stable
    assert not search(merging, replace(SMALL, steps=0)).stable


def test_an_unbuffered_early_stop_ends_on_a_suffix_that_gives_the_target(tiny):
    ids = tiny.prompt_ids(fill(with_slot("tell me"), "x x x "))
    reply = tiny.model.generate(torch.tensor([ids]), max_new_tokens=1, do_sample=False)[0, len(ids) :].tolist()
    target = tiny.tokenizer.decode(reply)
    assert tiny.reply_ids(target, end=False) == reply
    attack = replace(SMALL, early_stop=True, init="!?#$%&", steps=30, search_width=64, topk=95)
    result = search(tiny, attack, target=target)
    assert result.exact
    assert len(result.losses) < 31
    assert result.best_string == result.strings[-1]
    case = TestCase("a", fill(with_slot("tell me"), result.best_string))
    assert ChatTarget(tiny, max_new_tokens=1).generate([case]) == [target]


def test_mellowmax_is_what_is_optimised(tiny):
    result = search(tiny, replace(SMALL, mellowmax=1.0, buffer=1))
    assert result.losses[-1] < result.losses[0]
    assert result.losses[0] != pytest.approx(search(tiny, replace(SMALL, steps=0)).losses[0], abs=1e-2)


def test_the_slot_and_the_init_are_the_callers(tiny):
    result = search(tiny, replace(SMALL, init="abcd", steps=1), prompt=f"say {SLOT} now")
    assert result.strings[0] == "abcd"
    assert len(result.best_string) == 4
    assert sum(a != b for a, b in zip(result.strings[1], "abcd", strict=True)) <= 1


def test_the_model_is_left_as_it_was(tiny):
    tiny.model.train()
    weights = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    search(tiny, replace(SMALL, steps=1))
    assert tiny.model.training
    assert all(torch.equal(value, weights[name]) for name, value in tiny.model.state_dict().items())
    assert all(p.grad is None for p in tiny.model.parameters())


def test_it_runs_on_a_model_with_lora(tiny):
    tuned = tiny.with_lora(r=4, alpha=8)
    assert search(tuned).losses == pytest.approx(search(tiny).losses, abs=1e-4)  # fresh LoRA changes nothing


def test_run_gives_one_case_a_behavior_with_its_cost(tiny):
    behaviors = [Behavior("a", "first"), Behavior("b", "second", target="Yes")]
    target = ChatTarget(tiny, system="Be brief.")
    cases = SMALL.run(behaviors, target, seed=0)
    for case, behavior in zip(cases, behaviors, strict=True):
        assert case.messages == [{"role": "user", "content": behavior.text + case.meta["suffix"]}]
        aim = behavior.target or SMALL.target
        assert target.nll([case], [aim]).item() == pytest.approx(case.meta["loss"], abs=1e-4)
        assert case.cost.backwards == SMALL.steps
        assert case.cost.forwards <= 2 + SMALL.steps * (SMALL.search_width + 1)
    alone = SMALL.run(behaviors[1:], target, seed=0)
    assert alone[0].meta["losses"] == cases[1].meta["losses"]  # whatever else is attacked


def test_a_budget_bounds_the_passes(tiny):
    (case,) = replace(SMALL, steps=100).run([Behavior("a", "x")], ChatTarget(tiny), seed=0, budget=80)
    assert len(case.meta["losses"]) == 1 + 3
    assert case.cost.forwards + case.cost.backwards <= 80
    with pytest.raises(InputError, match="budget is 20 passes, and one step of GCG takes 28"):
        SMALL.run([Behavior("a", "x")], ChatTarget(tiny), seed=0, budget=20)


@pytest.mark.parametrize(
    ("change", "target", "says"),
    [
        ({}, "", "the target is empty"),
        ({}, "y" * 3000, "the context of tiny-random is 2048"),
        ({"topk": 96}, TARGET, "topk is 96 and only 95 tokens may be used"),
        ({"n_replace": 7}, TARGET, "n_replace is 7 and the suffix has 6 tokens"),
        ({"init": ""}, TARGET, "init has no tokens"),
        ({"init": "é"}, TARGET, "init has tokens that a suffix may not use"),
    ],
)
def test_bad_input_is_found_before_the_search(tiny, change, target, says):
    with pytest.raises(InputError, match=says):
        search(tiny, replace(SMALL, **change), target=target)


@pytest.mark.parametrize(
    "change",
    [{"steps": -1}, {"buffer": -1}, {"search_width": 0}, {"topk": 0}, {"suffix_tokens": 0}, {"mellowmax": 0.0}],
)
def test_settings_out_of_range(change):
    with pytest.raises(InputError, match=f"{next(iter(change))} is "):
        replace(SMALL, **change)


def test_no_candidate_survives(merging, monkeypatch):
    only_x = torch.tensor([merging.tokenizer.convert_tokens_to_ids("x")])
    monkeypatch.setattr(module, "allowed_ids", lambda *args, **options: only_x)
    with pytest.raises(InputError, match="step 1: none of 1 candidates survives as text"):
        search(merging, replace(SMALL, check="prompt", topk=1, suffix_tokens=1, init="x"))


def test_a_loss_that_is_not_finite_stops_the_search(tiny):
    with torch.no_grad():
        tiny.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="step 0: the loss of tiny-random"):
        search(tiny)


AIMS = [("tell me", TARGET), ("and this", "Yes")]


def search_all(models, attack=SMALL, aims=AIMS, seed=0, **options):
    return attack.optimise_universal(models, aims, generator=torch.Generator().manual_seed(seed), **options)


def test_one_suffix_for_several_prompts_lowers_their_summed_loss(tiny):
    result = search_all([tiny], replace(SMALL, buffer=1, steps=10))
    cases = [TestCase("a", fill(with_slot(prompt), result.best_string)) for prompt, _ in AIMS]
    assert ChatTarget(tiny).nll(cases, [t for _, t in AIMS]).sum().item() == pytest.approx(result.best_loss, abs=1e-4)
    assert result.best_loss < result.losses[0] - 0.1
    assert result.cost.backwards == 2 * 10
    assert result.stable
    single = search(tiny, replace(SMALL, buffer=1, steps=10))
    assert single.strings != result.strings


def test_a_suffix_for_several_models_lowers_the_loss_of_each(tiny):
    models = [tiny, tiny_model(1, hidden=48)]
    result = search_all(models, replace(SMALL, buffer=1, steps=12), AIMS[:1])
    case = TestCase("a", fill(with_slot("tell me"), result.best_string))
    each = [ChatTarget(lm).nll([case], [TARGET]).item() for lm in models]
    assert sum(each) == pytest.approx(result.best_loss, abs=1e-4)
    assert result.losses[-1] < result.losses[0] - 0.1


def test_universal_checks_ask_every_prompt(merging):
    # "me" and "x…" merge in the first prompt only; a candidate has to survive in both.
    aims = [("say ", "Yes"), ("tell me", "Yes")]
    attack = replace(SMALL, check="prompt", steps=4, topk=97, search_width=64)
    result = search_all([merging], attack, aims)
    assert not any(text.startswith("x") for text in result.strings[1:])
    assert result.stable
    assert not search_all([merging], replace(attack, steps=0), aims).stable
    assert search_all([merging], replace(attack, steps=0), aims[:1]).stable


def test_a_draft_spares_the_target_most_candidates(tiny):
    attack = replace(SMALL, search_width=64, topk=40, suffix_tokens=12, buffer=1)
    full, probed = search(tiny, attack), search_all([tiny], attack, AIMS[:1], draft=tiny_model(0))
    steps = attack.steps
    # The draft is the target: one candidate is kept beside a probe of 64 / 16, and the first step's choice is the same.
    assert probed.cost.forwards <= 2 + steps * (1 + 4 + 1)
    assert full.cost.forwards > 2 + steps * 40
    assert probed.strings[1] == full.strings[1]
    assert probed.losses[-1] < probed.losses[0]
    assert probed.strings == search_all([tiny], attack, AIMS[:1], draft=tiny_model(0)).strings


def test_run_hands_the_draft_on(tiny):
    attack = replace(SMALL, steps=2, search_width=64)
    (case,) = attack.run([Behavior("a", "x")], ChatTarget(tiny), seed=0, draft=tiny_model(1))
    assert case.cost.forwards <= 2 + 2 * (1 + 4 + 8)


def test_what_cannot_be_searched_together(tiny, merging):
    with pytest.raises(InputError, match="1 models and 0 prompts"):
        search_all([tiny], aims=[])
    with pytest.raises(InputError, match="0 models and 2 prompts"):
        search_all([])
    with pytest.raises(InputError, match="an ensemble needs models that share one tokenizer"):
        search_all([tiny, merging])
    with pytest.raises(InputError, match="probe sampling needs models that share one tokenizer"):
        search_all([tiny], draft=merging)
    with pytest.raises(InputError, match="the target is empty"):
        search_all([tiny], aims=[AIMS[0], ("x", "")])
    short = tiny_model(1)
    short.model.config.max_position_embeddings = 20
    for models, draft in (([tiny, short], None), ([tiny], short)):
        with pytest.raises(InputError, match="the context of tiny-random is 20"):
            search_all(models, draft=draft)


def test_a_draft_whose_losses_are_not_finite_stops_the_search(tiny):
    broken = tiny_model(1)
    broken.name = "broken"
    with torch.no_grad():
        broken.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(InputError, match=r"step 1: the loss of broken in torch.float32 is not finite"):
        search_all([tiny], draft=broken)
