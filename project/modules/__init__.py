"""LightningModules and LightningDataModules of your own, for training that `SupervisedModule` cannot express."""
