"""The family sweep: does trued compute what plain transformers computes, on a tiny random model of every family?

`python -m tests.families` runs it; docs/models.md holds its table.
"""
