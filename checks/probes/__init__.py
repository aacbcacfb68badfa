"""What checks look through: effective settings, sockets, handshakes, answers; one noun a module."""
