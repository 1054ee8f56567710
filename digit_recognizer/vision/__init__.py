"""Pictures to glyphs in MNIST's form, and the classifier that reads them."""
