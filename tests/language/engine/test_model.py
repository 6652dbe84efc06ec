"""The engine against plain transformers forwards: scores, gradients, generation, adapters."""

import pytest
import torch

from trued.errors import InputError
from trued.language.engine.model import LanguageModel
from trued.language.engine.scoring import per_response, token_logprobs
from trued.language.engine.tiny import tiny_model

PROMPTS = ["hi", "what is a wheel?", [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}]]
RESPONSES = [["a", "no, a longer answer"], ["round"], ["because", "x", "yes"]]


def plain_logprobs(lm: LanguageModel, prompt: list[int], reply: list[int]) -> torch.Tensor:
    """One forward a response, full logits: what every fast path must equal."""
    logits = lm.base(input_ids=torch.tensor([prompt + reply])).logits[0, len(prompt) - 1 : -1].float()
    return logits.log_softmax(-1)[torch.arange(len(reply)), torch.tensor(reply)]


def test_logprobs_of_responses_that_share_a_prompt_equal_one_forward_each(tiny):
    for prompt, replies, scores in zip(PROMPTS, RESPONSES, tiny.logprobs(PROMPTS, RESPONSES), strict=True):
        for reply, score in zip(replies, scores, strict=True):
            expected = plain_logprobs(tiny, tiny.prompt_ids(prompt), tiny.reply_ids(reply)).detach()
            torch.testing.assert_close(score, expected, atol=1e-5, rtol=1e-5)


def test_gradients_of_the_shared_pass_equal_those_of_two_plain_forwards(tiny):
    lm = tiny.with_lora(r=4, alpha=8, seed=1)
    for parameter in lm.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(2))
    prompts = [lm.prompt_ids(p) for p in PROMPTS]
    replies = [[lm.reply_ids(r) for r in group] for group in RESPONSES]
    trainable = [p for p in lm.model.parameters() if p.requires_grad]
    rows = lm.rows(prompts, replies)
    shared = per_response(lm.response_logprobs(rows), rows)
    weights = torch.arange(1.0, len(shared) + 1)
    fast = torch.autograd.grad((shared * weights).sum(), trainable)
    plain = torch.stack(
        [plain_logprobs(lm, p, r).sum() for p, group in zip(prompts, replies, strict=True) for r in group]
    )
    slow = torch.autograd.grad((plain * weights).sum(), trainable)
    torch.testing.assert_close(shared, plain, atol=1e-4, rtol=1e-5)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
        assert a.abs().sum() > 0


def test_head_gradients_agree_between_the_frozen_and_the_recomputed_path():
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=False, dtype=torch.float64)
    hidden = torch.randn(700, 8, dtype=torch.float64, generator=generator, requires_grad=True)
    targets = torch.randint(50, (700,), generator=generator)
    upstream = torch.randn(700, generator=generator)
    results = []
    for frozen in (True, False):
        head.weight.requires_grad_(not frozen)
        out = token_logprobs(hidden, targets, head)
        results.append((out, torch.autograd.grad((out * upstream).sum(), hidden)[0]))
    exact = head(hidden).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    expected = torch.autograd.grad((exact * upstream).sum(), hidden)[0]
    for out, grad in results:
        torch.testing.assert_close(out.double(), exact, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(grad, expected, atol=1e-5, rtol=1e-5)


def test_delta_moves_prompts_only(tiny):
    rows = tiny.rows([tiny.prompt_ids("hi")], [[tiny.reply_ids("yes"), tiny.reply_ids("no")]])
    delta = torch.ones(*rows.input_ids.shape, tiny.config.hidden_size)
    everywhere = tiny.response_logprobs(rows, delta)
    on_prompt = tiny.response_logprobs(rows, delta * rows.prompt_mask[..., None])
    assert torch.equal(everywhere, on_prompt)
    assert not torch.allclose(everywhere, tiny.response_logprobs(rows))


def test_greedy_generation_equals_transformers(tiny):
    prompts = [*PROMPTS, "a much longer prompt, so that the batch is padded a lot"]
    replies = tiny.generate(prompts, max_new_tokens=12)
    for prompt, (reply,) in zip(prompts, replies, strict=True):
        ids = torch.tensor([tiny.prompt_ids(prompt)])
        out = tiny.base.generate(ids, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(ids))
        assert reply == tiny.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def test_rows_that_end_early_leave_the_batch_without_disturbing_the_others(tiny):
    """Any token may be made the end token: whatever stops early, the remaining rows read the same."""
    prompts = [f"prompt number {i}" for i in range(8)]
    alone = [tiny.generate([p], max_new_tokens=16)[0][0] for p in prompts]
    end = tiny.reply_ids(alone[0][2], end=False)[0]
    tiny.format.stop_ids = tiny.format.stop_ids | {end}
    together = tiny.generate(prompts, max_new_tokens=16)
    assert [r[0] for r in together] == [tiny.generate([p], max_new_tokens=16)[0][0] for p in prompts]
    assert len({len(r[0]) for r in together}) > 1


def test_sampling_repeats_with_its_seed_and_follows_the_distribution(tiny):
    draw = lambda seed: tiny.generate(  # noqa: E731
        ["hi"], n=400, max_new_tokens=1, temperature=1.0, generator=torch.Generator().manual_seed(seed)
    )[0]
    assert draw(0) == draw(0)
    assert draw(0) != draw(1)
    ids = torch.tensor([tiny.prompt_ids("hi")])
    probabilities = tiny.base(input_ids=ids).logits[0, -1].softmax(-1)
    best = tiny.tokenizer.decode([int(probabilities.argmax())], skip_special_tokens=True)
    share = sum(text == best for text in draw(3)) / 400
    assert abs(share - float(probabilities.max())) < 0.12


def test_stop_strings_and_prefill(tiny):
    (whole,) = tiny.generate(["hi"], max_new_tokens=12)[0]
    (cut,) = tiny.generate(["hi"], max_new_tokens=12, stop=[whole[4]])[0]
    assert cut == whole[: whole.index(whole[4])]
    (rest,) = tiny.generate(["hi"], max_new_tokens=4, prefill=whole[:4])[0]
    assert rest == whole[4:8] or "\ufffd" in whole  # bytes that are no text do not survive the round trip


def test_adapter_off_is_the_base_and_merged_is_the_adapter(tiny):
    base = tiny.logprobs(PROMPTS, RESPONSES)
    lm = tiny.with_lora(r=2, alpha=4)
    for name, parameter in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    before = {n: p.clone() for n, p in lm.model.named_parameters()}
    tuned = lm.logprobs(PROMPTS, RESPONSES)
    with lm.adapter(enabled=False):
        off = lm.logprobs(PROMPTS, RESPONSES)
    with lm.merged():
        merged = lm.logprobs(PROMPTS, RESPONSES)
    for b, t, o, m in zip(base, tuned, off, merged, strict=True):
        torch.testing.assert_close(o[0], b[0])
        torch.testing.assert_close(m[0], t[0], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(t[0], b[0])
    assert all(torch.equal(before[n], p) for n, p in lm.model.named_parameters())


def test_saved_adapter_loads_in_peft_and_here(tiny, tmp_path):
    from peft import PeftModel

    tiny.model.save_pretrained(tmp_path / "base")
    tiny.tokenizer.save_pretrained(tmp_path / "base")
    lm = LanguageModel.load(tmp_path / "base", dtype=torch.float32).with_lora(r=2, alpha=4, seed=3)
    for parameter in lm.model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1)
    expected = lm.logprobs(["hi"], [["yes"]])[0][0]
    lm.save_adapter(tmp_path / "adapter")
    ours = LanguageModel.load(tmp_path / "base", adapter=tmp_path / "adapter", dtype=torch.float32)
    alone = LanguageModel.load(tmp_path / "adapter", dtype=torch.float32)
    theirs = PeftModel.from_pretrained(tiny_model().base, str(tmp_path / "adapter"))
    for other in (ours, alone, LanguageModel(theirs.eval(), tiny.tokenizer)):
        torch.testing.assert_close(other.logprobs(["hi"], [["yes"]])[0][0], expected)


def test_bad_checkpoints_get_one_sentence(tiny, tmp_path):
    folder = tmp_path / "base"
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match=r"no config\.json"):
        LanguageModel.load(tmp_path)
    other = tiny_model(hidden=64).with_lora(r=2, alpha=4)
    other.save_adapter(tmp_path / "foreign")
    with pytest.raises(InputError, match="another base model"):
        LanguageModel.load(folder, adapter=tmp_path / "foreign")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(InputError, match="truncated or damaged"):
        LanguageModel.load(folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        LanguageModel.load(folder)


def test_tokenizers_without_template_or_pad(tiny):
    tiny.tokenizer.pad_token = None
    assert tiny.pad_id == tiny.tokenizer.eos_token_id
    expected = tiny.logprobs(["hi", "a longer one"], [["a"], ["b"]])
    tiny.tokenizer.pad_token = tiny.tokenizer.eos_token
    again = tiny.logprobs(["hi", "a longer one"], [["a"], ["b"]])
    torch.testing.assert_close(expected[0][0], again[0][0])
    tiny.tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        LanguageModel(tiny.model, tiny.tokenizer)
    plain = LanguageModel(tiny.model, tiny.tokenizer, template="none")
    assert plain.format.render("hi") == "hi\n\n"


def test_too_long_rows_and_bad_calls(tiny):
    tiny.config.max_position_embeddings = 64
    with pytest.raises(InputError, match="context"):
        tiny.logprobs(["hi"], [["a" * 80]])
    with pytest.raises(InputError, match="context"):
        tiny.generate(["a" * 80])
    with pytest.raises(InputError, match=r"torch\.Generator"):
        tiny.generate(["hi"], temperature=1.0)
    with pytest.raises(InputError, match="prefills"):
        tiny.generate(["hi"], prefill=["a", "b"])


def test_reply_ids_close_the_turn(tiny):
    ids = tiny.reply_ids("ok")
    assert ids[-1] == tiny.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tiny.format.continues_replies()


@pytest.mark.parametrize("where", ["generation_config", "config"])
@pytest.mark.parametrize("several", [True, False])
def test_generation_stops_where_the_models_own_configuration_ends_a_reply(tiny, where, several):
    ids = torch.tensor([tiny.prompt_ids("hi")])
    tokens = tiny.base.generate(ids, max_new_tokens=8, do_sample=False, attention_mask=torch.ones_like(ids))[0]
    tokens = tokens[ids.shape[1] :].tolist()
    end = next(token for token in tokens[2:] if token not in tokens[:2])
    beyond = len(tiny.tokenizer)  # no token of the tokenizer
    getattr(tiny.model, where).eos_token_id = [beyond, end] if several else end
    lm = LanguageModel(tiny.model, tiny.tokenizer)
    assert end in lm.format.stop_ids
    assert beyond not in lm.format.stop_ids
    assert lm.generate(["hi"], max_new_tokens=8) == [[lm.tokenizer.decode(tokens[: tokens.index(end)])]]
    assert lm.reply_ids("ok")[-1] == lm.tokenizer.eos_token_id  # it learns the end that its template writes


def test_what_a_template_puts_before_a_reply_is_told_among_the_limits(tiny):
    thinking = tiny.tokenizer.chat_template.replace(
        "{{ message['content'] }}",
        "{% if message.role == 'assistant' %}<think></think>{% endif %}{{ message.content }}",
    )
    lm = LanguageModel(tiny.model, tiny.tokenizer, template=thinking)
    assert tiny.limits == ()
    assert len(lm.limits) == 1
    assert "Thoughts play no part" in lm.limits[0]


def test_deployed_folds_the_adapter_in_switches_dropout_off_and_puts_every_mode_back():
    lm = tiny_model().with_lora(r=2, alpha=4, dropout=0.5)
    for name, weight in lm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(0))
    lm.model.train()
    still = next(module for module in lm.model.modules() if isinstance(module, torch.nn.Dropout))
    still.eval()

    def states() -> torch.Tensor:
        return lm.hidden(["true the wheel"])

    with lm.deployed():
        assert not any(module.training for module in lm.model.modules())
        on, again = states(), states()
    with lm.deployed(adapter=False):
        off = states()
    assert torch.equal(on, again)
    assert not torch.allclose(on, off)
    assert lm.model.training
    assert not still.training
