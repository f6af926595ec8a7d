"""The mix of data sets: what each weighs in each loss at each moment, the table that shows it, and what looks wrong about it.

`mix` computes weights and shares, `table` prints them, and `problems` finds what will probably not work as intended.
"""
