from .alignment_recovery.baselines import (
    resta as resta,
)
from .alignment_recovery.baselines import (
    restore_equally as restore_equally,
)
from .alignment_recovery.baselines import (
    restore_layers as restore_layers,
)
from .alignment_recovery.config import RecoveryConfig as RecoveryConfig
from .alignment_recovery.recover import (
    RecoveryResult as RecoveryResult,
)
from .alignment_recovery.recover import (
    RecoveryStep as RecoveryStep,
)
from .alignment_recovery.recover import (
    aligned_view as aligned_view,
)
from .alignment_recovery.recover import (
    recover as recover,
)
from .task import task_score as task_score
from .task import task_scores as task_scores

__all__ = [
    "RecoveryConfig",
    "RecoveryResult",
    "RecoveryStep",
    "aligned_view",
    "recover",
    "resta",
    "restore_equally",
    "restore_layers",
    "task_score",
    "task_scores",
]
