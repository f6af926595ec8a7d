"""Digits in scenes: handwriting on textures, in data sets with different kinds of errors, and printed letters to pretrain on."""
