"""Who transcribes: one thin adapter per runtime behind one Protocol."""
