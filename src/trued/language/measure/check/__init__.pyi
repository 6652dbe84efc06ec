from .gates import Gates as Gates
from .gates import Outcome as Outcome
from .metric import Change as Change
from .metric import Metric as Metric
from .result import CheckResult as CheckResult
from .safety import CheckConfig as CheckConfig
from .safety import check as check
from .utility import HeldOut as HeldOut
from .utility import text_perplexity as text_perplexity

__all__ = [
    "Change",
    "CheckConfig",
    "CheckResult",
    "Gates",
    "HeldOut",
    "Metric",
    "Outcome",
    "check",
    "text_perplexity",
]
