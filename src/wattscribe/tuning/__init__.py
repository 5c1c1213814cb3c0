"""The configuration of least energy that holds its limits, found on a share of the speech that trying all would take.

Read `space → partition → race → proof → run`. A stage measures some configurations on a part of the speech as an ordinary bench;
the race drops what is certainly not the best; the proof transcribes speech that nothing was chosen on.
"""
