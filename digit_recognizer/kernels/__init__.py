"""What is carried to Kaggle, and what runs there."""
