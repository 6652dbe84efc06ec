from .betting import e_process as e_process
from .interval import Interval as Interval
from .multiple import holm as holm
from .paired import McNemar as McNemar
from .paired import mcnemar as mcnemar
from .paired import paired_score_interval as paired_score_interval
from .rates import Rate as Rate
from .rates import rate as rate
from .rates import wilson as wilson
from .resampling import cluster_bootstrap as cluster_bootstrap
from .resampling import paired_bootstrap as paired_bootstrap
from .resampling import permutation_test as permutation_test

__all__ = [
    "Interval",
    "McNemar",
    "Rate",
    "cluster_bootstrap",
    "e_process",
    "holm",
    "mcnemar",
    "paired_bootstrap",
    "paired_score_interval",
    "permutation_test",
    "rate",
    "wilson",
]
