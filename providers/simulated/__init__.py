"""The simulated world: services that speak the real protocols over loopback, for the demo and the tests."""
