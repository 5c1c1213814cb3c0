"""The configuration of least energy that holds its limits, found on a share of the speech that trying all would take.

Read `space → partition → chances → race → proof → run`. A stage measures some configurations on a part of the speech as an
ordinary bench; the race gives audio to what may be the best; the proof is of speech that is held back.
"""
