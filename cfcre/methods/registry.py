"""Methods by name."""

from __future__ import annotations

from cfcre.errors import ConfigurationError
from cfcre.methods.base import Method
from cfcre.methods.cear import CEAR
from cfcre.methods.cf_cre import CFCRE
from cfcre.methods.cf_cre_plus import CFCREPlus
from cfcre.methods.crl import CRL
from cfcre.methods.emar import EMAR
from cfcre.methods.emar_aca import EMARACA
from cfcre.methods.finetune import Finetune
from cfcre.methods.joint import Joint
from cfcre.methods.rp_cre import RPCRE

__all__ = ["METHODS", "get_method"]

#: Every method; :data:`cfcre.config.learning.MethodName` lists the same names.
METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (CFCRE, CFCREPlus, EMAR, EMARACA, RPCRE, CRL, CEAR, Finetune, Joint)
}


def get_method(name: str) -> Method:
    """The method of that name.

    Raises:
        ConfigurationError: There is none.
    """
    if name not in METHODS:
        raise ConfigurationError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]()
