"""What really crosses the local memory: the runtime's own calls under a cache simulator; and a machine's own counters."""
