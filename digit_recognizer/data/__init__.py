"""CSV tables, dataset sources, folds, augmentation and photographed handwriting; imports no Keras."""
