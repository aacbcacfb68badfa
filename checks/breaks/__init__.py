"""What sabotages break things with: each break is seen to have landed, and undone exactly."""
