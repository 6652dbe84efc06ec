"""Alignment for honesty (arXiv 2312.07000): supervised fine-tuning on what the model itself knows."""
