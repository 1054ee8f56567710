"""CSV tables, where they come from, their classes, folds and augmentation; imports no Keras."""
