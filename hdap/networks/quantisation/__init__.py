"""Networks in int8, by the quantiser of each ecosystem."""
