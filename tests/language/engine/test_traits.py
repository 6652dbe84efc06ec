import pytest
from small_families import family
from transformers import AutoConfig

from trued.language.engine.traits import attends_only, column_span, rope_switch, windowed


@pytest.mark.parametrize(
    ("kind", "attends", "has_window"),
    [
        ("llama", True, False),
        ("mistral", True, True),
        ("gemma3_text", True, True),
        ("llama4_text", True, True),
        ("qwen3_5_text", False, False),
        ("falcon_h1", False, False),
        ("lfm2", False, False),
        ("mamba", False, False),
        ("rwkv", False, False),
    ],
)
def test_how_layers_look_back(kind, attends, has_window):
    lm, _ = family(kind)
    assert attends_only(lm.base, lm.config) == attends
    assert windowed(lm.config) == has_window


def test_spans_that_may_be_counted_in_columns():
    assert column_span(AutoConfig.for_model("gpt_neo", window_size=64)) == 64
    assert column_span(AutoConfig.for_model("llama4_text", floor_scale=100)) == 100
    assert column_span(AutoConfig.for_model("mistral", sliding_window=16)) is None
    assert column_span(AutoConfig.for_model("llama")) is None


def test_the_length_at_which_positions_change():
    assert rope_switch(family("phi3")[0].config) == 20
    assert rope_switch(AutoConfig.for_model("llama")) is None
