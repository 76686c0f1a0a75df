"""What crawling did to a text: marks of damage, strange matter around it, and what is left of its own."""
