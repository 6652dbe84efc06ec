from .batches import Batches as Batches
from .batches import derived_seed as derived_seed
from .config import FitConfig as FitConfig
from .gradient import mean_gradient as mean_gradient
from .interrupt import Interrupted as Interrupted
from .loop import FitResult as FitResult
from .loop import StepLog as StepLog
from .loop import TrainingDiverged as TrainingDiverged
from .loop import fit as fit

__all__ = [
    "Batches",
    "FitConfig",
    "FitResult",
    "Interrupted",
    "StepLog",
    "TrainingDiverged",
    "derived_seed",
    "fit",
    "mean_gradient",
]
