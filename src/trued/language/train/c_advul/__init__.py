"""Adversarial training on continuous attacks: C-AdvUL and C-AdvIPO (arXiv 2405.15589).

At each step the prompts' embeddings are attacked (`EmbeddingAttack`) so that a harmful-affirmative target becomes
likely; under that perturbation the model learns to make the target unlikely and a safe reply likely. C-AdvUL adds
cross-entropy on utility rows; C-AdvIPO compares with the base model instead and, in the paper, needs no utility data.

Constants are those of the released code (sophie-xhonneux/Continuous-AdvTrain, MIT). Knows log-probabilities and
batches. Knows nothing of judges, evaluation, cards or the terminal.

Differences from the released code, on purpose:

- references are indexed by example (there they are popped from the wrong end);
- tokens are masked by position (there by label > 0, which loses token 0);
- "ce" and the pull towards safe replies are means over replies of each reply's token mean (there means over all tokens
  of the batch, in which long replies weigh more);
- the base's scores of C-AdvIPO are windowed like the policy's, so that a model that has not moved has the margin 0
  (there they are plain means, and sums for the losses other than IPO).
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
