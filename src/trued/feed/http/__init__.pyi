from .client import Client as Client
from .client import FetchError as FetchError
from .client import default_client as default_client

__all__ = [
    "Client",
    "FetchError",
    "default_client",
]
