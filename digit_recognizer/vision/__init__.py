"""From pictures to glyphs in MNIST's form, and their classification."""
