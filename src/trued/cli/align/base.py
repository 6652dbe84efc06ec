"""`trued align base`: make the refusal-tuned base that several experiments stand on, once, in the cache.

Knows options and how to print. Knows nothing of how it is trained or kept: `aligned_base` does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trued.cli.methods import METHODS, options
from trued.cli.options import JsonSwitch, Model
from trued.cli.settings import laid_over
from trued.cli.terminal import console, messages, print_json

if TYPE_CHECKING:
    from trued.language.train.recipe import TradeOff

    RecipeOptions = Any
else:
    RecipeOptions = options("align base", group="Settings")


def base(model: Model = None, *, recipe: RecipeOptions = None, as_json: JsonSwitch = False) -> int:
    """Make the refusal-tuned base model, or find it in the cache: whole float32 weights, for experiments and repairs.

    Exit code 1 if it refuses too little or too much on the validation prompts.
    """
    from trued.cli.align.finish import look_line
    from trued.language.train.aligned_base import aligned_model
    from trued.language.train.recipe import TradeOff

    settings = laid_over(METHODS["align base"].load(), recipe)

    def say(look: TradeOff) -> None:
        messages().print(look_line(look))

    def wait(stage: str, done: int, total: int) -> None:
        messages().print(stage, soft_wrap=True)

    made = aligned_model(model, settings, report=wait, looked=say, progress=True)
    before, after = (TradeOff(**made.about[key]) for key in ("before", "after"))
    if as_json:
        about = {key: value for key, value in made.about.items() if key != "files"}
        print_json({"folder": str(made.folder), **about})
    else:
        out = console()
        out.print(f"{made.about['base']} by recipe {made.about['hash']}, on validation prompts")
        out.print(f"before   {look_line(before)}")
        out.print(f"after    {look_line(after)}")
        out.print(f"model    {made.folder}", soft_wrap=True)
    if not made.reached:
        messages().print(
            f"trued: it should refuse at least {settings.least_refused:.0%} of harmful requests and at most "
            f"{settings.most_over_refused:.0%} of look-alikes: change its recipe, such as --recipe.steps"
        )
    return 0 if made.reached else 1
