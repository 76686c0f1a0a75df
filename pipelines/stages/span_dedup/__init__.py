"""Repeated paragraphs and sentences: who owns a span, what is cut."""
