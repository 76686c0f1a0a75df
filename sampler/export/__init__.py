"""The same tokens or texts in other tools' layouts."""
