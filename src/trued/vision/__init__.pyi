from .efficientnet_lite import EfficientNetLite0 as EfficientNetLite0
from .encoder import ImageEncoder as ImageEncoder
from .encoder import Pictures as Pictures
from .picture import picture_tensor as picture_tensor
from .picture import read_picture as read_picture
from .picture import square_picture as square_picture
from .views import Views as Views

__all__ = [
    "EfficientNetLite0",
    "ImageEncoder",
    "Pictures",
    "Views",
    "picture_tensor",
    "read_picture",
    "square_picture",
]
