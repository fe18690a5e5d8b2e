"""The truth: cells in series, their voltage, heat and age. It knows no firmware and no bus."""
