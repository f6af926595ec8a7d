"""How the losses of a head are weighted.

`subclass` builds the weighted subclass of a head and picks one of four mechanisms: weighted targets of `anchors`, `rois` or
`queries`, so that the log shows the weights, and the gate (`gated`) for all other heads. `entry_points` is the table of the
families of heads and the place for special cases. `losses` knows which loss modules multiply by a weight.
"""
