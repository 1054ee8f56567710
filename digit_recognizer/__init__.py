"""Kaggle's Digit Recognizer: from train.csv to a submission, and to an explanation of what the net learned."""

__version__ = "0.1.0"
