"""LightningModules and LightningDataModules of the owner, for what one dict of losses cannot say."""
