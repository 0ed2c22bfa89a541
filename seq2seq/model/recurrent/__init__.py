"""Recurrent encoder and decoder: cells, layers, and the placements of attention."""
