"""Packs in other storage classes: which may go there, moving them, and having them back."""
