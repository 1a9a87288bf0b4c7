"""Questions about the chunk log: logs, metrics and traces, read from the chunks themselves."""
