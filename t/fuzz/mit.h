/* mit.h: MIT's own reader of Kerberos messages; libkrb5 exports it, and no header has it */
#ifndef T_FUZZ_MIT_H
#define T_FUZZ_MIT_H

#include <krb5.h>

krb5_error_code decode_krb5_ap_req(const krb5_data *code, krb5_ap_req **rep);
krb5_error_code decode_krb5_ap_rep(const krb5_data *code, krb5_ap_rep **rep);
krb5_error_code decode_krb5_authenticator(const krb5_data *code, krb5_authenticator **rep);
krb5_error_code decode_krb5_enc_tkt_part(const krb5_data *code, krb5_enc_tkt_part **rep);
krb5_error_code decode_krb5_ap_rep_enc_part(const krb5_data *code, krb5_ap_rep_enc_part **rep);
void KRB5_CALLCONV krb5_free_ap_req(krb5_context, krb5_ap_req *);
void KRB5_CALLCONV krb5_free_ap_rep(krb5_context, krb5_ap_rep *);
void KRB5_CALLCONV krb5_free_enc_tkt_part(krb5_context, krb5_enc_tkt_part *);

#endif
