"""The speed of training and decoding, compared with the machine's own rates and with other toolkits."""
