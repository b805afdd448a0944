#include "tls_io.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "postern/buf.h"
#include "postern/enc.h"
#include "postern/must.h"
#include "tls_in.h"

struct tls_io {
	struct tls *tls;
	SSL *ssl;
	int fd;
	bool eof; /* the kernel said so */
	bool broken; /* no goodbye: SSL_shutdown is not allowed any more */
	bool pinned; /* the pin held */
	int fault; /* X509_V_ERR_* of the chain, 0 */
	char name[256];
	char key[TLS_KEY_SIZE];
	struct err said; /* why it failed */
};

/* Our own BIO, since OpenSSL's socket one raises SIGPIPE. */
static int
tls_bio_write(BIO *b, const char *p, int n)
{
	struct tls_io *io = BIO_get_data(b);
	ssize_t put;

	BIO_clear_retry_flags(b);
	do
		put = send(io->fd, p, (size_t)n, MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	if (put < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	return (int)put;
}

static int
tls_bio_read(BIO *b, char *p, int n)
{
	struct tls_io *io = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	do
		got = recv(io->fd, p, (size_t)n, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	if (got == 0)
		io->eof = true;
	return (int)got;
}

static long
tls_bio_ctrl(BIO *b, int cmd, long num, void *p)
{
	const struct tls_io *io = BIO_get_data(b);

	(void)num;
	(void)p;
	if (cmd == BIO_CTRL_EOF)
		return io->eof;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
tls_bio(void)
{
	static _Atomic(BIO_METHOD *) kept;
	BIO_METHOD *m = atomic_load(&kept);

	if (!m) {
		BIO_METHOD *none = NULL;

		m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern");
		MUST(m && BIO_meth_set_write(m, tls_bio_write) &&
				BIO_meth_set_read(m, tls_bio_read) &&
				BIO_meth_set_ctrl(m, tls_bio_ctrl));
		if (!atomic_compare_exchange_strong(&kept, &none, m)) {
			BIO_meth_free(m);
			m = none;
		}
	}
	return m;
}

static void
tls_io_client(struct tls_io *io, const char *name, const struct net_addr *peer)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(io->ssl);
	struct net_addr literal;
	char at[NET_TEXT_SIZE] = "";
	size_t n = strlen(name);

	if (n > 0 && name[n - 1] == '.')
		n--; /* the root's dot is in no certificate */
	(void)snprintf(io->name, sizeof(io->name), "%.*s", (int)n, name);
	SSL_set_connect_state(io->ssl);
	if (net_addr_parse(span_of(io->name), 0, &literal)) {
		net_addr_text(&literal, at);
		(void)snprintf(io->name, sizeof(io->name), "%s", at);
		MUST(X509_VERIFY_PARAM_set1_ip_asc(param, io->name) == 1);
	} else {
		MUST(SSL_set1_host(io->ssl, io->name) == 1);
		(void)SSL_set_tlsext_host_name(io->ssl, io->name);
	}
	if (!peer)
		return;
	net_addr_text(peer, at);
	(void)snprintf(io->key, sizeof(io->key), "%s/%s/%u", io->name, at, peer->port);
	MUST(SSL_set_ex_data(io->ssl, tls_key_index(), io->key) == 1);
	SSL_SESSION *session = tls_take_session(io->tls, io->key);
	if (session) {
		(void)SSL_set_session(io->ssl, session);
		SSL_SESSION_free(session);
	}
}

struct tls_io *
tls_io_new(struct tls *t, int fd, const char *name, const struct net_addr *peer)
{
	struct tls_io *io = calloc(1, sizeof(*io));
	BIO *b = BIO_new(tls_bio());

	if (!io || !b)
		abort();
	io->tls = t;
	io->fd = fd;
	io->ssl = SSL_new(t->ctx);
	MUST(io->ssl);
	BIO_set_data(b, io);
	BIO_set_init(b, 1);
	SSL_set_bio(io->ssl, b, b);
	MUST(SSL_set_ex_data(io->ssl, tls_owner_index(), io) == 1);
	if (t->server)
		SSL_set_accept_state(io->ssl);
	else
		tls_io_client(io, name ? name : "", peer);
	return io;
}

static void
tls_add_date(struct buf *b, const ASN1_TIME *when)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) == 1)
		(void)!buf_addf(b, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1,
				tm.tm_mday);
}

/* Names that come from the peer are tamed: they end in logs and on terminals. */
static void
tls_add_name(struct buf *b, const ASN1_STRING *text)
{
	int n = ASN1_STRING_length(text);
	struct span raw = { (const char *)ASN1_STRING_get0_data(text),
		n > 0 ? (size_t)n : 0 };

	(void)!enc_plain(b, span_first(raw, 60));
}

static void
tls_add_common_name(struct buf *b, const X509_NAME *subject)
{
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	const X509_NAME_ENTRY *entry =
			at >= 0 ? X509_NAME_get_entry(subject, at) : NULL;

	if (entry)
		tls_add_name(b, X509_NAME_ENTRY_get_data(entry));
	else
		(void)!buf_add(b, SPAN("nobody"));
}

/* Whom the certificate is for: its first three names, else its common name. */
static void
tls_add_owner(struct buf *b, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int shown = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && shown < 3; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS) {
			(void)!buf_add(b, shown++ ? SPAN(", ") : SPAN(""));
			tls_add_name(b, name->d.dNSName);
		} else if (name->type == GEN_IPADD) {
			const ASN1_OCTET_STRING *ip = name->d.iPAddress;
			struct net_addr a = { .family = ip->length == 4 ? NET_IP4
									: NET_IP6 };
			char words[NET_TEXT_SIZE];

			if (ip->length != 4 && ip->length != 16)
				continue;
			memcpy(a.ip, ip->data, (size_t)ip->length);
			net_addr_text(&a, words);
			(void)!buf_addf(b, "%s%s", shown++ ? ", " : "", words);
		}
	}
	GENERAL_NAMES_free(names);
	if (shown == 0)
		tls_add_common_name(b, X509_get_subject_name(cert));
}

/* Puts the fault of the chain into words an administrator can act on. */
static void
tls_explain(struct tls_io *io, int fault, X509 *cert)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1000);

	switch (fault) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		(void)!buf_add(&b, SPAN("the certificate of "));
		tls_add_owner(&b, cert);
		(void)!buf_add(&b, SPAN(" has expired on "));
		tls_add_date(&b, X509_get0_notAfter(cert));
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		(void)!buf_add(&b, SPAN("the certificate of "));
		tls_add_owner(&b, cert);
		(void)!buf_add(&b, SPAN(" is not valid before "));
		tls_add_date(&b, X509_get0_notBefore(cert));
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		(void)!buf_add(&b, SPAN("hostname mismatch: the certificate is for "));
		tls_add_owner(&b, cert);
		(void)!buf_addf(&b, ", not for %s", io->name);
		break;
	default:
		(void)!buf_addf(&b, "%s (the certificate of ",
				X509_verify_cert_error_string(fault));
		tls_add_owner(&b, cert);
		(void)!buf_add(&b, SPAN(", issued by "));
		tls_add_common_name(&b, X509_get_issuer_name(cert));
		(void)!buf_add(&b, SPAN(")"));
		break;
	}
	(void)err_set(&io->said, 0, SPAN_FMT, SPAN_ARG(buf_span(&b)));
}

int
tls_verify_step(int ok, X509_STORE_CTX *at)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(at, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_io *io = SSL_get_ex_data(ssl, tls_owner_index());
	X509 *cert = X509_STORE_CTX_get_current_cert(at);

	if (io->tls->pin_only)
		return 1; /* the key is compared when the handshake is done */
	if (!ok && io->fault == 0) {
		io->fault = X509_STORE_CTX_get_error(at);
		if (cert)
			tls_explain(io, io->fault, cert);
		else
			(void)err_set(&io->said, 0, "%s",
					X509_verify_cert_error_string(io->fault));
	}
	return ok;
}

static enum tls_step
tls_io_failed(struct tls_io *io)
{
	unsigned long code = ERR_peek_error();
	int why = ERR_GET_REASON(code);

	io->broken = true;
	if (io->fault != 0)
		return TLS_CERT; /* the words are there */
	if (why == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		(void)err_set(&io->said, 0,
				"the connection was cut inside TLS (no close_notify)");
		return TLS_CUT;
	}
	const char *more = "";
	if (why == SSL_R_WRONG_VERSION_NUMBER || why == SSL_R_HTTP_REQUEST)
		more = ": the other side does not speak TLS here";
	else if (why == SSL_R_UNSUPPORTED_PROTOCOL ||
			why == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
		more = ": the other side knows no TLS from 1.2 on";
	(void)err_set(&io->said, 0, "%s%s", tls_queue_words(), more);
	return TLS_BAD;
}

static enum tls_step
tls_io_step(struct tls_io *io, int rc, int no)
{
	switch (SSL_get_error(io->ssl, rc)) {
	case SSL_ERROR_NONE:
		return TLS_OK;
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_EOF;
	case SSL_ERROR_SYSCALL:
		io->broken = true;
		(void)err_set(&io->said, 0, "%s",
				io->eof ? "the connection was cut inside TLS"
					: err_words(no));
		return TLS_CUT;
	default:
		return tls_io_failed(io);
	}
}

enum tls_step
tls_io_handshake(struct tls_io *io)
{
	ERR_clear_error();
	errno = 0;
	int rc = SSL_do_handshake(io->ssl);
	enum tls_step step = rc == 1 ? TLS_OK : tls_io_step(io, rc, errno);

	if (step == TLS_EOF) {
		(void)err_set(&io->said, 0, "closed during the handshake");
		return TLS_CUT;
	}
	if (step != TLS_OK || io->tls->n_pins == 0)
		return step;

	char found[64];
	io->pinned = tls_pin_matches(
			io->tls, SSL_get0_peer_certificate(io->ssl), found);
	if (io->pinned)
		return TLS_OK;
	(void)err_set(&io->said, 0, "the key of %s is %s, which is not the pinned one",
			io->name, found);
	io->fault = X509_V_ERR_APPLICATION_VERIFICATION;
	return TLS_CERT;
}

enum tls_step
tls_io_read(struct tls_io *io, void *p, size_t n, size_t *got)
{
	*got = 0;
	ERR_clear_error();
	errno = 0;
	int rc = SSL_read_ex(io->ssl, p, n, got);
	return rc == 1 ? TLS_OK : tls_io_step(io, rc, errno);
}

enum tls_step
tls_io_write(struct tls_io *io, const void *p, size_t n, size_t *put)
{
	*put = 0;
	ERR_clear_error();
	errno = 0;
	int rc = SSL_write_ex(io->ssl, p, n, put);
	return rc == 1 ? TLS_OK : tls_io_step(io, rc, errno);
}

bool
tls_io_pending(const struct tls_io *io)
{
	/* Not SSL_has_pending: it is true for half a record, which only the fd ends. */
	return SSL_pending(io->ssl) > 0;
}

void
tls_io_goodbye(struct tls_io *io)
{
	if (io->broken || SSL_in_init(io->ssl))
		return;
	ERR_clear_error();
	(void)SSL_shutdown(io->ssl);
	ERR_clear_error();
}

void
tls_io_free(struct tls_io *io)
{
	if (!io)
		return;
	SSL_free(io->ssl);
	free(io);
}

bool
tls_io_pin_failed(const struct tls_io *io)
{
	return io->fault == X509_V_ERR_APPLICATION_VERIFICATION;
}

const char *
tls_io_words(const struct tls_io *io)
{
	return io->said.text;
}

/* The zone of a certificate's date is always UTC (RFC 5280 section 4.1.2.5). */
static int64_t
tls_expires_s(const X509 *cert)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	bool ok = epoch &&
			ASN1_TIME_diff(&days, &seconds, epoch,
					X509_get0_notAfter(cert)) == 1;

	ASN1_TIME_free(epoch);
	return ok ? (int64_t)days * 24 * 3600 + seconds : 0;
}

static void
tls_common_name(const X509_NAME *subject, char *out, size_t size)
{
	AUTO(buf_done) struct buf b = BUF_MAX(size - 1);

	tls_add_common_name(&b, subject);
	if (b.n > 0)
		memcpy(out, b.p, b.n);
	out[b.n] = '\0';
}

static void
tls_certificate_facts(const X509 *cert, struct tls_facts *out)
{
	out->expires_s = 0;
	out->owner[0] = out->issuer[0] = '\0';
	if (!cert)
		return;
	out->expires_s = tls_expires_s(cert);
	tls_common_name(X509_get_subject_name(cert), out->owner, sizeof(out->owner));
	tls_common_name(X509_get_issuer_name(cert), out->issuer, sizeof(out->issuer));
}

void
tls_io_facts(const struct tls_io *io, struct tls_facts *out)
{
	out->version = SSL_get_version(io->ssl);
	out->cipher = SSL_get_cipher_name(io->ssl);
	out->resumed = SSL_session_reused(io->ssl) == 1;
	out->verified = !io->tls->server && io->fault == 0 &&
			(io->tls->pin_only ? io->pinned : io->tls->verify);
	tls_certificate_facts(SSL_get0_peer_certificate(io->ssl), out);
}
