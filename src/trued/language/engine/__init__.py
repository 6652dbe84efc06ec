"""The engine: any Hugging Face causal language model, made quick for chats, scores and training.

Knows tokens, chats, batches and caches. Knows nothing of papers, attacks or judges.
"""
