from .copyright import CopyrightJudge as CopyrightJudge
from .copyright import Reference as Reference
from .models import HARMBENCH as HARMBENCH
from .models import HarmBenchJudge as HarmBenchJudge
from .models import LLMJudge as LLMJudge
from .models import StrongRejectJudge as StrongRejectJudge
from .refusals import RefusalClass as RefusalClass
from .refusals import refusal_class as refusal_class
from .refusals import refuses as refuses
from .reply import Agreement as Agreement
from .reply import CompositeJudge as CompositeJudge
from .reply import Judge as Judge
from .reply import Label as Label
from .reply import PhraseJudge as PhraseJudge
from .reply import compare as compare
from .reply import repetition as repetition

__all__ = [
    "HARMBENCH",
    "Agreement",
    "CompositeJudge",
    "CopyrightJudge",
    "HarmBenchJudge",
    "Judge",
    "LLMJudge",
    "Label",
    "PhraseJudge",
    "Reference",
    "RefusalClass",
    "StrongRejectJudge",
    "compare",
    "refusal_class",
    "refuses",
    "repetition",
]
