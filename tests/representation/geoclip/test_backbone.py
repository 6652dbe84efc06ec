"""Backbones: CLIP's towers as transformers of either major version hand them out, and what a tower refuses."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast

from trued.errors import InputError
from trued.representation.geoclip.backbone import (
    SENTENCES,
    ClipBackbone,
    PictureBackbone,
    SentenceBackbone,
    open_backbone,
    open_pictures,
    projected,
    text_features,
)
from trued.vision.encoder import ImageEncoder, Pictures


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A random two-layer CLIP model in a folder, as the hub would hold it."""
    folder = tmp_path_factory.mktemp("clip")
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": 9, "max_position_embeddings": 8, "bos_token_id": 0, "eos_token_id": 1},
        vision_config={**tower, "image_size": 16, "patch_size": 8},
        projection_dim=12,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        CLIPModel(config).save_pretrained(folder)
    size = {"height": 16, "width": 16}
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=size).save_pretrained(folder)
    words = {word: number for number, word in enumerate(("<s>", "</s>", "<pad>", "<unk>", "a", "red", "desert", "sea"))}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=8
    ).save_pretrained(folder)
    return folder


def picture(colour, size=(20, 24)):
    return Image.new("RGB", size, colour)


def test_clip_gives_projected_features_of_pictures_and_texts(clip):
    tower = open_backbone(str(clip))
    assert isinstance(tower, ClipBackbone)
    seen = tower.pictures([picture("red"), picture("blue")])
    assert seen.shape == (2, 12)
    assert not seen.is_inference()
    assert not tower.texts(["sea"]).is_inference()
    assert not torch.allclose(seen[0], seen[1])
    pixels = tower.processor(images=[picture("red")], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        pooled = tower.model.vision_model(pixel_values=pixels).pooler_output
        torch.testing.assert_close(seen[:1], tower.model.visual_projection(pooled))
    read = tower.texts(["a red desert </s>", "sea </s>", "a " * 50])
    assert read.shape == (3, 12)
    torch.testing.assert_close(read[1:2], tower.texts(["sea </s>"]), atol=1e-5, rtol=1e-4)  # padding changes nothing


def test_features_may_come_bare_or_wrapped():
    features = torch.ones(2, 3)
    assert torch.equal(projected(features), features)
    assert torch.equal(projected(SimpleNamespace(pooler_output=features.half())), features)
    with pytest.raises(TypeError, match="SimpleNamespace"):
        projected(SimpleNamespace(last_hidden_state=features))


def test_an_encoder_sees_and_does_not_read():
    net = torch.nn.Conv2d(3, 4, 2)
    encoder = ImageEncoder(net, lambda pixels: {"conv": net(pixels)}, Pictures(8, (0.0,) * 3, (1.0,) * 3), name="conv")
    tower = PictureBackbone(encoder)
    seen = tower.pictures([picture("red"), picture("red", (40, 10)), picture("blue")])
    torch.testing.assert_close(seen[0], seen[1])  # any size
    assert not torch.allclose(seen[0], seen[2])
    with pytest.raises(InputError, match="conv sees pictures and reads no text"):
        tower.texts(["a desert"])


def test_sentences_read_and_do_not_see():
    tower = SentenceBackbone(lambda texts: np.ones((len(texts), 4), np.float32))
    assert tower.texts(["a", "b"]).shape == (2, 4)
    with pytest.raises(InputError, match="sees no pictures"):
        tower.pictures([picture("red")])


def test_an_unreachable_backbone_is_named(tmp_path):
    with pytest.raises(InputError, match=r"'nobody/nothing-of-that-name' does not load .*give its folder"):
        open_backbone("nobody/nothing-of-that-name")
    for name in ("nobody/nothing-of-that-name", SENTENCES, "efficientnet-lite0"):
        with pytest.raises(InputError, match="device 'banana' is not on this machine"):
            open_backbone(name, device="banana")


@pytest.mark.parametrize(("name", "content"), [("config.json", b"{"), ("model.safetensors", b"cut off")])
def test_a_backbone_with_broken_files_is_named(clip, tmp_path, name, content):
    shutil.copytree(clip, tmp_path / "m")
    (tmp_path / "m" / name).write_bytes(content)
    with pytest.raises(InputError, match=r"does not load .*give its folder"):
        open_backbone(str(tmp_path / "m"))


def test_pictures_are_opened_upright_or_named(tmp_path):
    wide = Image.new("RGB", (4, 2), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    wide.save(tmp_path / "turned.jpg", exif=exif)
    wide.convert("RGBA").save(tmp_path / "clear.png")
    turned, clear = open_pictures([tmp_path / "turned.jpg", tmp_path / "clear.png"])
    assert (turned.size, clear.mode) == ((2, 4), "RGB")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes\.txt is no picture"):
        open_pictures([tmp_path / "notes.txt"])
    with pytest.raises(InputError, match=r"nowhere\.png .*no such file"):
        open_pictures([tmp_path / "nowhere.png"])


def test_texts_are_read_by_the_backbone_of_that_name(clip):
    texts = ("a city", "another")
    torch.testing.assert_close(text_features(texts, str(clip)), open_backbone(str(clip)).texts(list(texts)))
