"""What a second costs: sensors, sampler, and the arithmetic from samples to joules."""
