# certs.py: an authority of a test's own, and certificates by it, good and bad ones
import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write(path, data, mode=0o644):
    """As it is replaced in earnest: another file takes the name."""
    with open(path + ".new", "wb") as f:
        os.fchmod(f.fileno(), mode)
        f.write(data)
    os.rename(path + ".new", path)


def pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Authority:
    def __init__(self, name="an authority"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        self.cert = self._sign(self.name, self.key.public_key(), -1, 2, True)
        self.pem = self.cert.public_bytes(serialization.Encoding.PEM)

    def _sign(self, name, public, begin, end, ca, more=()):
        day = datetime.timedelta(days=1)
        now = datetime.datetime.utcnow()
        b = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(
            public).serial_number(x509.random_serial_number()).not_valid_before(
                now + begin * day).not_valid_after(now + end * day).add_extension(
                    x509.BasicConstraints(ca, None), True)
        for x in more:
            b = b.add_extension(x, False)
        return b.sign(self.key, hashes.SHA256())

    def give(self, top, name, address="127.0.0.1", dns=None, days=(-1, 2)):
        """NAME.crt and NAME.key in that folder: for an address and a DNS name, each if it is one,
        and from and until so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(address))] if address else []
        names += [x509.DNSName(dns)] if dns else []
        more = [x509.SubjectAlternativeName(names)] if names else []
        cert = self._sign(_name(name), key.public_key(), *days, False, more)
        write("%s/%s.crt" % (top, name), cert.public_bytes(serialization.Encoding.PEM))
        write("%s/%s.key" % (top, name), pem(key), 0o600)
        return "%s/%s.crt" % (top, name), "%s/%s.key" % (top, name)
