"""Language models: the engine, endpoints, data, judges, and one file a method."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trued.language.engine.model import LanguageModel

__all__ = ["LanguageModel"]


def __getattr__(name: str) -> Any:
    """Import the engine, and torch with it, only when it is asked for."""
    if name == "LanguageModel":
        from trued.language.engine.model import LanguageModel

        return LanguageModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
