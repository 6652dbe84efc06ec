"""The runtime type checker of the tests: an int is a float, as in PEP 484's numeric tower."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
