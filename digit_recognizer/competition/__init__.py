"""Submission files, the ledger and everything that talks to Kaggle; imports no Keras."""
