"""What each data set contributes to each loss while training: measured, summed over processes, and put into words.

`replay` computes the losses of a training step again for some of its images, and `measure` does so for each data set in every
process. `sums` holds the totals and turns them into log entries, and `words` writes sentences about them.
"""
