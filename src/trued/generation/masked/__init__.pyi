from .ancestral_steps import ancestral as ancestral
from .confidence_order import confidence as confidence
from .exact_source import MarkovSource as MarkovSource
from .first_hitting import Hits as Hits
from .loss import causal_nll as causal_nll
from .loss import masked_nelbo as masked_nelbo
from .loss import mdm_nelbo as mdm_nelbo
from .model import FromLogits as FromLogits
from .model import HuggingFaceMaskedLM as HuggingFaceMaskedLM
from .model import MaskedConfig as MaskedConfig
from .model import MaskedModel as MaskedModel
from .model import TinyMaskedLM as TinyMaskedLM
from .parallel_hitting import parallel_first_hitting as parallel_first_hitting
from .sampler import MaskedSampler as MaskedSampler
from .schedule import LINEAR as LINEAR
from .schedule import Cosine as Cosine
from .schedule import Geometric as Geometric
from .schedule import MaskSchedule as MaskSchedule
from .schedule import Polynomial as Polynomial
from .schedule import schedule_of as schedule_of
from .state import SampleResult as SampleResult
from .state import all_masked as all_masked
from .text import MaskedText as MaskedText
from .text import save_tiny as save_tiny
from .train import bound_per_token as bound_per_token
from .train import train_masked_lm as train_masked_lm

__all__ = [
    "LINEAR",
    "Cosine",
    "FromLogits",
    "Geometric",
    "Hits",
    "HuggingFaceMaskedLM",
    "MarkovSource",
    "MaskSchedule",
    "MaskedConfig",
    "MaskedModel",
    "MaskedSampler",
    "MaskedText",
    "Polynomial",
    "SampleResult",
    "TinyMaskedLM",
    "all_masked",
    "ancestral",
    "bound_per_token",
    "causal_nll",
    "confidence",
    "masked_nelbo",
    "mdm_nelbo",
    "parallel_first_hitting",
    "save_tiny",
    "schedule_of",
    "train_masked_lm",
]
