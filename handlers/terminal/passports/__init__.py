"""The commands for passports and the keys that sign them."""
