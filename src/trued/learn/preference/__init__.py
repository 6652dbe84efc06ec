"""Preference losses as pure functions of log-probabilities.

Knows the log-probabilities that a policy, and where needed a reference, gives to pairs of replies. Knows nothing of
models, tokens or training loops. A loss is a small function of a `PairLogProbs`; `preference_loss` chooses one by name.

Notation, per pair: lp(y) the summed log-probability of reply y, n its length, r(y) = lp(y) - lp_ref(y) the log-ratio,
Delta = r(chosen) - r(rejected), s the logistic function. Names and values are those of TRL, which
`benchmarks/preference_parity.py` checks to 1e-6; where a paper and TRL differ, the docstring says which is meant.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
