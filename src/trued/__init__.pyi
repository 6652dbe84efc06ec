from .language.attack.contract import Behavior as Behavior
from .language.attack.contract import ChatTarget as ChatTarget
from .language.attack.embedding import EmbeddingAttack as EmbeddingAttack
from .language.attack.gcg.search import GCG as GCG
from .language.attack.red_team import RedTeam as RedTeam
from .language.attack.suite import Suite as Suite
from .language.engine.model import LanguageModel as LanguageModel
from .language.judge.reply import CompositeJudge as CompositeJudge
from .language.judge.reply import PhraseJudge as PhraseJudge
from .language.measure.check.gates import Gates as Gates
from .language.measure.check.result import CheckResult as CheckResult
from .language.measure.check.safety import CheckConfig as CheckConfig
from .language.measure.check.safety import check as check
from .language.repair.alignment_recovery.recover import recover as recover
from .language.train.c_advul import CAdvIPO as CAdvIPO
from .language.train.c_advul import CAdvUL as CAdvUL
from .language.train.mixat.align import MixAT as MixAT
from .language.train.preference import PreferenceTraining as PreferenceTraining
from .language.train.recipe import Recipe as Recipe
from .learn.fit.config import FitConfig as FitConfig

__all__ = [
    "GCG",
    "Behavior",
    "CAdvIPO",
    "CAdvUL",
    "ChatTarget",
    "CheckConfig",
    "CheckResult",
    "CompositeJudge",
    "EmbeddingAttack",
    "FitConfig",
    "Gates",
    "LanguageModel",
    "MixAT",
    "PhraseJudge",
    "PreferenceTraining",
    "Recipe",
    "RedTeam",
    "Suite",
    "check",
    "recover",
]

__version__: str
