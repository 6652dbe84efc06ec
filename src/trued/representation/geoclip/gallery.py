"""The gallery of GeoCLIP: the places that a picture may be from, encoded once and searched many times.

Encoding 100,000 places takes minutes on a desktop and a search takes milliseconds, so an encoded gallery is kept on
disk under a hash of the encoder's weights and the places.

Knows places, unit vectors and their inner products. Knows nothing of pictures.
"""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trued.data.globe import check_places
from trued.errors import InputError
from trued.files import CACHE, cache_dir, whole_folder
from trued.representation.geoclip.location_encoder import LocationEncoder
from trued.representation.geoclip.search import SearchResult, places_to_return

BLOCK = 1 << 15  # vectors compared at once: 64 MB of them at 512 numbers each
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gallery:
    """Places and their unit vectors. Its search is exact.

    Attributes:
        places: degrees.
        vectors: what the location encoder made of them, in float32 or float16.
    """

    places: Float[Tensor, "places 2"]
    vectors: Float[Tensor, "places dim"]

    def __post_init__(self) -> None:
        if len(self.places) != len(self.vectors) or not len(self.places):
            raise InputError(f"{len(self.places)} places and {len(self.vectors)} vectors: give as many, one at least")
        check_places(self.places)

    def __len__(self) -> int:
        return len(self.places)

    @classmethod
    def encode(cls, places: Float[Tensor, "places 2"], encoder: LocationEncoder, *, keep: bool = False) -> Gallery:
        """Encode places.

        Args:
            places: degrees.
            encoder: what encodes them.
            keep: keep the vectors on disk (float16), and take them from there next time.

        Raises:
            InputError: no places, or coordinates that are none.
        """
        places = check_places(places).float()
        if not keep:
            return cls(places, encoder.embed(places))
        from safetensors.torch import load_file, save_file

        key = hashlib.sha256(encoder.fingerprint().encode() + places.cpu().contiguous().numpy().tobytes()).hexdigest()
        folder = cache_dir() / "galleries" / key[:32]
        file = folder / "gallery.safetensors"
        if not file.is_file():
            _log.info("encoding %d places", len(places))
            with whole_folder(folder, kind=CACHE) as work:
                save_file({"vectors": encoder.embed(places).half()}, work / file.name)
        return cls(places, load_file(file)["vectors"])

    def search(self, queries: Float[Tensor, "queries dim"], top_k: int = 5, *, scale: float = 1.0) -> SearchResult:
        """Compare every query with every place, block by block.

        Args:
            queries: unit vectors.
            top_k: how many places to return; a gallery with fewer gives all of them.
            scale: inverse temperature of the probabilities.

        Raises:
            InputError: `top_k` is below 1.
        """
        top_k = places_to_return(top_k, len(self))
        queries = queries.float()
        cosines = torch.full((len(queries), 0), 0.0)
        indices = torch.zeros((len(queries), 0), dtype=torch.long)
        total = torch.full((len(queries),), -math.inf)
        for start in range(0, len(self), BLOCK):
            scores = queries @ self.vectors[start : start + BLOCK].float().T
            total = torch.logaddexp(total, (scale * scores).logsumexp(1))
            best, where = scores.topk(min(top_k, scores.shape[1]), dim=1)
            cosines, order = torch.cat([cosines, best], 1).topk(min(top_k, cosines.shape[1] + best.shape[1]), dim=1)
            indices = torch.cat([indices, where + start], 1).gather(1, order)
        return SearchResult(indices, cosines, (scale * cosines - total[:, None]).exp())
