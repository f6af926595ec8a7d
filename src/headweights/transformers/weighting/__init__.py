"""Weighs the losses of a model.

`criteria` says in a table which methods compute the losses of each criterion, and from which predictions. `models` says which
criterion each model class has, or why a class cannot be weighted. `labels` reads what a batch weighs from its label dicts.
`gated_criterion` gates predictions on their way into a criterion, and `weigh` makes a model weighted.
"""
