from .attacker import Attacker as Attacker
from .autodan.mutator import (
    IdentityMutator as IdentityMutator,
)
from .autodan.mutator import (
    ModelMutator as ModelMutator,
)
from .autodan.mutator import (
    Mutator as Mutator,
)
from .autodan.mutator import (
    SynonymMutator as SynonymMutator,
)
from .autodan.search import AutoDAN as AutoDAN
from .behaviors import read_behaviors as read_behaviors
from .behaviors import shipped_behaviors as shipped_behaviors
from .contract import (
    Attack as Attack,
)
from .contract import (
    Behavior as Behavior,
)
from .contract import (
    ChatTarget as ChatTarget,
)
from .contract import (
    Cost as Cost,
)
from .contract import (
    TestCase as TestCase,
)
from .direct import Direct as Direct
from .embedding import EmbeddingAttack as EmbeddingAttack
from .gcg.result import GCGResult as GCGResult
from .gcg.search import GCG as GCG
from .pair import PAIR as PAIR
from .pair_lite import PAIRLite as PAIRLite
from .pap import PAP as PAP
from .persuasion import PERSUASION as PERSUASION
from .persuasion import Technique as Technique
from .prefill import Prefill as Prefill
from .red_team import RedTeam as RedTeam
from .result import AttackCost as AttackCost
from .result import SuiteResult as SuiteResult
from .scorer import (
    CosineTopic as CosineTopic,
)
from .scorer import (
    LabelScorer as LabelScorer,
)
from .scorer import (
    ModelTopic as ModelTopic,
)
from .scorer import (
    Scorer as Scorer,
)
from .scorer import (
    Topic as Topic,
)
from .soft_suffix import SoftSuffixAttack as SoftSuffixAttack
from .success import AttackSuccess as AttackSuccess
from .success import SuccessRate as SuccessRate
from .success import attack_success as attack_success
from .suite import Suite as Suite
from .tap import TAP as TAP
from .templates import Templates as Templates

__all__ = [
    "GCG",
    "PAIR",
    "PAP",
    "PERSUASION",
    "TAP",
    "Attack",
    "AttackCost",
    "AttackSuccess",
    "Attacker",
    "AutoDAN",
    "Behavior",
    "ChatTarget",
    "CosineTopic",
    "Cost",
    "Direct",
    "EmbeddingAttack",
    "GCGResult",
    "IdentityMutator",
    "LabelScorer",
    "ModelMutator",
    "ModelTopic",
    "Mutator",
    "PAIRLite",
    "Prefill",
    "RedTeam",
    "Scorer",
    "SoftSuffixAttack",
    "SuccessRate",
    "Suite",
    "SuiteResult",
    "SynonymMutator",
    "Technique",
    "Templates",
    "TestCase",
    "Topic",
    "attack_success",
    "read_behaviors",
    "shipped_behaviors",
]
