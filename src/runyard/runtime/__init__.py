"""What a user's script may import inside an attempt."""
