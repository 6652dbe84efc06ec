"""The lab: runs an experiment, keeps what it measured, computes verdicts and writes the report.

Knows experiments as functions `(lab: Lab) -> None` and claims as the cards state them. Knows nothing of any method:
the experiment is the only place where a method and the lab meet, and it is loaded here by its name alone.
"""
