"""What is searched: `plan` reads data sets, heads and validation from a config, `space` knows no framework.

`shortening` makes trainings shorter, and `sampling` draws data sets at rates of their own.
"""
