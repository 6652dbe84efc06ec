"""Image encoders: what is prepared, pooled and refused, for convolutional networks and for transformers."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from efficientnet_weights import published
from torch.nn import functional as F

from trued.errors import InputError
from trued.vision import efficientnet_lite
from trued.vision.efficientnet_lite import MEAN, STD, EfficientNetLite0
from trued.vision.encoder import ImageEncoder, _channels_first

IMAGES = torch.rand(3, 3, 40, 56, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def net():
    return EfficientNetLite0().take(published())


@pytest.fixture
def lite(net, monkeypatch):
    monkeypatch.setattr(efficientnet_lite.EfficientNetLite0, "load", classmethod(lambda cls: net))
    return ImageEncoder.load(size=64)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=8,
        initializer_range=0.5,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ViTModel(config).save_pretrained(folder)
    settings = {"size": {"height": 32, "width": 32}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def test_pictures_are_scaled_shifted_and_averaged_over_positions(lite):
    result = lite.features(IMAGES, layers="all")
    scaled = F.interpolate(IMAGES, (64, 64), mode="bilinear", antialias=True)
    maps = lite.model((scaled - MEAN) / STD)
    assert list(result) == list(lite.layers) == list(maps)
    for name, x in result.items():
        torch.testing.assert_close(x, maps[name].mean((2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(lite.features(IMAGES), result["head"])
    assert lite.dim == 1280
    assert lite.widths["block 1"] == 16


def test_named_layers_come_in_their_own_order_and_batches_change_nothing(lite):
    result = lite.features(IMAGES, layers=("head", "block 2"), batch=2)
    assert list(result) == ["block 2", "head"]
    torch.testing.assert_close(result["head"], lite.features(IMAGES), atol=1e-5, rtol=1e-4)


def test_a_transformer_of_a_folder(vit):
    from transformers import ViTModel

    encoder = ImageEncoder.load(vit)
    scaled = F.interpolate(IMAGES, (32, 32), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values)[:, None, None] for values in ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7]))
    model = ViTModel.from_pretrained(vit).eval()
    with torch.no_grad():
        out = model((scaled - mean) / std, output_hidden_states=True)
    means, first = encoder.features(IMAGES, layers="all"), encoder.features(IMAGES, pool="cls")
    assert list(means) == ["layer 0", "layer 1", "layer 2"]
    torch.testing.assert_close(means["layer 1"], out.hidden_states[1].mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(means["layer 2"], out.last_hidden_state.mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first, out.last_hidden_state[:, 0], atol=1e-5, rtol=1e-4)
    assert encoder.dim == 16
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (torch.zeros(3, 8, 8), r"shape \(3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), "one at least"),
        (torch.full((1, 3, 8, 8), 255, dtype=torch.uint8), r"torch\.uint8 from 255 to 255: give floats"),
        (torch.full((1, 3, 8, 8), 1.5), "from 1.5 to 1.5"),
        (torch.full((1, 3, 8, 8), torch.nan), "give floats from 0 to 1"),
    ],
)
def test_what_is_no_picture_is_refused(lite, images, sentence):
    with pytest.raises(InputError, match=sentence):
        lite.features(images)


def test_features_can_be_trained_on(lite):
    features = lite.features(IMAGES)
    assert not features.is_inference()
    assert not any(x.is_inference() for x in lite.features(IMAGES, layers="all").values())
    head = torch.nn.Linear(features.shape[1], 2)
    head(features).sum().backward()
    assert head.weight.grad is not None


def test_bad_layers_pools_sizes_and_sources_are_refused(lite, tmp_path):
    with pytest.raises(InputError, match="no layer 'tail'"):
        lite.features(IMAGES, layers=("tail",))
    with pytest.raises(InputError, match=r"no layer 'head'.*or give a tuple"):
        lite.features(IMAGES, layers="head")
    with pytest.raises(InputError, match="convolutional and has no first token"):
        lite.features(IMAGES, pool="cls")
    with pytest.raises(InputError, match="unknown pooling 'max'"):
        lite.features(IMAGES, pool="max")
    with pytest.raises(InputError, match="multiples of 32"):
        ImageEncoder.load(size=100)
    with pytest.raises(InputError, match="no image encoder"):
        ImageEncoder.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="device 'gpu' is not on this machine"):
        ImageEncoder.load(device="gpu")


def test_a_text_model_sees_no_pictures(tmp_path):
    from transformers import BertConfig, BertModel

    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=8)
    BertModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(InputError, match="sees no pictures"):
        ImageEncoder.load(tmp_path)


def test_pictures_of_a_size_that_a_model_cannot_take_are_refused_when_it_is_loaded(vit):
    with pytest.raises(InputError, match=r"gives no features of pictures of 48 pixels a side \(.*give another size"):
        ImageEncoder.load(vit, size=48)


def test_a_model_of_videos_is_refused_when_it_is_loaded(tmp_path):
    from transformers import VideoMAEConfig, VideoMAEModel

    config = VideoMAEConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=8,
        num_frames=2,
    )  # fmt: skip
    VideoMAEModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}}))
    with pytest.raises(InputError, match=r"VideoMAEModel\) gives no features of pictures of 32 pixels"):
        ImageEncoder.load(tmp_path)


def test_a_masked_autoencoder_sees_whole_pictures(tmp_path):
    from transformers import ViTMAEConfig, ViTMAEModel

    config = ViTMAEConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=8,
        decoder_hidden_size=16, decoder_num_attention_heads=2, decoder_num_hidden_layers=1,
        decoder_intermediate_size=24, initializer_range=0.5,
    )  # fmt: skip
    ViTMAEModel(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}}))
    encoder = ImageEncoder.load(tmp_path)
    torch.testing.assert_close(encoder.features(IMAGES), encoder.features(IMAGES), atol=1e-5, rtol=1e-4)
    assert encoder.maps(torch.zeros(1, 3, 32, 32))["layer 2"].shape == (1, 17, 16)


def test_channels_that_come_last_are_found_by_the_widths_of_the_stages():
    stages = SimpleNamespace(embed_dim=8, depths=[1, 1], hidden_size=16)
    for shape, turned in (
        ((2, 4, 5, 16), (2, 16, 4, 5)),
        ((2, 4, 5, 8), (2, 8, 4, 5)),
        ((2, 16, 4, 8), (2, 16, 4, 8)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((2, 9, 16), (2, 9, 16)),
    ):
        assert _channels_first(torch.zeros(shape), stages).shape == turned
