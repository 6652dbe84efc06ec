from .chat import ChatEndpoint as ChatEndpoint
from .request import CalledOffError as CalledOffError

__all__ = [
    "CalledOffError",
    "ChatEndpoint",
]
