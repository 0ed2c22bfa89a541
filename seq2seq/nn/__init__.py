"""What attention and models both build on: products of the time steps, dropout, rows, typed lists of modules."""
