"""Use cases: load, let the core decide, save state and effects in one transaction, carry the effects out."""
