/* kinds: the readers of values that are more than one word. */
#ifndef CONF_KINDS_H
#define CONF_KINDS_H

#include "rows.h"

bool read_secret(struct reader *r, const struct row *row, const struct node *n,
		void *place);
bool read_envelope(struct reader *r, const struct row *row, const struct node *n,
		void *place);
bool read_unrouted(struct reader *r, const struct row *row, const struct node *n,
		void *place);
bool read_log_to(struct reader *r, const struct row *row, const struct node *n,
		void *place);
bool read_template(struct reader *r, const struct row *row, const struct node *n,
		void *place);
bool read_tags(struct reader *r, const struct row *row, const struct node *n,
		void *place);
bool read_window(struct reader *r, const struct row *row, const struct node *n,
		void *place);

/* The address as it will stand in envelopes. */
bool read_address(struct reader *r, const struct row *row, const struct node *n,
		void *place);

#endif
