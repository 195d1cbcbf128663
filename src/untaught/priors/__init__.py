"""What an untrained network is, and what it is shown in each iteration."""
