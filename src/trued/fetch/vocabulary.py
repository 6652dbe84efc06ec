"""Whether a model has an embedding for every token of its tokenizer.

Text tokenizers of multimodal families name tokens for pictures and sounds that their text models cannot embed. Those
tokens are taken out of the tokenizer, so that their names are ordinary text. Any other excess is an error.

Knows transformers' tokenizers. Knows nothing of files.
"""

from __future__ import annotations

import json
import re
from typing import Any

from trued.errors import InputError

_PLACEHOLDER = re.compile(r"image|img|audio|video|vision|speech", re.IGNORECASE)


def fit_vocabulary(tokenizer: Any, rows: int, *, name: str) -> Any:
    """Return the tokenizer, whose every id has one of the model's `rows` embeddings.

    Args:
        tokenizer: a transformers tokenizer.
        rows: of the model's input embeddings.
        name: what to call the model.

    Raises:
        InputError: it has tokens that the model has no embedding for.
    """
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    if not beyond:
        return tokenizer
    special = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token}
    placeholders = all(_PLACEHOLDER.search(token) for token in beyond) and not special & set(beyond)
    if not (placeholders and getattr(tokenizer, "backend_tokenizer", None) is not None):
        first = min(beyond, key=beyond.__getitem__)
        raise InputError(
            f"{name}: its tokenizer has {len(beyond)} tokens that the model has no embedding for, such as {first!r} "
            f"({beyond[first]}, and the model has {rows} rows): resize the model's embeddings and train them, or give "
            "the tokenizer that belongs to the model"
        )
    return _without(tokenizer, set(beyond.values()))


def _without(tokenizer: Any, ids: set[int]) -> Any:
    from tokenizers import Tokenizer

    facts = json.loads(tokenizer.backend_tokenizer.to_str())
    facts["added_tokens"] = [token for token in facts["added_tokens"] if token["id"] not in ids]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(facts))
    return tokenizer
