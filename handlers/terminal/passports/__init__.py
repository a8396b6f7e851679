"""Commands for passports and the keys that sign them."""
