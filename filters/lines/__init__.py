"""Lines of menus, counters and notices: their features, their phrases, which of them are cut."""
