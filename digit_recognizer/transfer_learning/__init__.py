"""Transfer learning: a trained model learns new classes from a few pictures."""
