"""A fitted model is taught new classes from a few pictures."""
