"""The families of image encoders, tiny and random, and what is checked of `trued.vision.ImageEncoder` on them.

The reference is `AutoModel` of the same folder, one picture at a time. A layer is what the model gives among its hidden
states, the last one what it puts out; it is pooled over positions or tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .building import configured, save_encoder
from .outcome import Different, NoReference, worst
from .reference import plainly, reference, without

SIDE = 32
MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
IMAGES = torch.rand(5, 3, 40, 56, generator=torch.Generator().manual_seed(0))

EXTRA = (
    "align", "altclip", "aimv2", "blip", "chinese_clip", "clip", "clip_vision_model", "cvt", "donut-swin", "flava",
    "groupvit", "hgnet_v2", "metaclip_2", "owlvit", "pvt_v2", "radio", "sam_vision_model", "siglip", "siglip2",
    "textnet", "vjepa2",
)  # fmt: skip
"""Families that see pictures and that transformers does not list among those of images."""

SIZES: dict[str, Any] = {
    "image_size": SIDE, "patch_size": 8, "num_channels": 3, "hidden_size": 24, "intermediate_size": 40,
    "num_hidden_layers": 2, "num_attention_heads": 4, "projection_dim": 16, "embed_dim": 24, "embedding_size": 24,
    "encoder_layers": 1, "decoder_layers": 1, "d_model": 24, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40, "decoder_ffn_dim": 40, "vocab_size": 300, "max_position_embeddings": 64,
    "decoder_hidden_size": 24, "decoder_num_attention_heads": 4, "decoder_num_hidden_layers": 1,
    "decoder_intermediate_size": 40, "num_frames": 2, "num_patches": 16, "projection_intermediate_dim": 40,
    "drop_path_rate": 0.0, "hidden_dropout_prob": 0.0, "pretrain_image_size": SIDE,
}  # fmt: skip

CONVNEXT: dict[str, Any] = {"patch_size": 2, "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 40]}
STAGES: dict[str, Any] = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 40]}
HEADS: dict[str, Any] = {"num_attention_heads": [1, 2, 2, 4]}
SWIN: dict[str, Any] = {"patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4}

FAMILIES: dict[str, dict[str, Any]] = {
    "align": {"vision_config": {"image_size": 64, "hidden_dim": 2560}},
    "bit": {**STAGES, "num_groups": 4, "embedding_size": 8},
    "convnext": CONVNEXT,
    "convnextv2": CONVNEXT,
    "cvt": {"embed_dim": [8, 16, 24], "num_heads": [1, 2, 4], "depth": [1, 2, 3], "drop_path_rate": [0.0, 0.0, 0.0],
            "patch_sizes": [7, 3, 3], "patch_stride": [4, 2, 2], "patch_padding": [2, 1, 1]},
    "dinov3_convnext": STAGES,
    "donut-swin": SWIN,
    "dinov3_vit": {"hidden_size": 32},
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.25, "hidden_dim": 320},
    "flava": {"image_config": {"image_size": SIDE, "patch_size": 8}},
    "focalnet": {
        "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "hidden_sizes": [8, 16], "focal_levels": [2, 2],
        "focal_windows": [3, 3],
    },
    "glpn": {**STAGES, **HEADS, "depths": [1, 1, 1, 1]},
    "hgnet_v2": {
        "hidden_sizes": [8, 16, 24, 40], "stem_channels": [3, 8, 8], "stage_in_channels": [8, 8, 16, 24],
        "stage_mid_channels": [8, 8, 8, 8], "stage_out_channels": [8, 16, 24, 40], "stage_numb_of_layers": [1, 1, 1, 1],
    },
    "hiera": {
        "image_size": [64, 64], "patch_size": [7, 7], "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2],
        "num_query_pool": 1, "masked_unit_size": [2, 2], "query_stride": [2, 2],
    },
    "imagegpt": {"n_embd": 24, "n_layer": 2, "n_head": 4},
    "levit": {
        "hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 2, 4], "depths": [1, 1, 1], "key_dim": [4, 4, 4],
        "image_size": 64, "patch_size": 16, "drop_path_rate": 0,
    },
    "maskformer-swin": SWIN,
    "mobilevit": {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32]},
    "mobilevitv2": {
        "base_attn_unit_dims": [16, 16, 16], "n_attn_blocks": [1, 1, 1], "width_multiplier": 0.25, "image_size": 256,
    },
    "mlcd": {"hidden_size": 32},
    "mlcd_vision_model": {"hidden_size": 32},
    "poolformer": STAGES,
    "pvt": {**STAGES, **HEADS},
    "pvt_v2": {**STAGES, **HEADS},
    "regnet": {**STAGES, "groups_width": 4},
    "resnet": {**STAGES, "embedding_size": 8},
    "segformer": {**STAGES, **HEADS},
    "swiftformer": {"depths": [1, 1, 1, 2], "embed_dims": [8, 16, 24, 40]},
    "swin": SWIN,
    "swin2sr": {**SWIN, "patch_size": 1},
    "swinv2": {**SWIN, "pretrained_window_sizes": [0, 0]},
    "timesformer": {"drop_path_rate": 0},
    "yolos": {"image_size": [SIDE, SIDE]},
    "vitdet": {"num_hidden_layers": 2, "window_size": 2, "window_block_indices": [0]},
}  # fmt: skip

CHANNELS_LAST = ("sam_vision_model",)
"""Families whose hidden states are [batch, rows, columns, channels]."""

FAST = ("clip", "convnext", "dinov2", "siglip", "swin", "vit", "vit_mae")


def families() -> list[str]:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_MAPPING_NAMES

    return sorted({*MODEL_FOR_IMAGE_MAPPING_NAMES, *EXTRA})


class Subject:
    """A tiny random encoder in a folder, as trued and as plain transformers load it."""

    def __init__(self, name: str, folder: Path) -> None:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        self.name, self.folder = name, folder
        with reference("transformers builds no tiny model of it"):
            config = configured(CONFIG_MAPPING[name], SIZES, FAMILIES.get(name, {}))
            save_encoder(config, folder, convolutions=True)
        side = getattr(getattr(config, "vision_config", config), "image_size", SIDE)
        self.side = side[0] if isinstance(side, list | tuple) else side
        settings = {"size": {"height": self.side, "width": self.side}, "image_mean": MEAN, "image_std": STD}
        (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
        self.without = without(self.layers)

    @cached_property
    def trued(self) -> Any:
        from trued.vision import ImageEncoder

        return ImageEncoder.load(self.folder)

    @cached_property
    def plain(self) -> Any:
        from transformers import AutoModel

        with reference("plain transformers fails"):
            model = AutoModel.from_pretrained(self.folder, dtype=torch.float32).eval()
        model = getattr(model, "vision_model", model)
        if getattr(model.config, "mask_ratio", None):
            model.config.mask_ratio = 0.0  # as ImageEncoder says: no patch is hidden
        return model

    @plainly
    @torch.no_grad()
    def layers(self) -> list[list[Tensor]]:
        """For each picture what each layer gives, the last one as the model puts it out."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        pictures = (F.interpolate(IMAGES, (self.side, self.side), mode="bilinear", antialias=True) - mean) / std
        result = []
        for picture in pictures:
            out = self.plain(pixel_values=picture[None], output_hidden_states=True)
            if getattr(out, "hidden_states", None) is None:
                raise NoReference("plain transformers gives no hidden states of this family")
            result.append([*out.hidden_states[:-1], out.last_hidden_state])
        return result

    def pooled(self, pool: str) -> list[Tensor]:
        """Each layer's vectors of all pictures."""

        def vector(x: Tensor) -> Tensor:
            if x.ndim == 4:
                last = self.name in CHANNELS_LAST and x.shape[-1] == SIZES["hidden_size"]
                return x.mean((1, 2)) if last else x.mean((2, 3))
            return x.mean(1) if pool == "mean" else x[:, 0]

        return [torch.cat([vector(x) for x in layer]) for layer in zip(*self.layers(), strict=True)]


def load(subject: Subject) -> float:
    own = subject.trued.model.state_dict()
    return worst(*(_off(own[name], x) for name, x in subject.plain.state_dict().items() if name in own))


def last_layer(subject: Subject) -> float:
    return _off(subject.trued.features(IMAGES), subject.pooled("mean")[-1])


def all_layers(subject: Subject) -> float:
    ours = subject.trued.features(IMAGES, layers="all")
    theirs = subject.pooled("mean")
    if len(ours) != len(theirs):
        raise Different(f"{len(ours)} layers, not {len(theirs)}")
    if list(subject.trued.widths.values()) != [x.shape[1] for x in theirs]:
        raise Different(f"widths {subject.trued.widths}, not {[x.shape[1] for x in theirs]}")
    return worst(*(_off(x, y) for x, y in zip(ours.values(), theirs, strict=True)))


def first_token(subject: Subject) -> float:
    """The first token of a transformer; what has none refuses in a sentence."""
    return _off(subject.trued.features(IMAGES, pool="cls"), subject.pooled("cls")[-1])


def batches(subject: Subject) -> float:
    """One, two and all pictures at a time."""
    theirs = subject.pooled("mean")[-1]
    return worst(*(_off(subject.trued.features(IMAGES, batch=size), theirs) for size in (1, 2, 5)))


def _off(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise Different(f"shape {tuple(ours.shape)}, not {tuple(theirs.shape)}")
    if not theirs.isfinite().all():
        raise NoReference("plain transformers gives numbers that are not finite")
    if not theirs.numel():
        return 0.0
    return float((ours.double() - theirs.double()).abs().max() / theirs.abs().max().clamp(min=1e-3))


CHECKS: dict[str, Callable[[Subject], float]] = {
    check.__name__: check for check in (load, last_layer, all_layers, first_token, batches)
}
