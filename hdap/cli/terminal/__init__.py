"""What every command prints through, and the one way to open the database."""
