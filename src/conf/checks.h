/* checks: what keys mean together. */
#ifndef CONF_CHECKS_H
#define CONF_CHECKS_H

#include "read.h"

void check_account(struct reader *r, const struct node *map, struct conf_mark mark,
		void *place);
void check_delivery(struct reader *r, const struct node *map, struct conf_mark mark,
		void *place);
void check_conf(struct reader *r, const struct node *map, struct conf_mark mark,
		void *place);
void check_policy(struct reader *r, const struct node *map, struct conf_mark mark,
		void *place);

#endif
