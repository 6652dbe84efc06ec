from .engine.model import LanguageModel as LanguageModel

__all__ = [
    "LanguageModel",
]
