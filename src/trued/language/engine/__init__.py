"""The engine: any Hugging Face causal language model, made quick for chats, scores and training.

Knows tokens, chats, batches and caches. Knows nothing of papers, attacks or judges.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
