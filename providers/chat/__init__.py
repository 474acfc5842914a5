"""Chat services: one adapter per wire. Who hosts a wire is an endpoint, which is a setting."""
