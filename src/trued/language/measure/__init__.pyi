from .alo import alo_asr as alo_asr
from .check import check as check
from .check.gates import Gates as Gates
from .check.gates import Outcome as Outcome
from .check.metric import Change as Change
from .check.metric import Metric as Metric
from .check.result import CheckResult as CheckResult
from .check.safety import CheckConfig as CheckConfig
from .check.utility import text_perplexity as text_perplexity
from .deployment import DeploymentGrid as DeploymentGrid
from .deployment import Setting as Setting
from .deployment import deployed_replies as deployed_replies
from .geometry import Geometry as Geometry
from .geometry import prompt_geometry as prompt_geometry
from .honesty.asking import HonestyTemplates as HonestyTemplates
from .honesty.calibration import Calibration as Calibration
from .honesty.calibration import calibration as calibration
from .honesty.check import HonestyCheck as HonestyCheck
from .honesty.check import check_honesty as check_honesty
from .honesty.invented import prior_unknown_qa as prior_unknown_qa
from .honesty.knowledge import Known as Known
from .honesty.knowledge import balanced as balanced
from .honesty.knowledge import estimate_knowledge as estimate_knowledge
from .honesty.prior_known import prior_known_qa as prior_known_qa
from .honesty.scores import (
    HonestyReport as HonestyReport,
)
from .honesty.scores import (
    IdkDetector as IdkDetector,
)
from .honesty.scores import (
    Judged as Judged,
)
from .honesty.scores import (
    evolution as evolution,
)
from .honesty.verify import LlmVerifier as LlmVerifier
from .robustness import target_losses as target_losses
from .rouge import rouge_l as rouge_l
from .transfer import transferred_labels as transferred_labels
from .transfer import transferred_losses as transferred_losses

__all__ = [
    "Calibration",
    "Change",
    "CheckConfig",
    "CheckResult",
    "DeploymentGrid",
    "Gates",
    "Geometry",
    "HonestyCheck",
    "HonestyReport",
    "HonestyTemplates",
    "IdkDetector",
    "Judged",
    "Known",
    "LlmVerifier",
    "Metric",
    "Outcome",
    "Setting",
    "alo_asr",
    "balanced",
    "calibration",
    "check",
    "check_honesty",
    "deployed_replies",
    "estimate_knowledge",
    "evolution",
    "prior_known_qa",
    "prior_unknown_qa",
    "prompt_geometry",
    "rouge_l",
    "target_losses",
    "text_perplexity",
    "transferred_labels",
    "transferred_losses",
]
