"""OpenAI-compatible endpoints as judges, attackers and targets."""
