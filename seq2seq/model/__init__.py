"""The encoder-decoder: encoder, bridge, placement of the context, recurrent cells."""
