"""What Wattscribe itself costs: each module measures one thing and prints it as JSON; `python -m benchmarks` runs them all."""
