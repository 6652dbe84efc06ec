"""The check: is a model safe, robust and useful, on prompts that training never saw?

The package is callable, as its function `check` is: ``from trued.language.measure import check`` means the same whether
or not a module of this package was imported before.
"""

import sys
from types import ModuleType
from typing import Any

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)


class _Callable(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.check(*args, **options)


sys.modules[__name__].__class__ = _Callable
