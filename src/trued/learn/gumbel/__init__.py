"""What the Gumbel-max trick draws in finite precision."""
