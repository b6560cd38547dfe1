"""What checks are made with: samples, stored results, and disturbances."""
