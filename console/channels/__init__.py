"""Ways on which an alert reaches the user, one file each.

A channel sends what it is given or raises `ChannelFailed` with the reason. It has a limit of its own for that, and
knows nothing of levels, subjects told before, or other channels: that is `console/notify.py`. Begin at `base.py`.
"""
