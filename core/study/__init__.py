"""From a study file to a plan: its keys (`file`), what they mean (`resolve`), what is to be done (`plan`)."""
