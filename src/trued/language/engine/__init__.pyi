from .card import AdapterCard as AdapterCard
from .embedded import EmbeddedModel as EmbeddedModel
from .embedded import embedded_model as embedded_model
from .embedder import SentenceEmbedder as SentenceEmbedder
from .model import LanguageModel as LanguageModel
from .origin import Origin as Origin
from .precision import in_precision as in_precision
from .precision import served as served

__all__ = [
    "AdapterCard",
    "EmbeddedModel",
    "LanguageModel",
    "Origin",
    "SentenceEmbedder",
    "embedded_model",
    "in_precision",
    "served",
]
