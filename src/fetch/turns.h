/* turns: whose poll begins next, of all that wait. Dry.
 *
 * Accounts wait in order with their provider's server; the servers take turns, and
 * one that has as many polls as it bears is passed over without holding up the
 * others. Accounts of one mailbox wait for each other. Every step takes the same
 * time, however many wait. */
#ifndef FETCH_TURNS_H
#define FETCH_TURNS_H

#include "hosts.h"
#include "postern/list.h"
#include "postern/map.h"

struct turn;

struct turns {
	struct turn *all; /* one per account */
	struct map hosts; /* by host_key */
	struct list ready; /* hosts of which a poll may begin; they take turns */
	struct list shared; /* mailboxes that several accounts name */
};

/* For `workers` polls at once. The accounts are borrowed. */
void turns_init(struct turns *t, const struct conf_accounts *accounts, size_t workers,
		const uint64_t seed[2]);
void turns_done(struct turns *t);
/* The account waits from now on; it neither waits nor is polled. */
void turns_put(struct turns *t, size_t account);
/* It waits no longer. */
void turns_drop(struct turns *t, size_t account);
/* May one begin? An account whose mailbox is polled may make this true in vain. */
bool turns_ready(const struct turns *t);
/* Begins the next one's poll, to be ended by turns_over. False: none may begin. */
bool turns_take(struct turns *t, size_t *account);
void turns_over(struct turns *t, size_t account, enum host_said said);

#endif
