"""The search as a study of Optuna: its storages and trials (`study`), and the screening that it begins with (`screening`)."""
