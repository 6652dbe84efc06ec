from .layers import LayerChoice as LayerChoice
from .layers import LayerFeatures as LayerFeatures
from .layers import paired as paired
from .layers import select_layers as select_layers
from .low_data import Aligned as Aligned
from .low_data import Measured as Measured
from .low_data import Split as Split
from .low_data import align_two as align_two
from .low_data import compared as compared
from .penalty import StructureLoss as StructureLoss
from .penalty import structure_loss as structure_loss
from .penalty import walks as walks
from .penalty_sweep import Trial as Trial
from .penalty_sweep import sweep as sweep
from .train import Aligner as Aligner

__all__ = [
    "Aligned",
    "Aligner",
    "LayerChoice",
    "LayerFeatures",
    "Measured",
    "Split",
    "StructureLoss",
    "Trial",
    "align_two",
    "compared",
    "paired",
    "select_layers",
    "structure_loss",
    "sweep",
    "walks",
]
