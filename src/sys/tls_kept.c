/* What is kept of and for connections: sessions for resumption, and whose an SSL is. */
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "postern/must.h"
#include "postern/thread.h"
#include "tls_in.h"

static int
tls_index(atomic_int *kept)
{
	int at = atomic_load(kept);

	if (at == 0) {
		/* Number 0 is OpenSSL's own, so 0 can mean "not yet". A second number
		 * taken in a race is only wasted. */
		int none = 0;

		at = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
		MUST(at > 0);
		if (!atomic_compare_exchange_strong(kept, &none, at))
			at = none;
	}
	return at;
}

int
tls_key_index(void)
{
	static atomic_int kept;

	return tls_index(&kept);
}

int
tls_owner_index(void)
{
	static atomic_int kept;

	return tls_index(&kept);
}

const char *
tls_queue_words(void)
{
	unsigned long code = ERR_peek_error();
	const char *words = code ? ERR_reason_error_string(code) : NULL;

	return words ? words : "unknown error";
}

/* OpenSSL gives us a session to keep: for TLS 1.3 some time after the
 * handshake. Returning 1 makes it ours. */
int
tls_session_came(SSL *ssl, SSL_SESSION *session)
{
	const char *key = SSL_get_ex_data(ssl, tls_key_index());
	struct tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (!key || !SSL_SESSION_is_resumable(session))
		return 0;
	mutex_lock(t->lock);
	struct tls_kept *place = &t->kept[0];
	for (size_t i = 0; i < TLS_KEPT_MAX; i++) {
		struct tls_kept *k = &t->kept[i];

		if (k->session && strcmp(k->key, key) == 0) {
			place = k;
			break;
		}
		if (place->session && (!k->session || k->used < place->used))
			place = k;
	}
	SSL_SESSION_free(place->session);
	place->session = session;
	place->used = ++t->clock;
	(void)snprintf(place->key, sizeof(place->key), "%s", key);
	mutex_unlock(t->lock);
	return 1;
}

SSL_SESSION *
tls_take_session(struct tls *t, const char *key)
{
	SSL_SESSION *found = NULL;

	mutex_lock(t->lock);
	for (size_t i = 0; i < TLS_KEPT_MAX && !found; i++) {
		struct tls_kept *k = &t->kept[i];

		if (!k->session || strcmp(k->key, key) != 0)
			continue;
		found = k->session;
		if (SSL_SESSION_get_protocol_version(found) >= TLS1_3_VERSION)
			k->session = NULL; /* a ticket is used once: RFC 8446 appendix C.4 */
		else
			MUST(SSL_SESSION_up_ref(found) == 1);
	}
	mutex_unlock(t->lock);
	return found;
}
