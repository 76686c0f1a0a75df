"""Personal data by its form and check digits: e-mail, telephone, IP, identity, card and account numbers."""
