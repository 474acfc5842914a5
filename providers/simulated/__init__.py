"""The simulated world: services that speak the real protocols over loopback, for the demo and the tests.

Knows nothing of our adapters: it is built to the wires, so that anybody's client works against it. The program itself
never imports it and only sees its base URLs. Begin with `services.py`; `python -m providers.simulated` runs it alone.
"""
