#include "certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cert {
	X509 *x;
	EVP_PKEY *key;
};

static void
cert_extend(X509 *x, const X509 *by, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, (X509 *)(uintptr_t)by, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!e || X509_add_ext(x, e, -1) != 1)
		abort();
	X509_EXTENSION_free(e);
}

struct cert *
cert_make(const char *cn, const char *san, const struct cert *by, int from, int to)
{
	static long serial = 1;
	struct cert *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->x = X509_new();
	c->key = EVP_EC_gen("P-256");
	X509_set_version(c->x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c->x), serial++);
	X509_gmtime_adj(X509_getm_notBefore(c->x), (long)from * 86400);
	X509_gmtime_adj(X509_getm_notAfter(c->x), (long)to * 86400);
	X509_set_pubkey(c->x, c->key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(c->x), "CN", MBSTRING_UTF8,
			(const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(c->x, X509_get_subject_name(by ? by->x : c->x));
	cert_extend(c->x, by ? by->x : c->x, NID_basic_constraints,
			san ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (san)
		cert_extend(c->x, by ? by->x : c->x, NID_subject_alt_name, san);
	if (X509_sign(c->x, by ? by->key : c->key, EVP_sha256()) == 0)
		abort();
	return c;
}

void
cert_free(struct cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	free(c);
}

void
cert_write(const struct cert *c, const char *path)
{
	char name[300];

	(void)snprintf(name, sizeof(name), "%s.pem", path);
	FILE *f = fopen(name, "w");
	if (!f || PEM_write_X509(f, c->x) != 1 || fclose(f) != 0)
		abort();
	(void)snprintf(name, sizeof(name), "%s.key", path);
	f = fopen(name, "w");
	if (!f || PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL) != 1 ||
			fclose(f) != 0)
		abort();
}

void
cert_pin(const struct cert *c, char out[64])
{
	unsigned char *der = NULL, sum[32], text[45];
	int n = i2d_PUBKEY(c->key, &der);

	SHA256(der, (size_t)n, sum);
	OPENSSL_free(der);
	EVP_EncodeBlock(text, sum, sizeof(sum));
	(void)snprintf(out, 64, "sha256//%s", (const char *)text);
}
