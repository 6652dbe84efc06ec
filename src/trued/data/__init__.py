"""Prompts, questions, corpora and pictures: records and tensors, nothing learned. One loader a file.

`prompts` itself is imported from its module, `trued.data.prompts`, since the two share their name; so are `cities` and
`plays`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
