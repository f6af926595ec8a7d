"""What a weight is and whom it concerns: its value, its address, its course over time, and the block in a config that gives it.

`weight` checks a number, `addresses` names losses of heads, `schedules` lets a weight change while the training runs, and `block`
reads ``weights=dict(<data set>=<weight or table>)``.
"""
