"""Representations: shared spaces of several modalities, and what is compared in them."""
