from .choice import PREFERENCE_LOSSES as PREFERENCE_LOSSES
from .choice import preference_loss as preference_loss
from .losses import apo_down as apo_down
from .losses import apo_zero as apo_zero
from .losses import cpo as cpo
from .losses import dpo as dpo
from .losses import dpop as dpop
from .losses import exo_pair as exo_pair
from .losses import hinge as hinge
from .losses import ipo as ipo
from .losses import kto_pair as kto_pair
from .losses import orpo as orpo
from .losses import robust as robust
from .losses import sigmoid_norm as sigmoid_norm
from .losses import simpo as simpo
from .losses import sppo_hard as sppo_hard
from .pairs import REFERENCE_FREE as REFERENCE_FREE
from .pairs import PairLogProbs as PairLogProbs
from .pairs import PreferenceOutput as PreferenceOutput
from .windowed import windowed_mean as windowed_mean

__all__ = [
    "PREFERENCE_LOSSES",
    "REFERENCE_FREE",
    "PairLogProbs",
    "PreferenceOutput",
    "apo_down",
    "apo_zero",
    "cpo",
    "dpo",
    "dpop",
    "exo_pair",
    "hinge",
    "ipo",
    "kto_pair",
    "orpo",
    "preference_loss",
    "robust",
    "sigmoid_norm",
    "simpo",
    "sppo_hard",
    "windowed_mean",
]
