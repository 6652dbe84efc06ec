"""Where papers come from: Hugging Face's daily papers, arXiv, and files in several formats."""
