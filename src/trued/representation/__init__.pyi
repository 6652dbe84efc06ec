from .embeddings import features_of as features_of
from .embeddings import read_embeddings as read_embeddings
from .features import TextEncoder as TextEncoder
from .features import module_features as module_features
from .geoclip.location_encoder import LocationEncoder as LocationEncoder
from .geoclip.model import GeoCLIP as GeoCLIP
from .heads import Standardize as Standardize
from .heads import canonical as canonical
from .retrieval import class_embeddings as class_embeddings
from .retrieval import ranks as ranks
from .retrieval import recall_at as recall_at
from .retrieval import retrieve as retrieve
from .retrieval import zero_shot as zero_shot
from .space import Quality as Quality
from .space import SharedSpace as SharedSpace
from .space import quality as quality
from .structure.layers import LayerFeatures as LayerFeatures
from .structure.layers import select_layers as select_layers
from .structure.penalty import StructureLoss as StructureLoss
from .structure.penalty import structure_loss as structure_loss
from .structure.train import Aligner as Aligner

__all__ = [
    "Aligner",
    "GeoCLIP",
    "LayerFeatures",
    "LocationEncoder",
    "Quality",
    "SharedSpace",
    "Standardize",
    "StructureLoss",
    "TextEncoder",
    "canonical",
    "class_embeddings",
    "features_of",
    "module_features",
    "quality",
    "ranks",
    "read_embeddings",
    "recall_at",
    "retrieve",
    "select_layers",
    "structure_loss",
    "zero_shot",
]
