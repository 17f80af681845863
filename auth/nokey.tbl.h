/* nokey.tbl.h: why there is no key of a session: NOKEY(word, "what to do") */
NOKEY(no_keytab, "give smbgate the cluster's keytab: keytab in smbgate.conf")
NOKEY(no_key_for_ticket,
    "export the keytab again, with every key of the account and of keytab-services")
NOKEY(no_user_hash, "add the user's arcfour-hmac key to the keytab, or use Kerberos")
NOKEY(ntlmv1, "use NTLMv2, or Kerberos")
NOKEY(mechanism, "use Kerberos or NTLMv2")
NOKEY(keyd_died, "see the log of smbgate-keyd, and have the client log on again")
NOKEY(wrong_key, "export the keytab again: the node's password, or the user's, is another one")
