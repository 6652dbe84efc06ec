"""Papers by e-mail: subscribers, digests, and the sending of both."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
