from .digest import Delivery as Delivery
from .digest import send_digests as send_digests
from .settings import MailServer as MailServer
from .smtp import MailServerError as MailServerError
from .smtp import SmtpClient as SmtpClient
from .subscribers import confirm as confirm
from .subscribers import request_subscription as request_subscription
from .subscribers import unsubscribe as unsubscribe

__all__ = [
    "Delivery",
    "MailServer",
    "MailServerError",
    "SmtpClient",
    "confirm",
    "request_subscription",
    "send_digests",
    "unsubscribe",
]
