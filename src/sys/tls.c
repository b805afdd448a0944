/* Contexts: trust, pins, and sessions kept for resumption. */
#include "postern/tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "postern/buf.h"
#include "postern/clock.h"
#include "postern/must.h"
#include "postern/thread.h"
#include "tls_in.h"

static struct tls *
tls_make(const SSL_METHOD *method, struct err *err)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	ERR_clear_error();
	t->lock = mutex_new();
	t->ctx = SSL_CTX_new(method);
	if (!t->ctx || SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) != 1) {
		(void)err_set(err, 0, "TLS cannot be set up: %s", tls_queue_words());
		tls_free(t);
		return NULL;
	}
	(void)SSL_CTX_set_app_data(t->ctx, t);
	(void)SSL_CTX_set_options(
			t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_mode(t->ctx,
			SSL_MODE_ENABLE_PARTIAL_WRITE |
					SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					SSL_MODE_RELEASE_BUFFERS);
	return t;
}

static bool
tls_set_trust(struct tls *t, const char *ca_file, struct err *err)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(t->ctx);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (!ca_file) {
		if (SSL_CTX_set_default_verify_paths(t->ctx) != 1)
			return err_set(err, 0,
					"the system's certificate authorities: %s",
					tls_queue_words());
		return true;
	}
	if (SSL_CTX_load_verify_file(t->ctx, ca_file) != 1)
		return err_set(err, 0, "certificate authorities %s: %s", ca_file,
				tls_queue_words());
	/* What the administrator names is trusted, be it a root or not. */
	(void)X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	return true;
}

struct tls *
tls_client_new(const struct tls_policy *policy, struct err *err)
{
	struct tls *t = tls_make(TLS_client_method(), err);
	struct span pins = span_of(policy->pin);

	if (!t)
		return NULL;
	t->pin_only = policy->pin && !policy->ca_file;
	t->verify = policy->verify || policy->pin;
	while (pins.n > 0) {
		if (t->n_pins == TLS_PINS_MAX ||
				!tls_pin_cut(&pins, t->pins[t->n_pins])) {
			(void)err_set(err, 0,
					"\"%s\" is no pin: sha256//BASE64 is wanted",
					policy->pin);
			tls_free(t);
			return NULL;
		}
		t->n_pins++;
	}
	if (t->verify && !t->pin_only && !tls_set_trust(t, policy->ca_file, err)) {
		tls_free(t);
		return NULL;
	}
	SSL_CTX_set_verify(t->ctx, t->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
			t->verify ? tls_verify_step : NULL);
	(void)SSL_CTX_set_session_cache_mode(
			t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(t->ctx, tls_session_came);
	return t;
}

/* A client that believes to speak another protocol is being played across
 * protocols (ALPACA). There is no registered name for SMTP to insist on. */
static int
tls_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
		const unsigned char *in, unsigned in_n, void *arg)
{
	static const struct span foreign[] = {
		{ SPAN_INIT("h2") },
		{ SPAN_INIT("http/1.1") },
		{ SPAN_INIT("http/1.0") },
		{ SPAN_INIT("ftp") },
		{ SPAN_INIT("imap") },
		{ SPAN_INIT("pop3") },
	};

	(void)ssl;
	(void)arg;
	*out = NULL; /* none is ever chosen */
	*out_n = 0;
	for (unsigned at = 0; at < in_n && at + 1u + in[at] <= in_n; at += 1u + in[at])
		for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
			if (span_eq(foreign[i],
					    (struct span){ (const char *)in + at + 1,
							    in[at] }))
				return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_NOACK;
}

struct tls *
tls_server_new(const char *certificate, const char *key, struct err *err)
{
	struct tls *t = tls_make(TLS_server_method(), err);
	unsigned char bound[SSL_MAX_SSL_SESSION_ID_LENGTH];
	const char *fault = NULL;

	if (!t)
		return NULL;
	t->server = true;
	if (SSL_CTX_use_certificate_chain_file(t->ctx, certificate) != 1)
		fault = certificate;
	else if (SSL_CTX_use_PrivateKey_file(t->ctx, key, SSL_FILETYPE_PEM) != 1 ||
			SSL_CTX_check_private_key(t->ctx) != 1)
		fault = key;
	if (fault) {
		(void)err_set(err, 0, "%s: %s", fault, tls_queue_words());
		tls_free(t);
		return NULL;
	}
	/* A session of one listener must not open another (ticket isolation). */
	clock_random(bound, sizeof(bound));
	MUST(SSL_CTX_set_session_id_context(t->ctx, bound, sizeof(bound)) == 1);
	(void)SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(t->ctx, 1);
	(void)SSL_CTX_set_options(t->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_alpn_select_cb(t->ctx, tls_alpn, NULL);
	return t;
}

void
tls_free(struct tls *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < TLS_KEPT_MAX; i++)
		SSL_SESSION_free(t->kept[i].session);
	SSL_CTX_free(t->ctx);
	mutex_free(t->lock);
	free(t);
}

int
tls_server_days_left(const struct tls *t)
{
	const X509 *cert = SSL_CTX_get0_certificate(t->ctx);
	int days = 0, seconds = 0;

	if (!cert ||
			ASN1_TIME_diff(&days, &seconds, NULL,
					X509_get0_notAfter(cert)) != 1)
		return 0;
	return seconds < 0 ? days - 1 : days;
}
