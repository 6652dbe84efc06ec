"""The check: is a model safe, robust and useful, on prompts that training never saw?"""
