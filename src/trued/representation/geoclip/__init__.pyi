from .backbone import open_backbone as open_backbone
from .backbone import open_pictures as open_pictures
from .gallery import Gallery as Gallery
from .gallery_index import GalleryIndex as GalleryIndex
from .location_encoder import FourierFeatures as FourierFeatures
from .location_encoder import LocationEncoder as LocationEncoder
from .location_encoder import LocationEncoderConfig as LocationEncoderConfig
from .metrics import distance_accuracy as distance_accuracy
from .metrics import error_curve as error_curve
from .metrics import errors_km as errors_km
from .metrics import game_score as game_score
from .metrics import spread_km as spread_km
from .metrics import summary as summary
from .model import GeoCLIP as GeoCLIP
from .model import GeoCLIPConfig as GeoCLIPConfig
from .model import Guess as Guess
from .model import Heatmap as Heatmap
from .places import read_places as read_places
from .places import released_places as released_places
from .queue import LocationQueue as LocationQueue
from .search import Searchable as Searchable
from .search import SearchResult as SearchResult
from .train import GeoCLIPTraining as GeoCLIPTraining

__all__ = [
    "FourierFeatures",
    "Gallery",
    "GalleryIndex",
    "GeoCLIP",
    "GeoCLIPConfig",
    "GeoCLIPTraining",
    "Guess",
    "Heatmap",
    "LocationEncoder",
    "LocationEncoderConfig",
    "LocationQueue",
    "SearchResult",
    "Searchable",
    "distance_accuracy",
    "error_curve",
    "errors_km",
    "game_score",
    "open_backbone",
    "open_pictures",
    "read_places",
    "released_places",
    "spread_km",
    "summary",
]
