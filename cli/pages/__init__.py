"""How a page looks: layout, figures, colours."""
