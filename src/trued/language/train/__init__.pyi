from .adversarial import UtilityRow as UtilityRow
from .adversarial import own_replies as own_replies
from .aligned_base import AlignedModel as AlignedModel
from .aligned_base import AlignedRecipe as AlignedRecipe
from .aligned_base import aligned_model as aligned_model
from .c_advul.align import CAdvIPO as CAdvIPO
from .c_advul.align import CAdvUL as CAdvUL
from .c_advul.loss import (
    AdvLossConfig as AdvLossConfig,
)
from .c_advul.loss import (
    PreferenceLossConfig as PreferenceLossConfig,
)
from .c_advul.loss import (
    cadvipo_loss as cadvipo_loss,
)
from .c_advul.loss import (
    cadvul_loss as cadvul_loss,
)
from .fine_tune import TokenConstraint as TokenConstraint
from .honesty.align import HonestyTraining as HonestyTraining
from .honesty.align import build_sft as build_sft
from .mixat.align import MixAT as MixAT
from .mixat.gcg_rewriter import GCGRewriter as GCGRewriter
from .mixat.intent import IntentFilter as IntentFilter
from .mixat.rewriters import (
    ChainRewriter as ChainRewriter,
)
from .mixat.rewriters import (
    PAPRewriter as PAPRewriter,
)
from .mixat.rewriters import (
    Rewriter as Rewriter,
)
from .mixat.rewriters import (
    StaticRewriter as StaticRewriter,
)
from .mixat.rewriters import (
    TemplateRewriter as TemplateRewriter,
)
from .mixat.schedule import MixSchedule as MixSchedule
from .mixat.schedule import schedule_of as schedule_of
from .preference import PreferenceTraining as PreferenceTraining
from .recipe import Recipe as Recipe
from .recipe import TradeOff as TradeOff
from .recipe import trade_off as trade_off

__all__ = [
    "AdvLossConfig",
    "AlignedModel",
    "AlignedRecipe",
    "CAdvIPO",
    "CAdvUL",
    "ChainRewriter",
    "GCGRewriter",
    "HonestyTraining",
    "IntentFilter",
    "MixAT",
    "MixSchedule",
    "PAPRewriter",
    "PreferenceLossConfig",
    "PreferenceTraining",
    "Recipe",
    "Rewriter",
    "StaticRewriter",
    "TemplateRewriter",
    "TokenConstraint",
    "TradeOff",
    "UtilityRow",
    "aligned_model",
    "build_sft",
    "cadvipo_loss",
    "cadvul_loss",
    "own_replies",
    "schedule_of",
    "trade_off",
]
