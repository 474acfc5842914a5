"""Twins of GPU clouds over real HTTP on loopback: their paths, fields, status words and quirks, as clients see them.

    async with VastTwin(clock=clock, with_machines=True) as twin:
        twin.faults.once(CloudFaultKind.LOSE_ANSWER, on=Call.CREATE)
        ...  # talk to twin.base_url with twin.key; then twin.rentals, twin.billed(id), twin.invoice(), twin.requests

They never call anybody and know nothing of our own adapters. Begin reading with `market.py` (the physics all share) and
`twin.py` (how a call meets them), then one cloud: `vast.py`.
"""
