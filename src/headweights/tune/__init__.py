"""`headweights tune`: searches the weights of a user's config, first by a screening, then with Optuna.

`planning` reads from a config what is searched; `studies` keeps the search in a study of Optuna; `trials` trains. `run` calls all
of them, and `result` prints and writes the output.
"""
