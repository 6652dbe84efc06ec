"""Masked diffusion language models: their loss, training and samplers."""
