from .categorical import sample_categorical as sample_categorical
from .contrastive import clip_loss as clip_loss
from .contrastive import info_nce as info_nce
from .contrastive import siglip_loss as siglip_loss
from .fit.config import FitConfig as FitConfig
from .fit.loop import FitResult as FitResult
from .fit.loop import StepLog as StepLog
from .fit.loop import TrainingDiverged as TrainingDiverged
from .packing import PackedBatch as PackedBatch
from .packing import pack as pack
from .packing import packed as packed
from .preference.choice import PREFERENCE_LOSSES as PREFERENCE_LOSSES
from .preference.choice import preference_loss as preference_loss
from .preference.pairs import (
    REFERENCE_FREE as REFERENCE_FREE,
)
from .preference.pairs import (
    PairLogProbs as PairLogProbs,
)
from .preference.pairs import (
    PreferenceOutput as PreferenceOutput,
)
from .preference.windowed import windowed_mean as windowed_mean
from .similarity import cka as cka
from .similarity import effective_rank as effective_rank
from .similarity import mutual_knn as mutual_knn
from .similarity import rsa as rsa
from .statistics.betting import e_process as e_process
from .statistics.interval import Interval as Interval
from .statistics.multiple import holm as holm
from .statistics.paired import McNemar as McNemar
from .statistics.paired import mcnemar as mcnemar
from .statistics.paired import paired_score_interval as paired_score_interval
from .statistics.rates import Rate as Rate
from .statistics.rates import rate as rate
from .statistics.rates import wilson as wilson
from .statistics.resampling import (
    cluster_bootstrap as cluster_bootstrap,
)
from .statistics.resampling import (
    paired_bootstrap as paired_bootstrap,
)
from .statistics.resampling import (
    permutation_test as permutation_test,
)
from .trace import output_of as output_of
from .trace import outputs_of as outputs_of
from .weights import (
    Patch as Patch,
)
from .weights import (
    WeightsFolder as WeightsFolder,
)
from .weights import (
    add_difference as add_difference,
)
from .weights import (
    dare as dare,
)
from .weights import (
    lora_scaled as lora_scaled,
)
from .weights import (
    weights_of as weights_of,
)

__all__ = [
    "PREFERENCE_LOSSES",
    "REFERENCE_FREE",
    "FitConfig",
    "FitResult",
    "Interval",
    "McNemar",
    "PackedBatch",
    "PairLogProbs",
    "Patch",
    "PreferenceOutput",
    "Rate",
    "StepLog",
    "TrainingDiverged",
    "WeightsFolder",
    "add_difference",
    "cka",
    "clip_loss",
    "cluster_bootstrap",
    "dare",
    "e_process",
    "effective_rank",
    "holm",
    "info_nce",
    "lora_scaled",
    "mcnemar",
    "mutual_knn",
    "output_of",
    "outputs_of",
    "pack",
    "packed",
    "paired_bootstrap",
    "paired_score_interval",
    "permutation_test",
    "preference_loss",
    "rate",
    "rsa",
    "sample_categorical",
    "siglip_loss",
    "weights_of",
    "wilson",
    "windowed_mean",
]
