"""The edge: the agent on a machine, which writes down what happens there and pushes it to hubs."""
