from .masked.sampler import MaskedSampler as MaskedSampler
from .masked.text import MaskedText as MaskedText
from .quality import FrontierPoint as FrontierPoint
from .quality import Quality as Quality
from .quality import distinct as distinct
from .quality import frontier as frontier
from .quality import gen_quality as gen_quality
from .quality import nll_at_entropy as nll_at_entropy
from .quality import reference_nll as reference_nll
from .quality import token_entropy as token_entropy

__all__ = [
    "FrontierPoint",
    "MaskedSampler",
    "MaskedText",
    "Quality",
    "distinct",
    "frontier",
    "gen_quality",
    "nll_at_entropy",
    "reference_nll",
    "token_entropy",
]
