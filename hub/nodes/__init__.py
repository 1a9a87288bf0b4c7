"""What hubs say of nodes: verdicts, brakes, adoption, active checks, history and uptime."""
