"""The language model that an experiment starts from."""

from __future__ import annotations

from trued.lab.experiment import Lab
from trued.language.engine.model import LanguageModel


def load(lab: Lab) -> LanguageModel:
    """The model of this run: the user's, the scale's, the embedded default, or at tiny scale a random one."""
    if lab.scale_name == "tiny" and lab.model is None:
        from trued.language.engine.tiny import tiny_model

        lm = tiny_model()
    else:
        lm = LanguageModel.load(lab.model or lab.scale.model, device=lab.device)
    lab.model_name = lm.name
    for sentence in lm.limits:
        lab.note(sentence)
    return lm
