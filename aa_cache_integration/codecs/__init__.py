"""Turn mapped instances, rows and plain values into bytes, and back; never by pickle.

`json` is the public interchange form, `mapper` the compiled internal one, `plain` the form of values that users keep themselves.
"""
