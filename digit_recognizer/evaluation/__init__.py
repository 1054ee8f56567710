"""Metrics, comparisons and ensembles of saved predictions; imports no Keras."""
