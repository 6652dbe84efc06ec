"""What many small steps of a process leave of a law, when each step is drawn by 32-bit Gumbel noise.

The process is ancestral sampling of a masked position whose prediction stays p, on the linear grid: step k of N leaves
MASK with probability 1 / (N - k + 1). With exact noise its tokens have the law p (arXiv 2409.02908, Section 5).

Knows probabilities. Knows nothing of how they are drawn, or of what the classes stand for.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from trued.learn.gumbel.rounded import rounded_move_law
from trued.learn.gumbel.truncated import effective_temperature, truncated_move_law


def after_steps(p: Float[Tensor, " classes"], steps: int, *, rounded: bool = False) -> dict[str, float]:
    """Return in closed form what is drawn after `steps` steps.

    Args:
        p: the law of the classes; it has no class of probability 0.
        steps: 1 is a plain draw.
        rounded: noise beyond the end of 32 bits is rounded to it, as it is in fact; otherwise it is cut off, as the
            paper has it.

    Returns:
        Of the tokens "surprisal" under p and "entropy", in nats, and the effective "temperature"; where the noise is
        cut off also "last", the share of positions that is left for the last step.

    Raises:
        InputError: `p` is no distribution.
    """
    moves = [1 / k for k in range(steps, 0, -1)]
    last = {}
    if rounded:
        law = rounded_move_law(p, moves)
    else:
        law, left = truncated_move_law(p, moves)
        last = {"last": float((1 - left[:-1]).prod())}
    law = law / law.sum()
    drawn = law > 0
    return {
        "surprisal": float(-(law * p.log()).sum()),
        "entropy": float(-(law[drawn] * law[drawn].log()).sum()),
        "temperature": effective_temperature(law, p),
        **last,
    }
