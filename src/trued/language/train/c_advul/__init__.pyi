from .align import CAdvIPO as CAdvIPO
from .align import CAdvUL as CAdvUL
from .loss import AdvLossConfig as AdvLossConfig
from .loss import PreferenceLossConfig as PreferenceLossConfig
from .loss import cadvipo_loss as cadvipo_loss
from .loss import cadvul_loss as cadvul_loss
from .loss import soft_cutoff as soft_cutoff
from .loss import windowed as windowed
from .loss import with_references as with_references

__all__ = [
    "AdvLossConfig",
    "CAdvIPO",
    "CAdvUL",
    "PreferenceLossConfig",
    "cadvipo_loss",
    "cadvul_loss",
    "soft_cutoff",
    "windowed",
    "with_references",
]
