"""From a configuration to fitted models: inputs, schedules, precision, cross-validation, ensembling, run folders."""
