"""Where data enters the edge: OTLP over HTTP, this host's metrics, and followed log files."""
