"""One experiment on many boards, and one corpus over many: Dask distributes, each board keeps a journal of its own.

Read `hosts → cluster → coordinate`; on a board `on_board → runner`, which is `runs.runner` in a process of its own beside Dask's
worker. Results are merged when they are read (`results/fleet.py`). Needs the extra `fleet`.
"""
