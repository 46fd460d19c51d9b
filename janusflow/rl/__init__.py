"""Learning from verdicts: rollouts, rewards, and the losses that learn from them."""
