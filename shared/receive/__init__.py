"""Taking telemetry in, the same on edges and hubs: the OTLP door, and what gathers small bodies."""
